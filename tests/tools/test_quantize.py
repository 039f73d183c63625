"""Quantizing: what llama.cpp's own function writes, and what is refused before it writes."""

from __future__ import annotations

import ctypes

import gguf
import llama_cpp
import numpy as np
import pytest

from bench.tools import tensors_of
from runner.domain.file_types import FILE_TYPES
from runner.engine.llama import quantize as llama
from runner.errors import BadModelFile, InvalidRequest
from runner.gguf.reader import read_header
from runner.gguf.tensor_types import TENSOR_TYPES
from runner.protocol.tasks import Moment, Quantize
from runner.tools.imatrix import read_imatrix
from runner.tools.quantize import run
from tests.fakes.wide_models import importance_matrix, shapes, wide_llama


def task(source, out="", file_type="Q4_K_M", **more):
    return Quantize((str(source),), str(out), file_type, n_threads=1, **more)


def quantized(source, out, file_type, **more):
    told = []
    return run(task(source, out, file_type, **more), told.append), told


def by_llama(source, out, number, imatrix=None):
    """The function of llama.cpp's own tool, on its defaults."""
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = number, 1
    if imatrix:
        floats = ctypes.POINTER(ctypes.c_float)
        rows = [(n.encode(), v.ctypes.data_as(floats), v.size) for n, v in imatrix.items()]
        params.imatrix = (llama_cpp.llama_model_imatrix_data * (len(rows) + 1))(*rows)
    assert llama_cpp.llama_model_quantize(str(source).encode(), str(out).encode(), params) == 0


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    return importance_matrix(tmp_path_factory.mktemp("imatrix") / "wide.imatrix.gguf")


@pytest.mark.parametrize("file_type", FILE_TYPES)
def test_every_type_has_the_tensors_of_llama_cpp_and_the_size_that_was_told(
    wide, matrix, tmp_path, file_type
):
    out, theirs = tmp_path / "ours.gguf", tmp_path / "theirs.gguf"
    planned = run(task(wide, file_type=file_type, imatrix_path=str(matrix)), lambda _: None)
    found, _ = quantized(wide, out, file_type, imatrix_path=str(matrix))
    by_llama(wide, theirs, FILE_TYPES[file_type], read_imatrix(matrix))
    assert tensors_of(out) == tensors_of(theirs)
    header = read_header(out)
    types = {one.name: one.type_name.lower() for one in header.tensors}
    assert {one.name: one.target_type for one in planned.tensors} == types
    assert planned.tensors == found.tensors
    # A key of another length than the source's would move the data; these have all the same.
    assert abs(planned.n_file_bytes - out.stat().st_size) <= 64


def test_without_a_matrix_a_type_that_needs_none_is_the_tools_own(wide, tmp_path):
    out, theirs = tmp_path / "ours.gguf", tmp_path / "theirs.gguf"
    quantized(wide, out, "Q4_K_M")
    by_llama(wide, theirs, FILE_TYPES["Q4_K_M"])
    assert tensors_of(out) == tensors_of(theirs)


@pytest.mark.parametrize("file_type", ["Q8_0", "Q4_K_M", "IQ2_XS"])
def test_a_tensor_in_pieces_is_the_same_as_in_one(wide, matrix, tmp_path, monkeypatch, file_type):
    out, theirs = tmp_path / "ours.gguf", tmp_path / "theirs.gguf"
    monkeypatch.setattr(llama, "_SLAB_BYTES", 1 << 14)  # a few rows of this model
    quantized(wide, out, file_type, imatrix_path=str(matrix))
    by_llama(wide, theirs, FILE_TYPES[file_type], read_imatrix(matrix))
    assert tensors_of(out) == tensors_of(theirs)


def test_progress_counts_the_sources_bytes_up_to_the_end(wide, tmp_path):
    _, told = quantized(wide, tmp_path / "out.gguf", "Q8_0")
    done = [moment.n_done for moment in told]
    n_bytes = sum(one.n_bytes for one in read_header(wide).tensors)
    assert done == sorted(done)
    assert told[-1] == Moment("quantizing to Q8_0", n_bytes, n_bytes)
    # Those of tensors that count: the small ones are not worth a word.
    assert len(set(done)) == len(done) > len([one for one in shapes().values() if len(one) > 1])


def test_a_tensor_that_is_named_gets_its_own_type(wide, tmp_path):
    out = tmp_path / "out.gguf"
    quantized(wide, out, "Q4_0", tensors=(("ffn_down", "q8_0"), (r"blk\.1\.attn_q", "q5_1")))
    types = {one.name: one.type_name for one in read_header(out).tensors}
    assert types["blk.0.ffn_down.weight"] == "Q8_0"
    assert types["blk.1.attn_q.weight"] == "Q5_1"
    assert types["blk.0.attn_q.weight"] == "Q4_0"


def test_a_model_that_is_quantized_already_is_refused_by_its_tensor(wide, tmp_path):
    once, out = tmp_path / "once.gguf", tmp_path / "twice.gguf"
    quantized(wide, once, "Q8_0")
    with pytest.raises(BadModelFile, match=r"'output.weight' is in Q8_0"):
        quantized(once, out, "Q4_0")
    assert not out.exists()
    planned = run(task(once, file_type="Q4_0"), lambda _: None)
    assert "'output.weight' is in Q8_0, and would lose once more" in planned.problem
    assert "--requantize" in planned.hint
    assert planned.n_file_bytes < once.stat().st_size
    quantized(once, out, "Q4_0", requantizes=True)
    assert read_header(out).tensors


@pytest.mark.parametrize("file_type", ["IQ2_XS", "IQ1_S", "Q2_K_S", "IQ3_XXS"])
def test_a_type_that_needs_a_matrix_says_for_which_tensor(wide, tmp_path, file_type):
    problem = run(task(wide, file_type=file_type), lambda _: None).problem
    assert f"{file_type} needs an importance matrix: without one, tensor 'blk.0." in problem
    with pytest.raises(BadModelFile, match=r"tensor 'blk\.0\."):
        quantized(wide, tmp_path / "out.gguf", file_type)
    assert not (tmp_path / "out.gguf").exists()


def test_a_matrix_that_lacks_a_tensor_says_which(wide, tmp_path):
    matrix = importance_matrix(tmp_path / "part.gguf", names=("blk.0.attn_k.weight",))
    found = run(task(wide, file_type="IQ2_XS", imatrix_path=str(matrix)), lambda _: None)
    assert "tensor 'blk.0.attn_output.weight' would be useless" in found.problem


def test_a_matrix_of_another_model_is_refused_by_its_tensor(wide, tmp_path):
    matrix = importance_matrix(tmp_path / "other.gguf", names=("blk.1.ffn_up.weight",), width=64)
    with pytest.raises(BadModelFile, match=r"64 values for 'blk\.1\.ffn_up\.weight'.* 256 columns"):
        quantized(wide, tmp_path / "out.gguf", "Q4_0", imatrix_path=str(matrix))


@pytest.mark.parametrize("content", [b"", b"GGUF", b"\x01\0\0\0", b"\xff" * 64, b"hello, world"])
def test_what_is_no_matrix_is_refused(wide, tmp_path, content):
    path = tmp_path / "bad.dat"
    path.write_bytes(content)
    with pytest.raises(BadModelFile, match="no importance matrix"):
        quantized(wide, tmp_path / "out.gguf", "Q4_0", imatrix_path=str(path))


def test_the_older_form_of_a_matrix_is_read(wide, tmp_path):
    values = np.linspace(1, 2, 256, dtype="<f4")
    name = b"blk.0.attn_q.weight"
    raw = np.array([1, len(name)], "<i4").tobytes() + name
    raw += np.array([4, values.size], "<i4").tobytes() + values.tobytes()
    path = tmp_path / "old.dat"
    path.write_bytes(raw)
    assert np.array_equal(read_imatrix(path)["blk.0.attn_q.weight"], values / 4)


def test_a_storage_type_that_is_none_is_refused_by_its_pattern(wide):
    with pytest.raises(InvalidRequest, match="tensor 'ffn': no type 'q99'"):
        run(task(wide, tensors=(("ffn", "q99"),)), lambda _: None)


@pytest.mark.parametrize("file_type", ["F32", "F16", "BF16"])
def test_a_file_that_is_not_quantized_has_no_types_by_pattern(wide, tmp_path, file_type):
    with pytest.raises(InvalidRequest, match=f"in a file of type {file_type}"):
        quantized(wide, tmp_path / "out.gguf", file_type, tensors=(("ffn_down", "q8_0"),))
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize("kind", sorted(one.name.lower() for one in TENSOR_TYPES.values()))
def test_every_storage_type_is_written_or_refused_by_its_pattern(wide, matrix, tmp_path, kind):
    """None of them ends the process."""
    out, pattern = tmp_path / "out.gguf", "blk.0.ffn_down"
    more = {"tensors": ((pattern, kind),), "imatrix_path": str(matrix)}
    try:
        quantized(wide, out, "Q8_0", **more)
    except InvalidRequest as error:
        assert f"not written in the type '{kind}'" in error.message
        assert not out.exists()
    else:
        types = {one.name: one.type_name.lower() for one in read_header(out).tensors}
        assert types[f"{pattern}.weight"] == kind


def test_a_pattern_that_is_no_regular_expression_is_refused(wide):
    with pytest.raises(InvalidRequest, match=r"tensor '\(': this is no regular expression"):
        run(task(wide, tensors=(("(", "q8_0"),)), lambda _: None)


def test_a_pattern_that_finds_nothing_is_told(wide):
    with pytest.raises(InvalidRequest, match="'ffn_dwon': no tensor of the model has") as caught:
        run(task(wide, tensors=(("attn_q", "q8_0"), ("ffn_dwon", "q8_0"))), lambda _: None)
    assert "blk.0.ffn_down.weight" in caught.value.hint


def test_a_model_in_several_files_becomes_one(wide, tmp_path):
    """Each tensor is in one of two files whose names say nothing of their order."""
    parts = []
    reader = gguf.GGUFReader(wide)
    half = len(reader.tensors) // 2
    for number, tensors in enumerate((reader.tensors[:half], reader.tensors[half:])):
        path = tmp_path / f"sha256-{'ba'[number]}"
        writer = gguf.GGUFWriter(path, "llama")
        if number == 0:
            copy_keys(reader, writer)
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", 2)
        writer.add_int32("split.tensors.count", len(reader.tensors))
        for tensor in tensors:
            writer.add_tensor(tensor.name, np.array(tensor.data))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        parts.append(path)
    out, whole = tmp_path / "out.gguf", tmp_path / "whole.gguf"
    run(Quantize(tuple(map(str, parts)), str(out), "Q4_0", n_threads=1), lambda _: None)
    quantized(wide, whole, "Q4_0")
    assert tensors_of(out) == tensors_of(whole)


def copy_keys(reader, writer):
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        value = field.contents()
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_array(key, value)
        else:
            writer.add_key_value(key, value, field.types[0])


def test_a_float32_source_gives_f16_as_llama_cpp_rounds(tmp_path):
    source = wide_llama(tmp_path / "f32.gguf", dtype="f32")
    out = tmp_path / "out.gguf"
    quantized(source, out, "F16")
    want = gguf.GGUFReader(source).tensors
    have = {one.name: one for one in gguf.GGUFReader(out).tensors}
    for one in want:
        if len(one.shape) == 2:
            assert np.array_equal(np.array(one.data).astype(np.float16), have[one.name].data)
