"""The native API's JSON becomes the domain's own, and what is not it is said to be so."""

import json
import math

import pytest
from hypothesis import given, strategies as st

from runner.client import decode
from runner.client.connection import decoded
from runner.domain.event import (
    Finished,
    FinishReason,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)
from runner.domain.options import OPTION_SPECS
from runner.errors import CorralError, DaemonError
from tests.fakes.daemon import ENDED, MODEL, SHOWN

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["models", "name", "details", "size", "message", "content", "done", "expires_at"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def test_a_line_of_the_library_keeps_every_fact():
    (info,) = decode.models({"models": [MODEL]})
    assert str(info.name) == "smollm2:latest"
    assert info.n_bytes == 91_727_456
    assert info.n_params == 134_520_000
    assert (info.n_ctx_train, info.n_embd) == (8192, 576)
    assert info.modified_at == pytest.approx(1767323045.678901)
    assert info.capabilities == ("completion", "tools")


def test_a_count_of_weights_is_better_than_its_words():
    details = MODEL["details"] | {"parameter_count": 134_515_008}
    (info,) = decode.models({"models": [MODEL | {"details": details}]})
    assert info.n_params == 134_515_008


@pytest.mark.parametrize(
    "counts",
    [
        {"n_active": 1, "n_steps": 2, "n_tokens": 3},
        {"active_requests": 1, "steps": 2, "tokens": 3},
    ],
)
def test_a_model_in_memory_tells_its_work(counts):
    (model,) = decode.running({"models": [MODEL | counts]}, now=0.0)
    assert (model.n_active, model.n_steps, model.n_tokens) == (1, 2, 3)
    assert math.isinf(model.expires_at)


def test_a_size_in_words_is_used_when_no_count_is_given():
    details = {"parameter_size": "7.62B"}
    (info,) = decode.models({"models": [{"name": "a", "details": details}]})
    assert info.n_params == 7_620_000_000


def test_a_capability_of_the_future_is_left_out():
    (info,) = decode.models({"models": [MODEL | {"capabilities": ["telepathy", "tools"]}]})
    assert info.capabilities == ("tools",)


@pytest.mark.parametrize(
    ("text", "is_forever"),
    [("2318-01-01T00:00:00Z", True), ("2026-01-01T00:05:00+01:00", False)],
)
def test_an_expiry_beyond_twenty_years_means_for_ever(text, is_forever):
    (model,) = decode.running({"models": [MODEL | {"expires_at": text}]}, now=1767222000.0)
    assert math.isinf(model.expires_at) is is_forever


def test_show_tells_metadata_parameters_and_tensors():
    shown = decode.shown(SHOWN, name="smollm2")
    assert shown.details.info.n_ctx_train == 8192
    assert shown.details.options.temperature == 0.2
    assert shown.details.options.stop == ("<|im_end|>",)
    assert shown.details.tensors == (("token_embd.weight", "Q4_1", (576, 49152), 17_694_720),)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.floats(0, 2),
            "top_k": st.integers(0, 100),
            "ignore_eos": st.booleans(),
            "stop": st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=3),
        },
    )
)
def test_parameters_survive_their_lines(values):
    """Written as a Modelfile has them, one a line, they are read back the same."""
    lines = []
    for name, value in values.items():
        each = value if isinstance(value, list) else [value]
        lines += [f"{name:30} {json.dumps(one)}" for one in each]
    read = decode.options("\n".join(lines)).set_values()
    assert {k: list(v) if k == "stop" else v for k, v in read.items()} == values
    assert set(read) <= set(OPTION_SPECS)


def test_the_last_line_carries_counts_and_seconds():
    text, finished = decode.chat_events({"message": {"content": "!"}} | ENDED)
    assert text == TextDelta("!")
    assert isinstance(finished, Finished)
    assert finished.reason is FinishReason.STOP
    assert (finished.usage.n_prompt, finished.usage.n_generated) == (12, 3)
    assert finished.timings.load_s == pytest.approx(0.25)


@given(junk)
def test_an_answer_of_another_shape_is_a_known_error(value):
    """Whatever JSON comes, decoding gives a result or a ``CorralError`` in words."""
    body = value if isinstance(value, dict) else {"models": value, "message": value}
    for decoder in (
        decode.models,
        lambda v: decode.running(v, now=0.0),
        lambda v: decode.shown(v, name="a"),
        decode.version,
        decode.chat_events,
        decode.generate_events,
        decode.progress,
    ):
        try:
            decoded(decoder, body)
        except CorralError as error:
            assert error.message


def test_an_answer_that_lacks_its_key_says_which():
    with pytest.raises(DaemonError, match="models"):
        decoded(decode.models, {})


def test_thoughts_words_calls_and_the_end_come_in_this_order():
    calls = [{"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}]
    message = {"content": "Hi", "thinking": "hm", "tool_calls": calls}
    *events, end = decode.chat_events({"message": message, "done": True})
    assert events == [
        ThinkingDelta("hm"),
        TextDelta("Hi"),
        ToolCallDelta(0, name="f", arguments='{"a": 1}', id="c"),
    ]
    assert isinstance(end, Finished)
    assert decode.generate_events({"response": "", "thinking": "hm"}) == (ThinkingDelta("hm"),)
