"""Llama and Qwen folders to GGUF: there and back again, and what cannot be converted."""

from __future__ import annotations

import json

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from runner.domain.chat import Message
from runner.domain.options import SamplingParams
from runner.errors import BadModelFile, UnsupportedArchitecture
from runner.gguf.metadata import describe, refuse_unrunnable
from runner.gguf.reader import read_header
from runner.hub.packaged import find_starter
from runner.protocol.messages import Generate, Load
from runner.tools.convert.convert import convert
from tests.engine.running import Running
from tests.fakes.bert_folder import change_json
from tests.fakes.decoder_folder import decoder_folder
from tests.fakes.random_models import random_llama

#: Keys that name the maker or the storage, and not the model.
_OF_THE_FILE = ("general.", "GGUF.")


def tensors_of(path):
    return contents_of(path)[0]


def contents_of(path):
    """Tensors and keys, from one reading: a large vocabulary takes the gguf package seconds."""
    reader = gguf.GGUFReader(path)
    tensors = {
        one.name: gguf.quants.dequantize(one.data, one.tensor_type).astype(np.float32)
        for one in reader.tensors
    }
    keys = {
        name: field.contents()
        for name, field in reader.fields.items()
        if not name.startswith(_OF_THE_FILE)
    }
    return tensors, keys


def different(before, after, ignored=()):
    """Names of the keys that differ: 50,000 tokens are never shown side by side."""
    return [name for name in before if name not in ignored and after.get(name) != before[name]]


def said(path, prompt, n=24):
    """What a model says greedily."""
    from runner.engine.llama.backend import LlamaBackend

    backend = LlamaBackend(Load("l", str(path), n_ctx=256, n_cells=256, n_seq_max=1, n_threads=1))
    try:
        with Running(backend.model, backend) as running:
            greedy = SamplingParams(temperature=0)
            running.ask(Generate("r", greedy, messages=(Message("user", prompt),), max_tokens=n))
            return running.texts["r"]
    finally:
        backend.close()


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    path = tmp_path_factory.mktemp("llama") / "random.gguf"
    random_llama(path)
    return path


@pytest.fixture
def folder(llama, tmp_path):
    return decoder_folder(llama, tmp_path / "folder", dtype=np.float32)


def changed(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_a_llama_there_and_back_again_is_the_same(llama, folder, tmp_path):
    out = tmp_path / "out.gguf"
    convert(folder, out, file_type="f32")
    refuse_unrunnable(read_header(out))
    (before, keys), (after, kept) = contents_of(llama), contents_of(out)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert different(keys, kept, ignored=("tokenizer.ggml.scores",)) == []
    assert describe(read_header(out)).quantization == "F32"


@pytest.mark.parametrize("kind", ["qwen2", "qwen3"])
def test_qwens_keep_the_order_of_rows_and_their_own_tensors(folder, tmp_path, kind):
    name = {"qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}[kind]
    change_json(folder / "config.json", architectures=[name], head_dim=16)
    rng = np.random.default_rng(3)

    def more(tensors):
        for layer in range(2):
            at = f"model.layers.{layer}.self_attn."
            for part in "qkv":
                width = len(tensors[f"{at}{part}_proj.weight"])
                if kind == "qwen2":
                    tensors[f"{at}{part}_proj.bias"] = rng.normal(size=width).astype(np.float32)
                elif part != "v":
                    tensors[f"{at}{part}_norm.weight"] = rng.normal(size=16).astype(np.float32)

    changed(folder, more)
    config = json.loads((folder / "config.json").read_text())
    n_dim = config["hidden_size"] // config["num_attention_heads"]
    change_json(folder / "config.json", head_dim=n_dim)
    if n_dim != 16 and kind == "qwen3":

        def wider(tensors):
            for layer in range(2):
                for part in "qk":
                    key = f"model.layers.{layer}.self_attn.{part}_norm.weight"
                    tensors[key] = rng.normal(size=n_dim).astype(np.float32)

        changed(folder, wider)
    out = tmp_path / "out.gguf"
    convert(folder, out, file_type="f32")
    header = read_header(out)
    assert describe(header).architecture == kind
    theirs, ours = load_file(folder / "model.safetensors"), tensors_of(out)
    want = theirs["model.layers.1.self_attn.q_proj.weight"]
    assert np.array_equal(ours["blk.1.attn_q.weight"], want)
    extra = "self_attn.k_proj.bias" if kind == "qwen2" else "self_attn.k_norm.weight"
    mine = "attn_k.bias" if kind == "qwen2" else "attn_k_norm.weight"
    assert np.array_equal(ours[f"blk.0.{mine}"], theirs[f"model.layers.0.{extra}"])
    assert said(out, "hello", 4) is not None


def test_a_head_that_shares_the_embeddings_is_not_written(folder, tmp_path):
    change_json(folder / "config.json", tie_word_embeddings=True)
    out = tmp_path / "out.gguf"
    convert(folder, out)
    assert "output.weight" not in tensors_of(out)


def test_what_is_missing_is_told_before_anything_is_written(folder, tmp_path):
    out = tmp_path / "out.gguf"
    changed(folder, lambda tensors: tensors.pop("lm_head.weight"))
    with pytest.raises(BadModelFile, match=r"the tensor 'lm_head\.weight' is missing in "):
        convert(folder, out)
    change_json(folder / "config.json", tie_word_embeddings=None)  # then nobody says so
    convert(folder, out)
    assert "output.weight" not in tensors_of(out)
    told = []
    changed(folder, lambda tensors: tensors.pop("model.norm.weight"))
    with pytest.raises(BadModelFile, match=r"the tensor 'model\.norm\.weight' is missing in "):
        convert(folder, out, progress=told.append)
    assert told == []


def test_a_file_of_several_that_is_missing_is_named_by_the_index(folder, tmp_path):
    index = {"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BadModelFile, match=r"has no model-00001-of-00002\.safetensors") as caught:
        convert(folder, tmp_path / "out.gguf")
    assert "model.safetensors.index.json names it" in caught.value.hint


def test_files_that_lie_apart_are_a_folder_all_the_same(folder, tmp_path):
    apart = {}
    for number, path in enumerate(sorted(folder.iterdir())):
        moved = tmp_path / f"sha256-{number}"
        path.rename(moved)
        apart[path.name] = moved
    out = tmp_path / "out.gguf"
    convert(apart, out, name="mine")
    assert read_header(out).metadata["general.name"] == "mine"


def test_llama_3s_positions_get_factors_of_their_own(folder, tmp_path):
    rope = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    change_json(folder / "config.json", rope_scaling=rope)
    out = tmp_path / "out.gguf"
    convert(folder, out)
    factors = tensors_of(out)["rope_freqs.weight"]
    assert factors[0] == 1.0  # turns often
    assert factors[-1] == 8.0  # hardly turns
    assert np.all(np.diff(factors) >= 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rope_scaling": {"rope_type": "longrope", "factor": 2}}, "longrope"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"architectures": ["MambaForCausalLM"]}, "MambaForCausalLM"),
    ],
)
def test_what_is_not_known_is_an_unsupported_architecture(folder, tmp_path, change, words):
    change_json(folder / "config.json", **change)
    with pytest.raises(UnsupportedArchitecture, match=words):
        convert(folder, tmp_path / "out.gguf")
    assert not list(tmp_path.glob("*.gguf*"))


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("config.json", {"hidden_size": "wide"}, "hidden_size"),
        ("config.json", {"num_key_value_heads": 3}, "heads"),
        ("config.json", {"vocab_size": 7}, "tokens"),
        ("config.json", {"num_hidden_layers": 3}, r"model\.layers\.2"),
        ("config.json", {"intermediate_size": 5}, "shape"),
        ("config.json", {"rope_scaling": {"type": "linear"}}, "factor"),
        ("tokenizer.json", {"model": {"type": "BPE", "vocab": {}}}, "no vocabulary"),
        ("tokenizer.json", {"model": {"type": "BPE", "vocab": {"a": -1}}}, "no id"),
        ("tokenizer.json", {"added_tokens": [{"content": "x"}]}, "no id"),
        ("tokenizer.json", {"added_tokens": [{"id": 10**9, "content": "x"}]}, "go up to"),
    ],
)
def test_a_damaged_folder_says_what_is_wrong(folder, tmp_path, file, change, words):
    change_json(folder / file, **change)
    with pytest.raises(BadModelFile, match=words):
        convert(folder, tmp_path / "out.gguf")
    assert not list(tmp_path.glob("*.gguf*"))


def test_a_way_of_splitting_that_is_not_known_is_refused(folder, tmp_path):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    model = {**tokenizer["model"], "byte_fallback": False}
    change_json(folder / "tokenizer.json", model=model, pre_tokenizer={"type": "Metaspace"})
    with pytest.raises(UnsupportedArchitecture, match="Metaspace"):
        convert(folder, tmp_path / "out.gguf")


def test_a_folder_without_a_tokenizer_says_how_to_get_one(folder, tmp_path):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BadModelFile, match=r"no tokenizer\.json"):
        convert(folder, tmp_path / "out.gguf")


@pytest.mark.live
@pytest.mark.timeout(300)
@pytest.mark.skipif(find_starter() is None, reason="the starter is not installed")
def test_the_starter_there_and_back_again_says_the_same(tmp_path):
    """Taken apart into f16 and converted, its tensors are those it was taken apart into."""
    folder = decoder_folder(find_starter(), tmp_path / "starter")
    out = tmp_path / "out.gguf"
    convert(folder, out)
    (before, keys), (after, kept) = contents_of(find_starter()), contents_of(out)
    assert before.keys() == after.keys()
    for name, want in before.items():
        assert np.array_equal(want.astype(np.float16), after[name].astype(np.float16)), name
    assert different(keys, kept) == []
    question = "What is gravity?"
    assert said(out, question) == said(find_starter(), question)
