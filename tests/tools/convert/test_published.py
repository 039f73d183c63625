"""Folders as hubs publish them: the engine computes from the file what numpy does from them."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from runner.domain.model import Capability
from runner.errors import BadModelFile, UnsupportedArchitecture
from runner.gguf.metadata import describe, refuse_unrunnable
from runner.gguf.reader import read_header
from runner.protocol.messages import Embed, Load
from runner.tools.convert.convert import convert
from tests.engine.test_kinds import compute
from tests.fakes.bert_folder import change_json, write_json
from tests.fakes.published_decoder import SPECIAL, NumpyDecoder, byte_tokenizer, published
from tests.tools.convert.test_convert import ask
from tests.tools.convert.test_decoder import tensors_of

TOKENS = [int(token) for token in np.random.default_rng(5).integers(0, 257, 40)]
LLAMA, QWEN2, QWEN3, SMOLLM3 = (
    f"{kind}ForCausalLM" for kind in ("Llama", "Qwen2", "Qwen3", "SmolLM3")
)
QKV = tuple(f"self_attn.{part}_proj" for part in "qkv")
MLP = tuple(f"mlp.{part}_proj" for part in ("gate", "up", "down"))
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}


def computed(path, tokens):
    """The engine's logits; nothing is rounded to 16 bits on the way."""
    from runner.engine.llama.backend import LlamaBackend

    exact = {"kv_type_k": "f32", "kv_type_v": "f32", "flash_attention": False}
    load = Load("l", str(path), n_ctx=128, n_cells=128, n_seq_max=1, n_threads=1, **exact)
    backend = LlamaBackend(load)
    try:
        return compute(backend, tokens)
    finally:
        backend.close()


@pytest.mark.live
@pytest.mark.parametrize(
    ("architecture", "how"),
    [
        (LLAMA, {}),
        (LLAMA, {"tie_word_embeddings": True}),
        (LLAMA, {"biased": (*QKV, "self_attn.o_proj", *MLP), "attention_bias": True}),
        (LLAMA, {"head_dim": 8, "num_key_value_heads": 2}),
        (LLAMA, {"head_dim": 20, "n_more_rows": 61}),
        (LLAMA, {"rope_scaling": LLAMA3, "rope_theta": 500000.0}),
        (LLAMA, {"rope_scaling": {"type": "linear", "factor": 4.0}}),
        (LLAMA, {"rope_theta": None, "rope_parameters": {**LLAMA3, "rope_theta": 50000.0}}),
        (LLAMA, {"rope_scaling": YARN}),
        (QWEN2, {"biased": QKV}),
        (QWEN2, {"biased": QKV, "rope_scaling": {**YARN, "beta_fast": 32.0, "beta_slow": 1.0}}),
        (QWEN2, {"biased": QKV, "rope_scaling": {**YARN, "attention_factor": 1.5}}),
        (QWEN2, {"biased": QKV, "rope_scaling": {**YARN, "mscale": 2.0, "mscale_all_dim": 1.0}}),
        (QWEN2, {"biased": QKV, "rope_scaling": {"type": "yarn", "factor": 2.0}}),
        (QWEN3, {"head_dim": 16}),
        (QWEN3, {"head_dim": 16, "biased": QKV, "tie_word_embeddings": True}),
        (QWEN3, {"head_dim": 12, "rope_scaling": YARN}),
        (SMOLLM3, {"no_rope_layers": [1, 1, 1, 0], "tie_word_embeddings": True}),
    ],
    ids=str,
)
def test_the_engine_computes_what_the_folder_says(tmp_path, architecture, how):
    folder = published(tmp_path / "folder", architecture, **how)
    convert(folder, tmp_path / "out.gguf", file_type="f32")
    refuse_unrunnable(read_header(tmp_path / "out.gguf"))
    wanted = NumpyDecoder(folder).logits(TOKENS)
    np.testing.assert_allclose(computed(tmp_path / "out.gguf", TOKENS), wanted, atol=2e-3)
    assert np.ptp(wanted) > 5


@pytest.mark.parametrize(
    "how",
    [
        {"n_files": 3},
        {"dtypes": ("bf16", "f4", "f2")},
        {"n_files": 2, "dtypes": ("f2", "bf16")},
        {"prefix": ""},
    ],
    ids=str,
)
def test_however_tensors_are_stored_they_are_those_of_one_file(tmp_path, how):
    """A bfloat16 keeps 8 bits of what is written here, and what is less is cut off."""
    folder = published(tmp_path / "folder", LLAMA, **how)
    convert(folder, tmp_path / "out.gguf", file_type="f32")
    whole = published(tmp_path / "whole", LLAMA)
    convert(whole, tmp_path / "whole.gguf", file_type="f32")
    have, want = tensors_of(tmp_path / "out.gguf"), tensors_of(tmp_path / "whole.gguf")
    assert have.keys() == want.keys()
    rough = 2**-7 if "dtypes" in how else 0.0
    for name, value in want.items():
        np.testing.assert_allclose(have[name], value, rtol=rough, atol=1e-7 if rough else 0)


def test_parts_without_their_index_are_found_and_a_missing_one_is_told(tmp_path):
    folder = published(tmp_path / "folder", LLAMA, n_files=3)
    (folder / "model.safetensors.index.json").unlink()
    convert(folder, tmp_path / "out.gguf")
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(BadModelFile, match="has 2 of 3 parts of the model"):
        convert(folder, tmp_path / "out.gguf")


@pytest.mark.parametrize(
    ("architecture", "how", "words"),
    [
        (QWEN2, {"head_dim": 8, "biased": QKV}, "'head_dim' is 8; of qwen2"),
        (QWEN2, {"rope_scaling": LLAMA3}, "llama3"),
        (LLAMA, {"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        (QWEN2, {"rope_scaling": {**YARN, "beta_fast": 8.0}}, "'beta_fast' is 8.0; llama.cpp"),
        (QWEN3, {"rope_scaling": {**YARN, "truncate": False}}, "'truncate' is False"),
        (SMOLLM3, {"no_rope_layers": [1, 0, 1, 0]}, "every fourth"),
    ],
)
def test_what_llama_cpp_does_not_compute_is_told_before_it_is_made(
    tmp_path, architecture, how, words
):
    folder = published(tmp_path / "folder", architecture, **how)
    with pytest.raises(UnsupportedArchitecture, match=words):
        convert(folder, tmp_path / "out.gguf")


@pytest.mark.parametrize(
    ("architecture", "how", "words"),
    [
        (QWEN3, {"biased": ("self_attn.o_proj",)}, r"o_proj\.bias' is none that llama\.cpp knows"),
        (SMOLLM3, {"biased": MLP}, r"down_proj\.bias' is none that llama\.cpp knows of smollm3"),
        (LLAMA, {"quantization_config": {"quant_method": "awq"}}, "quantized already, with awq"),
        (LLAMA, {"rope_scaling": {**LLAMA3, "high_freq_factor": 0.5}}, "must be above"),
        (LLAMA, {"rope_scaling": {"type": "yarn", "factor": float("inf")}}, "'factor' in config"),
    ],
)
def test_what_would_make_another_model_is_refused_by_its_name(tmp_path, architecture, how, words):
    folder = published(tmp_path / "folder", architecture, **how)
    with pytest.raises(BadModelFile, match=words):
        convert(folder, tmp_path / "out.gguf")
    assert not list(tmp_path.glob("*.gguf*"))


def test_what_can_be_computed_is_no_tensor_too_many(tmp_path):
    folder = published(tmp_path / "folder", LLAMA, tie_word_embeddings=None)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(6, np.float32)
    save_file(tensors, folder / "model.safetensors")
    change_json(folder / "config.json", tie_word_embeddings=True)  # the head is in the file, too
    convert(folder, tmp_path / "out.gguf")
    assert "output.weight" not in tensors_of(tmp_path / "out.gguf")


def test_all_tokens_that_end_an_answer_are_kept(tmp_path):
    folder = published(tmp_path / "folder", LLAMA)
    begin, end, stop = (257 + n for n in range(3))
    write_json(folder / "generation_config.json", {"eos_token_id": [stop, end, begin]})
    convert(folder, tmp_path / "out.gguf")
    keys = read_header(tmp_path / "out.gguf").metadata
    assert keys["tokenizer.ggml.eos_token_id"] == end  # as the tokenizer's settings say
    assert keys["tokenizer.ggml.eot_token_id"] == stop
    assert keys["tokenizer.ggml.eom_token_id"] == begin


@pytest.mark.live
def test_a_decoder_that_embeds_says_how_and_closes_its_texts(tmp_path):
    """Without a head, as ``Qwen3Model`` and the embedding models of Qwen 3 are published."""
    folder = published(tmp_path / "folder", "Qwen3Model", head_dim=16, prefix="")
    tensors = load_file(folder / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors")
    pooling = {"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", pooling)
    frame = [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": SPECIAL[2]}}]
    processor = {"type": "TemplateProcessing", "single": frame}
    change_json(folder / "tokenizer.json", post_processor=processor)
    out = tmp_path / "out.gguf"
    convert(folder, out, file_type="f32")
    header = read_header(out)
    assert Capability.EMBEDDING in describe(header).capabilities
    keys = header.metadata
    assert (keys["tokenizer.ggml.eos_token_id"], keys["tokenizer.ggml.eot_token_id"]) == (259, 258)
    found, (vector,) = ask(out, Embed("r", ("the",)))
    ids = byte_tokenizer()["model"]["vocab"]
    tokens = [ids["th"], ids["e"], 259]
    assert found.n_tokens == (len(tokens),)
    np.testing.assert_allclose(vector, NumpyDecoder(folder).embedding(tokens), atol=1e-3)
