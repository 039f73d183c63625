"""LoRA adapters are told from other files, and from those of other models, by their header."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.errors import BadModelFile
from runner.gguf.adapter import check_adapter, check_fits
from runner.gguf.reader import read_header
from tests.fakes.adapters import adaptable_model, adapter
from tests.fakes.wide_models import wide_llama


def test_an_adapter_of_the_architecture_passes(tmp_path):
    check_adapter(read_header(adapter(tmp_path / "a.gguf")), "llama")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"architecture": "qwen2"}, "architecture 'qwen2', but this one is 'llama'"),
        ({"kind": "other"}, "not a LoRA adapter"),
        ({"half": True}, "lora_b' is missing"),
    ],
)
def test_another_file_is_refused_with_the_reason(tmp_path, more, words):
    with pytest.raises(BadModelFile, match=words):
        check_adapter(read_header(adapter(tmp_path / "a.gguf", **more)), "llama")


def test_an_adapter_fits_the_model_it_was_made_for(tmp_path):
    check_fits(
        read_header(adapter(tmp_path / "a.gguf")), read_header(adaptable_model(tmp_path / "m.gguf"))
    )


def test_an_adapter_of_a_larger_model_is_refused_by_its_tensor(tmp_path):
    own = read_header(adapter(tmp_path / "a.gguf"))
    with pytest.raises(BadModelFile, match=r"tensor 'blk\.0\.\w+\.weight' of \d+ x \d+, but the"):
        check_fits(own, read_header(wide_llama(tmp_path / "wide.gguf")))
    shallow = read_header(adaptable_model(tmp_path / "m.gguf"))
    shallow = replace(shallow, tensors=shallow.tensors[:-6])
    with pytest.raises(BadModelFile, match=r"'blk\.1\.\w+\.weight', which the model does not have"):
        check_fits(own, shallow)


def test_a_model_is_no_adapter(tmp_path):
    with pytest.raises(BadModelFile, match="not a LoRA adapter"):
        check_adapter(read_header(adaptable_model(tmp_path / "m.gguf")), "llama")
