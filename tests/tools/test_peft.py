"""PEFT's adapters: converted, they change a model as the same adapter in GGUF does."""

from __future__ import annotations

import json
import math

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from runner.errors import BadModelFile, UnsupportedArchitecture
from runner.gguf.adapter import check_adapter
from runner.gguf.reader import read_header
from runner.tools.convert.peft import convert_adapter
from tests.fakes.decoder_folder import theirs, turned_back
from tests.fakes.random_models import N_HEAD, random_adapter, random_llama
from tests.fakes.wide_models import wide_llama


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "base.gguf"
    random_llama(path)
    return path


def peft_folder(source, made):
    """Write the adapter of the fakes as PEFT would have saved it, and return the folder."""
    tensors = {}
    for one in gguf.GGUFReader(source).tensors:
        stem, _, half = one.name.rpartition(".lora_")
        name = theirs(stem).removesuffix(".weight")
        array = np.array(one.data)
        if half == "b" and "q_proj" in name:
            array = turned_back(array, N_HEAD)
        tensors[f"base_model.model.{name}.lora_{half.upper()}.weight"] = np.ascontiguousarray(array)
    made.mkdir()
    save_file(tensors, made / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "lora_alpha": 8, "r": 4, "bias": "none", "use_dora": False}
    (made / "adapter_config.json").write_text(json.dumps(config))
    return made


@pytest.fixture
def folder(tmp_path):
    return peft_folder(random_adapter(tmp_path / "adapter.gguf"), tmp_path / "peft")


def files(folder):
    return {path.name: path for path in folder.iterdir()}


def converted(folder, base, tmp_path):
    out = tmp_path / "out.gguf"
    convert_adapter(files(folder), read_header(base), out)
    return out


def change(folder, **more):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **more}))


def changed(folder, do):
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    do(tensors)
    save_file(tensors, path)


def test_a_converted_adapter_has_the_tensors_of_the_gguf_one(folder, base, tmp_path):
    out = converted(folder, base, tmp_path)
    check_adapter(read_header(out), "llama")
    want = {
        one.name: np.array(one.data) for one in gguf.GGUFReader(folder / "../adapter.gguf").tensors
    }
    have = {one.name: np.array(one.data) for one in gguf.GGUFReader(out).tensors}
    assert want.keys() == have.keys()
    assert all(np.array_equal(want[name], have[name]) for name in want)
    assert read_header(out).metadata["adapter.lora.alpha"] == 8


def test_rank_stabilized_adapters_keep_their_strength(folder, base, tmp_path):
    change(folder, use_rslora=True)
    out = converted(folder, base, tmp_path)
    # llama.cpp divides by the rank of 4; such an adapter wants alpha / sqrt(4).
    assert read_header(out).metadata["adapter.lora.alpha"] / 4 == pytest.approx(8 / math.sqrt(4))


@pytest.mark.parametrize("is_stabilized", [False, True])
def test_pairs_with_a_rank_or_an_alpha_of_their_own_keep_their_strength(
    folder, base, tmp_path, is_stabilized
):
    """What is added to a weight is b @ a times alpha through the rank, as PEFT has it."""
    patterns = {"q_proj": 32, "layers.0.self_attn.o_proj": 2}
    change(folder, use_rslora=is_stabilized, rank_pattern={"q_proj": 2}, alpha_pattern=patterns)

    def narrower(tensors):
        for name in [name for name in tensors if "q_proj" in name]:
            array = tensors[name]
            tensors[name] = np.ascontiguousarray(array[:2] if "lora_A" in name else array[:, :2])

    changed(folder, narrower)
    out = converted(folder, base, tmp_path)
    have = {one.name: np.array(one.data) for one in gguf.GGUFReader(out).tensors}
    alpha = read_header(out).metadata["adapter.lora.alpha"]
    tensors = load_file(folder / "adapter_model.safetensors")
    for name in [name for name in tensors if name.endswith("lora_B.weight")]:
        module = name.removeprefix("base_model.model.").removesuffix(".lora_B.weight")
        a, b = tensors[name.replace("lora_B", "lora_A")], tensors[name]
        own = next((value for key, value in patterns.items() if module.endswith(key)), 8)
        divisor = math.sqrt(len(a)) if is_stabilized else len(a)
        layer, part = module.split(".")[2], module.split(".")[-1]
        ours = {"q_proj": "attn_q", "o_proj": "attn_output"}[part]
        stem = f"blk.{layer}.{ours}.weight"
        mine = have[f"{stem}.lora_b"] @ have[f"{stem}.lora_a"] * alpha / len(a)
        if part == "q_proj":
            mine = turned_back(mine, N_HEAD)
        np.testing.assert_allclose(mine, b @ a * own / divisor, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"peft_type": "LOHA"}, "kind LOHA"),
        ({"lora_alpha": "much"}, "lora_alpha"),
        ({"lora_alpha": 0}, "lora_alpha"),
        ({"alpha_pattern": {"(": 1}}, "alpha_pattern"),
    ],
)
def test_what_is_more_than_lora_is_refused_by_its_name(folder, base, tmp_path, setting, words):
    change(folder, **setting)
    with pytest.raises(BadModelFile, match=words):
        converted(folder, base, tmp_path)


def test_an_adapter_of_another_model_is_refused_by_its_tensor(folder, tmp_path):
    other = wide_llama(tmp_path / "wide.gguf")
    with pytest.raises(BadModelFile, match=r"layers\.0\..* has shape"):
        converted(folder, other, tmp_path)


def test_a_tensor_that_changes_something_else_is_refused_by_its_name(folder, base, tmp_path):
    name = "base_model.model.model.embed_tokens.lora_embedding_A"
    changed(folder, lambda tensors: tensors.update({name: np.zeros((4, 8), np.float32)}))
    with pytest.raises(BadModelFile, match="lora_embedding_A"):
        converted(folder, base, tmp_path)


def test_a_half_without_the_other_is_refused(folder, base, tmp_path):
    changed(folder, lambda tensors: tensors.pop(next(n for n in tensors if "lora_B" in n)))
    with pytest.raises(BadModelFile, match="only one half"):
        converted(folder, base, tmp_path)


def test_an_adapter_for_a_kind_that_is_not_known_is_refused(folder, base, tmp_path):
    header = read_header(base)
    strange = type(header)(
        **{
            name: getattr(header, name)
            for name in header.__dataclass_fields__
            if name != "metadata"
        },
        metadata={"general.architecture": "mamba"},
    )
    with pytest.raises(UnsupportedArchitecture, match="mamba"):
        convert_adapter(files(folder), strange, tmp_path / "out.gguf")
