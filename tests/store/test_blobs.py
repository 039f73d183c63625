"""A blob is named by its bytes, and has that name only when it is whole."""

from __future__ import annotations

import hashlib
import io

import pytest
from hypothesis import given, settings, strategies as st

from runner.errors import BadModelFile, DigestMismatch, StoreError
from runner.store.blobs import CHUNK_BYTES, Blobs


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path)


def run(generator):
    """The result of a generator, and what it yielded."""
    steps = []
    while True:
        try:
            steps.append(next(generator))
        except StopIteration as end:
            return end.value, steps


@settings(deadline=None, max_examples=20)
@given(content=st.binary(max_size=300), n_repeats=st.sampled_from([1, 30_000]))
def test_what_was_copied_has_its_own_digest_for_a_name(tmp_path_factory, content, n_repeats):
    content *= n_repeats
    blobs = Blobs(tmp_path_factory.mktemp("store"))
    partial, steps = run(blobs.copy(io.BytesIO(content), len(content)))
    assert blobs.digests() == {}
    digest = blobs.commit(partial)
    assert digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert blobs.path(digest).read_bytes() == content
    assert blobs.digests() == {digest: len(content)}
    assert [step.n_done for step in steps] == sorted({step.n_done for step in steps})
    assert steps[-1].n_done == len(content)
    assert len(steps) == 1 + -(-len(content) // CHUNK_BYTES)
    run(blobs.verify(digest))
    assert list(blobs.partial.iterdir()) == []


@pytest.mark.parametrize("n_bytes", [9, 11])
def test_a_source_of_another_length_is_refused_without_a_trace(blobs, n_bytes):
    with pytest.raises(BadModelFile, match=f"it had {n_bytes} bytes"):
        run(blobs.copy(io.BytesIO(bytes(10)), n_bytes))
    assert list(blobs.partial.iterdir()) == []


def test_a_source_that_fails_is_told_without_a_trace(blobs):
    class Failing(io.BytesIO):
        def readinto(self, buffer):
            raise OSError(5, "Input/output error")

    with pytest.raises(StoreError, match="Input/output error"):
        run(blobs.copy(Failing(), 10))
    assert list(blobs.partial.iterdir()) == []


def test_a_copy_in_progress_is_not_pruned_and_a_forgotten_one_is(blobs):
    copying = blobs.copy(io.BytesIO(bytes(10)), 10)
    next(copying)
    assert blobs.prune_partial() == 0
    partial, _ = run(copying)
    assert blobs.prune_partial() == 0
    partial.discard()
    (blobs.partial / "copy-forgotten").write_bytes(bytes(5))
    assert blobs.prune_partial() == 5
    assert list(blobs.partial.iterdir()) == []


def test_a_damaged_blob_does_not_verify(blobs):
    partial, _ = run(blobs.copy(io.BytesIO(b"abc"), 3))
    digest = blobs.commit(partial)
    blobs.path(digest).write_bytes(b"abx")
    with pytest.raises(DigestMismatch, match=digest[7:]):
        run(blobs.verify(digest))
    assert blobs.delete(digest) == 3
    assert blobs.delete(digest) == 0
    with pytest.raises(StoreError, match="cannot read"):
        run(blobs.verify(digest))


@pytest.mark.parametrize(
    "digest", ["", "abc", "sha256:abc", f"sha256:{'G' * 64}", "sha256:../" + "a" * 61, "a" * 64]
)
def test_only_digests_are_paths(blobs, digest):
    with pytest.raises(StoreError, match="not a digest"):
        blobs.path(digest)


def test_the_same_bytes_are_found_again(blobs):
    partial, _ = run(blobs.copy(io.BytesIO(b"abc"), 3))
    digest = blobs.commit(partial)
    for content, expected, found in (
        (b"abc", "", digest),
        (b"abc", digest, digest),
        (b"abc", f"sha256:{'0' * 64}", ""),
        (b"abx", "", ""),
        (b"abcd", "", ""),
    ):
        source = io.BytesIO(content)
        assert run(blobs.find_same(source, len(content), expected))[0] == found
        assert found or source.read() == content
