"""The reader takes every good file and refuses every bad one in words, fast."""

from __future__ import annotations

import os
import struct
import time
import tracemalloc
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf.constants import GGML_QUANT_SIZES
from hypothesis import HealthCheck, given, settings, strategies as st

from runner.errors import BadModelFile
from runner.gguf.reader import GgufArray, read_header
from runner.gguf.tensor_types import TENSOR_TYPES
from runner.hub.packaged import find_starter
from tests.fakes.gguf_files import array, document, key, small, string, tensor, write_model


@pytest.fixture
def refused(tmp_path):
    """Writes bytes to a file, expects its refusal and returns the message."""

    def check(raw: bytes) -> str:
        path = tmp_path / "bad.gguf"
        path.write_bytes(raw)
        with pytest.raises(BadModelFile) as caught:
            read_header(path)
        return caught.value.message

    return check


def test_the_starter_model_reads_as_the_reference_reader_reads_it():
    path = find_starter()
    assert path is not None
    header = read_header(path)
    theirs = gguf.GGUFReader(path)
    assert [t.name for t in header.tensors] == [t.name for t in theirs.tensors]
    for ours, their in zip(header.tensors, theirs.tensors, strict=True):
        assert ours.shape == tuple(int(n) for n in their.shape)
        assert ours.n_bytes == their.n_bytes
        assert ours.type_id == their.tensor_type.value
        assert header.data_offset + ours.offset == their.data_offset
    fields = {k: f for k, f in theirs.fields.items() if not k.startswith("GGUF.")}
    assert set(header.metadata) == set(fields)
    assert header.metadata["tokenizer.ggml.tokens"] == GgufArray("string", 49152)
    for name, field in fields.items():
        ours = header.metadata[name]
        if not isinstance(ours, GgufArray):
            theirs_value = field.contents()
            assert ours == (tuple(theirs_value) if isinstance(theirs_value, list) else theirs_value)


def test_long_arrays_are_kept_when_asked_for():
    path = find_starter()
    assert path is not None
    tokens = read_header(path, max_array=10**6).metadata["tokenizer.ggml.tokens"]
    assert len(tokens) == 49152
    assert tokens[:3] == ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


@pytest.mark.parametrize("version", [2, 3])
def test_a_small_file_reads(tmp_path, version):
    path = tmp_path / "small.gguf"
    path.write_bytes(small()[:4] + struct.pack("<I", version) + small()[8:])
    header = read_header(path)
    assert header.version == version
    assert header.metadata["llama.block_count"] == 2
    assert header.metadata["tokenizer.ggml.add_bos_token"] is True
    assert header.metadata["tokenizer.ggml.tokens"] == ("a", "b", "\N{REPLACEMENT CHARACTER}")
    assert header.metadata["tokenizer.ggml.scores"] == (0.0, 1.0, 2.0)
    assert [t.type_name for t in header.tensors] == ["F32", "Q8_0"]
    assert [t.n_bytes for t in header.tensors] == [96, 68]
    assert header.n_file_bytes == header.data_offset + 96 + 68


def test_another_alignment_is_honoured(tmp_path):
    path = tmp_path / "aligned.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_custom_alignment(256)
    writer.add_tensor("a", np.ones(3, dtype=np.float32))
    writer.add_tensor("b", np.ones(5, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read_header(path)
    assert header.alignment == 256
    assert [t.offset for t in header.tensors] == [0, 256]
    assert header.data_offset % 256 == 0


def test_every_tensor_type_of_the_reference_is_known_with_its_size():
    for number, (n_block, n_bytes) in GGML_QUANT_SIZES.items():
        ours = TENSOR_TYPES[number.value]
        assert (ours.name, ours.n_block) == (number.name, n_block)
        # gguf-py still has Q8_1's size from when its sums were floats; ggml-common.h says 36.
        assert ours.n_block_bytes == (36 if number.name == "Q8_1" else n_bytes)


def test_a_vocabulary_of_256k_tokens_is_walked_quickly(tmp_path):
    """The best of five runs, in time of the processor, against ten times the goal."""
    tokens = b"".join(string(f"tok{i}") for i in range(262_144))
    path = tmp_path / "vocab.gguf"
    path.write_bytes(document([array("tokenizer.ggml.tokens", "str", 262_144, tokens)], []))
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        header = read_header(path)
        best = min(best, time.process_time() - start)
    assert header.metadata["tokenizer.ggml.tokens"].length == 262_144
    assert best < 0.5


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"PK\x03\x04" + bytes(60), "zip archive"),
        (b"\x80\x02}q\x00.", "Python pickle"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
        (b"\n  <html lang='en'>", "web page"),
        (struct.pack("<Q", 40) + b'{"__metadata__":{}}' + bytes(30), "safetensors"),
        (b'{"error": "not found"}', "JSON"),
        (bytes(4096), "begins with zeros"),
        (b"tjgg" + bytes(60), "before GGUF"),
        (b"FUGG" + bytes(60), "big-endian"),
        (b"GGU", "not a GGUF file"),
        (b"\x1f\x8b\x08" + bytes(20), "gzip"),
    ],
)
def test_a_file_of_another_kind_is_named(refused, raw, words):
    message = refused(raw)
    assert "at byte 0: not a GGUF file" in message
    assert words in message


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (document([], [], version=1), "at byte 4: GGUF version 1 is no longer supported"),
        (document([], [], version=4), "at byte 4: GGUF version 4 is newer"),
        (document([], [], version=0), "version 0"),
        (document([], [], version=3 << 24), "at byte 4: the file is big-endian"),
        (document([], [], n_tensors=2**63), "at byte 8: 9223372036854775808 tensors"),
        (document([], [], n_keys=2**40), "at byte 16: 1099511627776 keys"),
        (document([], [], n_keys=7, alignment=1), "the file ends 0 bytes further"),
        (document([key("a", "u32", 1)] * 2, []), "at byte 41: the key 'a' stands there twice"),
        (document([key("", "u32", 1)], []), "at byte 24: a key without a name"),
        (document([string(b"\xff\xfe") + struct.pack("<II", 4, 1)], []), "not UTF-8"),
        (document([string("a") + struct.pack("<I", 13)], []), "unknown type 13"),
        (document([array("a", "arr", 1, bytes(12))], []), "holds arrays"),
        (document([key("a", "arr", raw=struct.pack("<IQ", 99, 1))], []), "element type 99"),
        (document([array("a", "u64", 2**61, b"")], []), "2305843009213693952 elements"),
        (document([array("a", "str", 2**61, b"")], []), "2305843009213693952 elements"),
        (
            document([array("a", "str", 2000, struct.pack("<Q", 2**64 - 1) + bytes(16000))], []),
            "at byte 49: a string in the array 'a' has a length of 18446744073709551615",
        ),
        (document([key("a", "str", raw=struct.pack("<Q", 2**62))], []), "4611686018427387904"),
        (document([key("general.alignment", "u32", 24)], []), "not a power of two"),
        (document([key("general.alignment", "u32", 0)], []), "not a power of two"),
        (document([key("general.alignment", "u64", 32)], []), "must be of type u32"),
        (document([], [tensor("t", (1, 1, 1, 1, 1))], data=bytes(64)), "5 dimensions"),
        (document([], [tensor("t", (2**40, 2**40))], data=bytes(64)), "impossible shape"),
        (document([], [tensor("t", (33,), 8)], data=bytes(99)), "rows of 33 elements"),
        (document([], [tensor("t", (4,), 77)], data=bytes(64)), "unknown type 77"),
        (document([], [tensor("t", (32,), 31)], data=bytes(64)), "Q4_0_4_4, which llama.cpp"),
        (document([], [tensor("t" * 64, (4,))], data=bytes(64)), "64 bytes long; at most 63"),
        (document([], [tensor("t", (4,), 0, 8)], data=bytes(64)), "misaligned"),
        (document([], [tensor("t", (4,), 0, 32)], data=bytes(64)), "leaves a gap"),
        (
            document([], [tensor("a", (16,)), tensor("b", (16,), 0, 32)], data=bytes(128)),
            "overlaps the one before: it is at 32 of the data, but 64 is expected",
        ),
        (
            document([], [tensor("a", (8,)), tensor("a", (8,), 0, 32)], data=bytes(64)),
            "tensor 'a' stands there twice",
        ),
        (
            document([], [tensor("t", (8,))], data=bytes(31)),
            "at byte 24: tensor 't' ends behind the end of the file: 96 bytes are needed in all, "
            "but the file has 95",
        ),
        (document([], [tensor("t", (2**40,), 0)], data=bytes(64)), "4398046511168 bytes are"),
    ],
)
def test_a_damaged_file_is_refused_with_offset_and_reason(refused, raw, words):
    message = refused(raw)
    assert message.startswith("bad.gguf: at byte ")
    assert words in message


def test_what_is_no_readable_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "missing", Path("a\0b"), tmp_path / ("x" * 300)):
        with pytest.raises(BadModelFile):
            read_header(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadModelFile, match="not a regular file"):
        read_header(tmp_path / "pipe")


def read_or_refuse(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
    try:
        header = read_header(path)
    except BadModelFile as error:
        assert "at byte" in error.message
    else:
        assert all(header.data_offset + t.offset + t.n_bytes <= len(raw) for t in header.tensors)


@given(length=st.integers(0, len(small()) - 1))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_cut_anywhere_is_refused(tmp_path, length):
    path = tmp_path / "cut.gguf"
    path.write_bytes(small()[:length])
    with pytest.raises(BadModelFile, match="at byte"):
        read_header(path)


@given(
    changes=st.lists(
        st.tuples(
            st.integers(0, len(small()) - 1),
            st.sampled_from([1, 4, 8]),
            st.one_of(
                st.integers(0, 2**64 - 1),
                st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]),
            ),
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_changed_bytes_give_a_header_or_a_refusal(tmp_path, changes):
    raw = bytearray(small())
    for place, width, value in changes:
        raw[place : place + width] = (value % 256**width).to_bytes(width, "little")
    read_or_refuse(tmp_path / "changed.gguf", bytes(raw))


@given(tail=st.binary(max_size=400))
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_bytes_behind_the_magic_give_a_header_or_a_refusal(tmp_path, tail):
    read_or_refuse(tmp_path / "any.gguf", b"GGUF\x03\0\0\0" + tail)


def test_a_hostile_file_costs_neither_memory_nor_time(tmp_path):
    """Half a gigabyte of zeros read as empty strings, and as keys, ends at once."""
    path = tmp_path / "sparse.gguf"
    heads = [
        document([array("a", "str", 2**26, b"")], [], alignment=1),
        document([], [], n_keys=2**16, alignment=1),
        document([], [], n_tensors=2**17, alignment=1),
        document([key("a", "str", raw=struct.pack("<Q", 2**28))], [], alignment=1),
    ]
    tracemalloc.start()
    try:
        for head in heads:
            path.write_bytes(head)
            os.truncate(path, 2**29 + len(head))
            start = time.process_time()
            with pytest.raises(BadModelFile):
                read_header(path)
            assert time.process_time() - start < 5
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


def test_what_the_reference_writer_writes_reads(tmp_path):
    header = read_header(write_model(tmp_path / "model.gguf"))
    assert [t.name for t in header.tensors] == ["token_embd.weight", "output_norm.weight"]
    assert header.tensors[0].shape == (32, 64)
    assert header.tensors[0].n_elements == 2048
