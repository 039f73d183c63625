"""Models come whole or not at all, share what they have in common, and go without a trace."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
import threading

import pytest

from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.errors import (
    BadModelFile,
    DigestMismatch,
    DiskFull,
    ModelNotFound,
    StoreBusy,
    StoreError,
)
from runner.hub.packaged import find_starter
from runner.store.library import Library
from runner.store.lock import StoreLock
from runner.store.manifests import decode, model_id
from tests.fakes.gguf_files import document, write_model

N = ModelName.parse


def files_in(library):
    """Every file of the store but its lock, relative to it."""
    found = (path for path in library.models.rglob("*") if path.is_file())
    return sorted(str(p.relative_to(library.models)) for p in found if p != library.models / "lock")


def test_a_library_that_does_not_exist_yet_is_empty(library):
    assert library.list() == []
    assert library.broken() == []
    assert library.prune() == 0
    assert not library.models.exists()
    with pytest.raises(ModelNotFound, match="model 'qwen3:latest' not found"):
        library.find(N("qwen3"))


def test_an_imported_file_is_listed_with_its_facts(library, model_file, put):
    steps = put(model_file, "My-Model:Small", parameters=Options(temperature=0.5, stop=("###",)))
    assert [step.phase for step in steps] == [
        "copying",
        "copying",
        "verifying",
        "writing manifest",
        "success",
    ]
    digest = hashlib.sha256(model_file.read_bytes()).hexdigest()
    assert steps[2].digest == f"sha256:{digest}"
    (info,) = library.list()
    assert str(info.name) == "My-Model:Small"
    assert info.n_bytes == model_file.stat().st_size
    assert (info.architecture, info.quantization, info.n_params) == ("llama", "F32", 2080)
    assert (info.n_ctx_train, info.n_embd) == (256, 32)
    path = library.models / "manifests/corral.local/library/my-model/small"
    assert info.digest == model_id(decode(path.read_bytes()))
    assert info.modified_at == pytest.approx(path.stat().st_mtime)
    manifest = library.find(N("MY-MODEL:SMALL"))
    assert manifest.parameters == Options(temperature=0.5, stop=("###",))
    assert manifest.provenance["source"] == "test"
    assert manifest.provenance["time"].endswith("+00:00")
    assert library.model_path(manifest) == library.models / f"blobs/sha256-{digest}"
    assert library.model_path(manifest).read_bytes() == model_file.read_bytes()
    assert library.info(N("my-model:small")) == info
    assert files_in(library) == [
        f"blobs/sha256-{digest}",
        "manifests/corral.local/library/my-model/small",
    ]


def test_show_tells_all_of_the_model(library, model_file, put):
    put(model_file, "small", system="Be brief.", license_text="MIT")
    details = library.show(N("small"))
    assert details.system == "Be brief."
    assert details.license == "MIT"
    assert details.template == "{{ messages }} {{ tools }} <think>"
    assert details.metadata["llama.block_count"] == 1
    assert details.tensors[0] == ("token_embd.weight", "F32", (32, 64), 8192)
    assert details.info == library.info(N("small"))


def test_long_arrays_are_read_only_when_asked_for(library, put):
    put(find_starter(), "smollm2")
    brief, full = (library.show(N("smollm2"), whole=whole).metadata for whole in (False, True))
    assert brief["tokenizer.ggml.tokens"] == ()
    assert len(full["tokenizer.ggml.tokens"]) == 49_152
    assert full["tokenizer.ggml.tokens"][:2] == ("<|endoftext|>", "<|im_start|>")
    assert len(full["tokenizer.ggml.merges"]) == 48_900
    assert brief.keys() == full.keys()


def test_a_vocabulary_beyond_what_is_kept_stays_out(library, put, tmp_path, monkeypatch):
    put(write_model(tmp_path / "wide.gguf", n_vocab=2000), "wide")
    key = "tokenizer.ggml.tokens"
    assert len(library.show(N("wide"), whole=True).metadata[key]) == 2000
    monkeypatch.setattr("runner.gguf.cursor._MAX_KEPT_ELEMENTS", 1500)
    assert library.show(N("wide"), whole=True).metadata[key] == ()


def test_the_licence_is_the_files_own_unless_given(library, model_file, put):
    put(model_file, "small")
    assert library.show(N("small")).license == "apache-2.0"


def test_another_process_sees_the_same_library(library, model_file, put):
    put(model_file, "small")
    assert Library(library.models).list() == library.list()


def test_the_starter_model_goes_in_and_verifies(library, put):
    path = find_starter()
    steps = put(path, "smollm2")
    assert sum(step.phase == "copying" for step in steps) > 2
    assert library.list()[0].n_params == 134_515_008
    done = list(library.verify(N("smollm2")))
    assert done[-1].n_done == done[-1].n_bytes == path.stat().st_size


def test_the_same_bytes_are_kept_once_and_not_copied_again(library, model_file, put):
    put(model_file, "one")
    (blob,) = (library.models / "blobs").iterdir()
    before = blob.stat()
    steps = put(model_file, "two")
    assert "copying" not in [step.phase for step in steps]
    after = blob.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert {str(info.name) for info in library.list()} == {"one:latest", "two:latest"}


def test_importing_again_mends_a_damaged_blob(library, model_file, put):
    put(model_file, "one")
    (blob,) = (library.models / "blobs").iterdir()
    damaged = bytearray(blob.read_bytes())
    damaged[-1] ^= 1
    blob.write_bytes(damaged)
    with pytest.raises(DigestMismatch, match="damaged"):
        list(library.verify(N("one")))
    put(model_file, "one")
    assert blob.read_bytes() == model_file.read_bytes()
    assert list(library.verify(N("one")))


def test_a_bad_file_is_refused_before_anything_is_written(library, model_file, put, tmp_path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model_file.read_bytes()[:-1])
    bare = tmp_path / "bare.gguf"
    bare.write_bytes(document([], []))
    for path in (cut, bare, tmp_path, tmp_path / "missing"):
        with pytest.raises(BadModelFile):
            put(path, "bad")
    assert not library.models.exists()


def test_a_file_with_another_digest_than_promised_is_refused(library, model_file, put):
    with pytest.raises(DigestMismatch, match="0000"):
        put(model_file, "small", sha256="0" * 64)
    assert files_in(library) == []
    good = hashlib.sha256(model_file.read_bytes()).hexdigest()
    put(model_file, "small", sha256=good.upper())
    assert len(library.list()) == 1


def test_an_import_given_up_leaves_nothing(library, model_file):
    steps = library.import_file(model_file, N("small"), provenance={"source": "test"})
    for step in steps:
        if step.phase == "verifying":
            break
    steps.close()
    assert files_in(library) == []
    assert library.list() == []


def test_a_file_that_grows_while_it_is_copied_is_refused(library, tmp_path):
    path = write_model(tmp_path / "growing.gguf", n_vocab=40_000)  # more than one chunk
    steps = library.import_file(path, N("growing"), provenance={"source": "test"})
    next(steps)
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(BadModelFile, match="changed while it was copied"):
        list(steps)
    assert files_in(library) == []


def test_a_file_larger_than_the_disk_is_refused_at_once(library, model_file, put):
    wanted = shutil.disk_usage(model_file.parent).free + 2**40
    try:
        os.truncate(model_file, wanted)  # sparse
    except OSError:
        pytest.skip("this file system has no files so large")
    with pytest.raises(DiskFull, match=f"{wanted} bytes are needed") as caught:
        put(model_file, "huge")
    assert "corral rm" in caught.value.hint
    assert files_in(library) == []


def test_a_library_that_cannot_be_written_says_so(model_file, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    library = Library(tmp_path / "file" / "models")
    with pytest.raises(StoreError, match=r"File exists|Not a directory") as caught:
        list(library.import_file(model_file, N("small"), provenance={}))
    assert "corral folder" in caught.value.hint
    assert library.list() == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_another_owner_says_so(library, model_file, put):
    library.models.mkdir()
    library.models.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(StoreError, match="Permission denied"):
            put(model_file, "small")
    finally:
        library.models.chmod(stat.S_IRWXU)


def test_a_new_import_takes_the_name_over_and_drops_the_old_blob(
    library, model_file, other_file, put
):
    put(model_file, "name")
    put(other_file, "Name")
    (info,) = library.list()
    assert str(info.name) == "name:latest", "a name is shown as it was first written"
    assert info.n_bytes == other_file.stat().st_size
    assert len(library.blobs.digests()) == 1


def test_a_copy_shares_the_blob_and_outlives_the_original(library, model_file, put):
    put(model_file, "one", system="Hi")
    info = library.copy(N("one"), N("me/Two:x"))
    assert str(info.name) == "me/Two:x"
    assert len(library.blobs.digests()) == 1
    assert library.delete(N("one")) == 0
    assert library.find(N("me/two:X")).system == "Hi"
    assert list(library.verify(N("me/two:x")))
    assert library.delete(N("me/two:x")) == model_file.stat().st_size
    assert files_in(library) == []
    assert list((library.models / "manifests").iterdir()) == []


def test_a_copy_onto_itself_changes_nothing(library, model_file, put):
    put(model_file, "one")
    assert library.copy(N("one"), N("ONE:latest")) == library.list()[0]


def test_what_is_not_there_cannot_be_copied_or_deleted(library, model_file, put):
    for act in (lambda: library.copy(N("no"), N("two")), lambda: library.delete(N("no"))):
        with pytest.raises(ModelNotFound, match="'no:latest'"):
            act()
    with pytest.raises(ModelNotFound):
        library.find(ModelName("h" * 300, "a", "b", "c"))


def test_the_newest_comes_first(library, model_file, put):
    for age, name in ((30, "old"), (10, "new"), (20, "middle")):
        put(model_file, name)
        path = library.models / "manifests/corral.local/library" / name / "latest"
        os.utime(path, (2e9 - age, 2e9 - age))
    assert [info.name.model for info in library.list()] == ["new", "middle", "old"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "damaged"),
        (b"{", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"[" * 100_000, "damaged"),
        (b"[]", "format None"),
        (b'{"format": 2}', "format 2; this program knows format 1"),
        (b'{"format": 1}', "damaged"),
    ],
)
def test_a_damaged_manifest_is_skipped_and_kept(
    library, model_file, other_file, put, caplog, content, reason
):
    put(model_file, "good")
    put(other_file, "bad")
    path = library.models / "manifests/corral.local/library/bad/latest"
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert [str(info.name) for info in library.list()] == ["good:latest"]
    assert len(caplog.records) == 1
    assert reason in caplog.text
    (broken,) = library.broken()
    assert broken.name == N("bad")
    assert reason in broken.reason
    with pytest.raises(StoreError, match=reason):
        library.find(N("bad"))
    library.prune()
    assert path.read_bytes() == content
    assert len(library.blobs.digests()) == 2  # nobody can tell what it named
    library.delete(N("bad"))
    assert library.broken() == []
    library.prune()
    assert len(library.blobs.digests()) == 1


def test_the_blobs_that_a_newer_manifest_names_are_kept(library, model_file, other_file, put):
    put(model_file, "newer")
    put(other_file, "known")
    path = library.models / "manifests/corral.local/library/newer/latest"
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":9'))
    assert library.delete(N("known")) == other_file.stat().st_size
    library.prune()
    assert len(library.blobs.digests()) == 1
    assert library.delete(N("newer")) == model_file.stat().st_size


def test_a_missing_or_shortened_blob_takes_its_model_off_the_list(library, model_file, put):
    put(model_file, "small")
    manifest = library.find(N("small"))
    (blob,) = (library.models / "blobs").iterdir()
    os.truncate(blob, 100)
    assert library.list() == []
    with pytest.raises(StoreError, match="has 100 bytes instead of"):
        library.model_path(manifest)
    blob.unlink()
    assert "is missing" in library.broken()[0].reason
    with pytest.raises(StoreError, match="is missing") as caught:
        library.show(N("small"))
    assert "corral pull small" in caught.value.hint
    with pytest.raises(StoreError, match="is missing"):
        library.add(manifest)
    assert library.delete(N("small")) == 0
    put(model_file, "small")
    assert len(library.list()) == 1


def test_a_manifest_moved_by_hand_has_the_name_of_its_place(library, model_file, put):
    put(model_file, "one")
    folder = library.models / "manifests/corral.local/library"
    (folder / "one").rename(folder / "two")
    assert [str(info.name) for info in library.list()] == ["two:latest"]


def test_files_that_are_no_manifests_are_passed_over(library, model_file, put):
    put(model_file, "one")
    folder = library.models / "manifests"
    (folder / "corral.local/library/one/.DS_Store").write_bytes(b"\0")
    (folder / "stray").write_bytes(b"")
    assert len(library.list()) == 1
    assert library.broken() == []
    assert library.delete(N("one")) > 0


def test_prune_removes_what_nobody_uses_or_writes(library, model_file, put, tmp_path):
    put(model_file, "one")
    (library.models / "partial/copy-dead").write_bytes(bytes(10))
    (library.models / "partial/manifest-dead").write_bytes(bytes(10))
    (library.models / "partial/a-download").write_bytes(bytes(10))
    orphan = library.models / "blobs" / f"sha256-{'0' * 64}"
    orphan.write_bytes(bytes(7))
    awaited = library.models / "blobs" / f"sha256-{'1' * 64}"
    awaited.write_bytes(bytes(9))
    busy = write_model(tmp_path / "busy.gguf", n_vocab=40_000)
    steps = library.import_file(busy, N("busy"), provenance={"source": "test"})
    next(steps)  # in the middle of copying
    assert library.prune(keep=[f"sha256:{'1' * 64}"]) == 10 + 7
    list(steps)
    assert {info.name.model for info in library.list()} == {"one", "busy"}
    assert not orphan.exists()
    assert awaited.exists()
    assert [p.name for p in (library.models / "partial").iterdir()] == ["a-download"]


def test_a_change_waits_for_the_lock_and_then_says_who_has_it(library, model_file, put):
    put(model_file, "one")
    with StoreLock(library.models / "lock").hold("a long change"):
        assert len(library.list()) == 1  # reading needs no lock
        for act in (
            lambda: library.copy(N("one"), N("two")),
            lambda: library.delete(N("one")),
            library.prune,
            lambda: put(model_file, "three"),
        ):
            with pytest.raises(StoreBusy, match=rf"process {os.getpid()} \(a long change\)"):
                act()
    assert files_in(library)[0].startswith("blobs/")
    assert len(files_in(library)) == 2


def test_a_blob_that_vanishes_before_it_is_used_again_is_copied_after_all(library, model_file, put):
    put(model_file, "one")
    steps = library.import_file(model_file, N("two"), provenance={"source": "test"})
    phases = []
    for step in steps:
        phases.append(step.phase)
        if phases[-1] == "writing manifest" and "copying" not in phases:
            library.delete(N("one"))
    assert "copying" in phases
    assert phases[-1] == "success"
    assert list(library.verify(N("two")))


def test_threads_change_the_library_together(library, model_file, other_file):
    """Each thread's last word stands; no blob is lost or left over."""
    shared = Library(library.models, lock_wait_s=60)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(4):
                path = (model_file, other_file)[(number + turn) % 2]
                name = N(f"model{number}")
                list(shared.import_file(path, name, provenance={"source": "test"}))
                shared.copy(name, N(f"copy{number}"))
                shared.list()
                shared.delete(name)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for info in shared.list():
        assert list(shared.verify(info.name))
    used = {layer.digest for i in shared.list() for layer in shared.find(i.name).layers}
    assert set(shared.blobs.digests()) == used
    assert shared.broken() == []
    assert list((shared.models / "partial").iterdir()) == []


def test_a_list_is_the_same_until_something_changes_which_is_seen(library, put, model_file):
    """A manifest written over in its place, names that go, a blob that goes."""
    for number in range(3):
        put(model_file, f"m{number}")
    for path in (library.models / "manifests").rglob("*"):
        os.utime(path, (1, 1))  # settled
    os.utime(library.blobs.folder, (1, 1))

    def names():
        return sorted(info.name.model for info in library.list())

    first = library.list()
    assert library.list() == first
    first.clear()
    assert names() == ["m0", "m1", "m2"], "what callers do with their list is their own affair"

    one = library.models / "manifests" / "corral.local" / "library" / "m1" / "latest"
    good = one.read_bytes()
    one.write_bytes(good.replace(b'"format":1', b'"format":9'))
    assert names() == ["m0", "m2"]
    one.write_bytes(good)
    assert names() == ["m0", "m1", "m2"]

    library.delete(N("m0"))
    assert names() == ["m1", "m2"]
    library.blobs.path(library.find(N("m1")).model.digest).unlink()
    assert names() == []
