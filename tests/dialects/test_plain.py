"""JSON of a caller's own: whatever it is, it reaches the model's process, or is refused by name."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, strategies as st

from runner.dialects import ollama
from runner.dialects.anthropic import messages
from runner.dialects.openai import chat, responses
from runner.dialects.plain import MAX_DEPTH, plain
from runner.dialects.whole import CalledTool
from runner.errors import InvalidRequest

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def nested(n: int) -> dict:
    value: dict = {}
    for _ in range(n - 1):
        value = {"a": value}
    return value


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_what_is_let_through_can_be_sent_to_a_worker(value):
    try:
        found = plain(value, "x")
    except InvalidRequest as error:
        assert error.param == "x"
    else:
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(found)) is not None


def test_what_is_plain_already_stays_as_it_is():
    value = {"a": [1, -1, 2**64 - 1, -(2**63), 1.5, "ä😀", None, True, {"b": []}]}
    assert plain(value, "x") == value


def test_large_numbers_become_the_nearest_float_and_half_characters_a_sign():
    assert plain({"a": 2**64, "\ud800": ["\udc00x"]}, "x") == {"a": 2.0**64, "�": ["�x"]}


@pytest.mark.parametrize("value", [{"a": 10**400}, nested(MAX_DEPTH + 1), nested(900)])
def test_what_cannot_be_passed_on_is_refused_by_its_place(value):
    with pytest.raises(InvalidRequest, match=r"'tools\[0\]'") as caught:
        plain(value, "tools[0]")
    assert caught.value.param == "tools[0]"
    assert plain(nested(MAX_DEPTH), "x") == nested(MAX_DEPTH)


BIG = 2**70
#: Half a character, which JSON can spell inside of JSON.
ODD_TEXT = json.dumps({"n": BIG, "s": "\ud800"})
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "maximum": BIG}}}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
#: Each dialect's parser, and a body with a large number in a schema, in a call, and in counts.
BODIES = {
    "ollama": (
        ollama.parse_chat,
        {
            "model": "m",
            "messages": [
                {
                    "role": "assistant",
                    "tool_calls": [{"function": {"name": "f", "arguments": {"n": BIG}}}],
                },
            ],
            "tools": [FUNCTION],
        },
    ),
    "openai": (
        chat.parse,
        {
            "model": "m",
            "messages": [
                {
                    "role": "assistant",
                    "tool_calls": [{"function": {"name": "f", "arguments": ODD_TEXT}}],
                },
            ],
            "tools": [FUNCTION],
            "thinking_budget_tokens": BIG,
        },
    ),
    "responses": (
        responses.parse,
        {
            "model": "m",
            "input": [
                {
                    "type": "function_call",
                    "name": "f",
                    "call_id": "1",
                    "arguments": json.dumps({"n": BIG}),
                }
            ],
            "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}],
        },
    ),
    "anthropic": (
        messages.parse,
        {
            "model": "m",
            "max_tokens": 1,
            "messages": [
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {"n": BIG}}],
                }
            ],
            "tools": [{"name": "f", "input_schema": SCHEMA}],
            "thinking": {"type": "enabled", "budget_tokens": BIG},
        },
    ),
}


@pytest.mark.parametrize("dialect", BODIES)
def test_numbers_of_more_than_64_bits_reach_the_worker_in_every_dialect(dialect):
    parse, body = BODIES[dialect]
    asked = parse(json.dumps(body).encode()).request
    msgspec.msgpack.encode(asked)
    assert asked.tools[0].parameters["properties"]["n"]["maximum"] == float(BIG)
    assert asked.messages[-1].tool_calls[0].arguments["n"] == float(BIG)


def test_an_adapter_whose_number_no_model_has_is_refused():
    body = {"model": "m", "messages": [], "lora": [{"id": BIG}]}
    with pytest.raises(InvalidRequest) as caught:
        ollama.parse_chat(json.dumps(body).encode())
    assert caught.value.param == "lora[0].id"


@pytest.mark.parametrize("depth", [90, 300, 900, 5000])
def test_arguments_that_are_nested_deeply_are_taken_or_refused_by_their_name(depth):
    text = '{"a":' * depth + "1" + "}" * depth
    item = {"type": "function_call", "name": "f", "call_id": "1", "arguments": text}
    body = json.dumps({"model": "m", "input": [item]}).encode()
    if depth < MAX_DEPTH:
        assert responses.parse(body).request.messages
        return
    with pytest.raises(InvalidRequest) as caught:
        responses.parse(body)
    assert caught.value.param == "input[0].arguments"


def test_a_model_that_nests_its_arguments_without_end_called_with_none():
    assert CalledTool("", "", '{"a":' * 5000).arguments_object == {}
