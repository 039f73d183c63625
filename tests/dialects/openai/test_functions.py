"""The older form of tools: what is asked, what a history holds, and what is answered."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st
from openai.types.chat import ChatCompletion

from runner.dialects.openai import chat
from runner.dialects.tools import MAX_TOOLS
from runner.domain.chat import Message, Tool, ToolCall
from runner.domain.event import (
    Finished,
    FinishReason,
    TextDelta,
    Timings,
    ToolCallDelta,
    Usage,
)
from runner.domain.request import ToolChoice
from runner.errors import InvalidRequest

CHAT = {"model": "x", "messages": [{"role": "user", "content": "Hi"}]}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
FUNCTIONS = [{"name": "f", "description": "d", "parameters": SCHEMA}, {"name": "g"}]
CALLED = Finished(FinishReason.TOOL_CALLS, Usage(1, 0, 2), Timings())


def parse(**more):
    return chat.parse(json.dumps(CHAT | more).encode())


def test_functions_are_tools():
    request = parse(functions=FUNCTIONS).request
    assert request.tools == (Tool("f", "d", SCHEMA), Tool("g"))


@pytest.mark.parametrize(
    ("raw", "choice"),
    [
        (None, ToolChoice(is_parallel=False)),
        ("auto", ToolChoice("auto", is_parallel=False)),
        ("none", ToolChoice("none", is_parallel=False)),
        ({"name": "g"}, ToolChoice("named", "g", is_parallel=False)),
    ],
)
def test_an_answer_calls_one_of_them_at_most(raw, choice):
    assert parse(functions=FUNCTIONS, function_call=raw).request.tool_choice == choice


@pytest.mark.parametrize("raw", [None, "auto", "none"])
def test_a_choice_that_asks_for_nothing_needs_no_functions(raw):
    call = parse(function_call=raw, functions=[])
    assert call.request.tools == ()
    assert not call.in_old_form


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"functions": "x"}, "functions"),
        ({"functions": [1]}, "functions[0]"),
        ({"functions": [{}]}, "functions[0].name"),
        ({"functions": [{"name": "a b"}]}, "functions[0].name"),
        ({"functions": [{"name": "f", "parameters": 1}]}, "functions[0].parameters"),
        ({"functions": [{"name": "f"}, {"name": "f"}]}, "functions[1].name"),
        ({"functions": [{"name": "f"}] * (MAX_TOOLS + 1)}, "functions"),
        ({"functions": FUNCTIONS, "tools": [{"function": {"name": "h"}}]}, "functions"),
        ({"functions": FUNCTIONS, "function_call": "required"}, "function_call"),
        ({"functions": FUNCTIONS, "function_call": {"name": ""}}, "function_call"),
        ({"functions": FUNCTIONS, "function_call": {"name": "h"}}, "function_call"),
        ({"function_call": {"name": "f"}}, "function_call"),
        ({"function_call": ["f"]}, "function_call"),
        (
            {"messages": [{"role": "assistant", "function_call": {"name": "f", "arguments": "{"}}]},
            "messages[0].function_call.arguments",
        ),
        (
            {"messages": [{"role": "assistant", "function_call": "f"}]},
            "messages[0].function_call",
        ),
        ({"messages": [{"role": "function", "name": "f"}]}, "messages[0].content"),
    ],
)
def test_what_is_wrong_is_named(fields, param):
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields)
    assert caught.value.param == param


def test_a_history_in_the_older_form_is_taken():
    turns = [
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": None,
            "function_call": {"name": "f", "arguments": '{"a": 1}'},
        },
        {"role": "function", "name": "f", "content": "ok"},
    ]
    assert parse(messages=turns, functions=FUNCTIONS).request.messages == (
        Message("user", "Hi"),
        Message("assistant", "", tool_calls=(ToolCall("f", {"a": 1}),)),
        Message("tool", "ok", tool_name="f"),
    )


def whole(events, **more):
    call = parse(functions=FUNCTIONS, **more)
    raw = chat.whole(call, events, answer_id="a", created=1)
    ChatCompletion.model_validate_json(raw, strict=True)
    return json.loads(raw)["choices"][0]


def streamed(events):
    encoder = chat.ChunkEncoder(parse(functions=FUNCTIONS), answer_id="a", created=1)
    frames = b"".join(map(encoder.encode, events)).decode().strip().split("\n\n")
    assert frames.pop() == "data: [DONE]"
    return [json.loads(frame.removeprefix("data: "))["choices"][0] for frame in frames]


def test_a_call_is_told_in_the_form_that_was_asked_for():
    events = [ToolCallDelta(0, "f", "", "call_1"), ToolCallDelta(0, arguments='{"a":1}'), CALLED]
    choice = whole(events)
    assert choice["finish_reason"] == "function_call"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "function_call": {"name": "f", "arguments": '{"a":1}'},
    }
    told = streamed(events)
    assert [each["delta"] for each in told] == [
        {
            "role": "assistant",
            "content": None,
            "function_call": {"name": "f", "arguments": ""},
        },
        {"function_call": {"arguments": '{"a":1}'}},
        {},
    ]
    assert told[-1]["finish_reason"] == "function_call"


@given(st.lists(st.text(min_size=1), max_size=4), st.booleans(), st.lists(st.text(), max_size=4))
def test_a_stream_says_what_the_whole_answer_says(texts, calls, arguments):
    events = [TextDelta(text) for text in texts]
    if calls:
        events += [ToolCallDelta(0, "f", "", "c"), *(ToolCallDelta(0, "", a) for a in arguments)]
    reason = FinishReason.TOOL_CALLS if calls else FinishReason.STOP
    events.append(Finished(reason, Usage(1, 0, 2), Timings()))
    choice, told = whole(events), streamed(events)
    said = {"content": "", "name": "", "arguments": ""}
    for each in told:
        said["content"] += each["delta"].get("content") or ""
        for key, value in each["delta"].get("function_call", {}).items():
            said[key] += value
    assert said["content"] == (choice["message"]["content"] or "")
    call = choice["message"].get("function_call", {"name": "", "arguments": ""})
    assert (said["name"], said["arguments"]) == (call["name"], call["arguments"])
    assert told[-1]["finish_reason"] == choice["finish_reason"]
