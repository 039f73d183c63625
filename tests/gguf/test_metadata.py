"""Facts are what the header says: no more, and not what has the wrong type."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from runner.domain.model import Capability
from runner.errors import BadModelFile
from runner.gguf.metadata import describe, refuse_unrunnable
from runner.gguf.reader import GgufArray, Header, TensorInfo, read_header
from runner.hub.packaged import find_starter
from tests.fakes.gguf_files import write_model


def header(metadata: dict[str, Any], tensors: tuple[TensorInfo, ...] = ()) -> Header:
    metadata = {"general.architecture": "llama", **metadata}
    return Header(3, metadata, tensors, 32, 0, 0)


ATTENTION = {
    "llama.block_count": 4,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 8,
    "llama.attention.head_count_kv": 2,
}


def test_the_starter_model_is_described():
    path = find_starter()
    assert path is not None
    facts = describe(read_header(path))
    assert facts.architecture == "llama"
    assert facts.n_params == 134_515_008
    assert facts.quantization == "Q4_1"
    assert (facts.n_ctx_train, facts.n_embd, facts.n_layer) == (8192, 576, 30)
    assert facts.kv_widths == ((192, 192),) * 30  # 3 heads of 64
    assert facts.n_vocab == 49152
    assert facts.template.startswith("{% for message in messages %}")
    assert facts.license == "apache-2.0"
    assert facts.capabilities == (Capability.COMPLETION,)
    refuse_unrunnable(read_header(path))


def test_a_written_model_is_described(tmp_path):
    facts = describe(read_header(write_model(tmp_path / "model.gguf")))
    assert facts.quantization == "F32"
    assert facts.n_params == 64 * 32 + 32
    assert facts.n_weights_bytes == facts.n_params * 4
    assert facts.kv_widths == ((16, 16),)
    assert facts.n_vocab == 64
    assert facts.capabilities == (Capability.COMPLETION,)


def test_without_a_file_type_the_type_of_most_weights_names_the_quantization():
    tensors = (
        TensorInfo("a", 0, "F32", (100,), 0, 400),
        TensorInfo("b", 12, "Q4_K", (256, 4), 416, 576),
    )
    assert describe(header({}, tensors)).quantization == "Q4_K"
    assert describe(header({"general.file_type": 1024}, tensors)).quantization == "Q4_K"
    assert describe(header({"general.file_type": 15}, tensors)).quantization == "Q4_K_M"
    assert describe(header({})).quantization == "unknown"


@pytest.mark.parametrize(
    ("metadata", "widths"),
    [
        ({}, ((16, 16),) * 4),
        ({"llama.attention.key_length": 32}, ((64, 16),) * 4),
        ({"llama.attention.head_count_kv": (2, 0, 1, 2)}, ((16, 16), (0, 0), (8, 8), (16, 16))),
        (
            {"llama.attention.recurrent_layers": (True, True, True, False)},
            ((0, 0),) * 3 + ((16, 16),),
        ),
        ({"llama.full_attention_interval": 2}, ((0, 0), (16, 16)) * 2),
        ({"llama.attention.shared_kv_layers": 3}, ((16, 16),) + ((0, 0),) * 3),
        ({"llama.attention.shared_kv_layers": 99}, ((0, 0),) * 4),
        (
            {
                "llama.attention.key_length": 32,
                "llama.attention.key_length_swa": 4,
                "llama.attention.value_length_swa": 4,
                "llama.attention.sliding_window": 512,
                "llama.attention.sliding_window_pattern": (True, True, True, False),
            },
            ((8, 8),) * 3 + ((64, 16),),
        ),
        (
            {
                "llama.attention.head_count_kv": 1,
                "llama.attention.key_length": 576,
                "llama.attention.key_length_mla": 192,
                "llama.attention.value_length_mla": 128,
            },
            ((576, 0),) * 4,
        ),
        ({"llama.attention.head_count": 0}, ((0, 0),) * 4),
    ],
)
def test_cache_widths_follow_the_keys_of_attention(metadata, widths):
    assert describe(header({**ATTENTION, **metadata})).kv_widths == widths


def test_without_a_count_of_kv_heads_each_head_has_its_own():
    metadata = {k: v for k, v in ATTENTION.items() if not k.endswith("_kv")}
    assert describe(header(metadata)).kv_widths == ((64, 64),) * 4


@pytest.mark.parametrize(
    ("metadata", "capabilities"),
    [
        ({}, {"completion"}),
        ({"llama.pooling_type": 3}, {"embedding"}),
        ({"llama.pooling_type": 4}, {"rerank"}),
        ({"general.architecture": "bert"}, {"embedding"}),
        ({"tokenizer.chat_template": "{% if tools %}<think>"}, {"completion"}),
        ({"tokenizer.ggml.fim_pre_token_id": 1}, {"completion"}),
        (
            {"tokenizer.ggml.fim_pre_token_id": 1, "tokenizer.ggml.fim_suf_token_id": 2},
            {"completion", "insert"},
        ),
    ],
)
def test_the_capabilities_of_the_weights_come_from_keys(metadata, capabilities):
    assert {c.value for c in describe(header(metadata)).capabilities} == capabilities


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("general.architecture", 7),
        ("general.file_type", "Q4_0"),
        ("general.license", ("mit",)),
        ("llama.block_count", "many"),
        ("llama.block_count", 513),
        ("llama.block_count", True),
        ("llama.context_length", 1.5),
        ("llama.context_length", -1),
        ("llama.embedding_length", (1, 2)),
        ("llama.attention.head_count", "8"),
        ("llama.attention.head_count_kv", (1, 2)),
        ("llama.attention.head_count_kv", (1, 2, "3", 4)),
        ("llama.attention.head_count_kv", GgufArray("i32", 5000)),
        ("llama.attention.recurrent_layers", (True,)),
        ("tokenizer.ggml.tokens", "a b c"),
        ("tokenizer.chat_template", 3),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_its_key(key, value):
    with pytest.raises(BadModelFile, match=key.replace(".", r"\.")):
        describe(header({**ATTENTION, key: value}))


def test_a_file_that_does_not_say_what_it_is_is_refused():
    with pytest.raises(BadModelFile, match=r"general\.architecture"):
        describe(Header(3, {}, (), 32, 0, 0))


values = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.booleans(),
    st.sampled_from(["", "8", "llama"]),
    st.lists(st.integers(0, 9), max_size=6).map(tuple),
    st.just(GgufArray("i32", 9999)),
)
keys = st.sampled_from(
    [
        *ATTENTION,
        "llama.attention.key_length",
        "llama.attention.sliding_window_pattern",
        "llama.attention.shared_kv_layers",
        "llama.full_attention_interval",
        "general.file_type",
        "tokenizer.ggml.tokens",
        "tokenizer.chat_template",
        "split.count",
    ]
)


@settings(deadline=None)
@given(changes=st.dictionaries(keys, values, max_size=4))
def test_any_values_give_facts_or_a_refusal(changes):
    given_header = header({**ATTENTION, **changes})
    try:
        facts = describe(given_header)
        refuse_unrunnable(given_header)
    except BadModelFile as error:
        assert error.message
    else:
        assert len(facts.kv_widths) == facts.n_layer


TENSOR = (TensorInfo("a", 0, "F32", (1,), 0, 4),)


@pytest.mark.parametrize(
    ("metadata", "tensors", "words"),
    [
        ({"general.type": "adapter"}, TENSOR, "LoRA adapter"),
        ({"general.architecture": "clip"}, TENSOR, "projector"),
        ({"general.type": "mmproj"}, TENSOR, "projector"),
        ({"general.type": "imatrix"}, TENSOR, "importance matrix"),
        ({"split.count": 3, "split.no": 1}, TENSOR, "part 2 of a model in 3 files"),
        ({}, (), "without weights"),
        ({"general.architecture": "dream"}, TENSOR, "'dream' answers by diffusion"),
        ({"general.architecture": "llada-moe"}, TENSOR, "'llada-moe' answers by diffusion"),
        ({"general.architecture": "t5"}, TENSOR, "'t5' answers with an encoder"),
    ],
)
def test_a_file_that_is_no_whole_model_is_refused(metadata, tensors, words):
    with pytest.raises(BadModelFile, match=words):
        refuse_unrunnable(header(metadata, tensors))
