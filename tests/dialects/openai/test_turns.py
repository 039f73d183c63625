"""OpenAI's chat with tools and thoughts: requests in, answers out, streaming and whole."""

from __future__ import annotations

import json

import pytest

from runner.dialects.openai import chat
from runner.domain.chat import Message, Tool, ToolCall
from runner.domain.event import (
    Finished,
    FinishReason,
    TextDelta,
    ThinkingDelta,
    Timings,
    ToolCallDelta,
    Usage,
)
from runner.domain.request import ToolChoice
from runner.errors import InvalidRequest

CHAT = {"model": "x", "messages": [{"role": "user", "content": "Hi"}]}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
FINISHED = Finished(FinishReason.TOOL_CALLS, Usage(1, 0, 2), Timings())
CALLS = [
    ToolCallDelta(0, name="f", id="call_1"),
    ToolCallDelta(0, arguments='{"a": '),
    ToolCallDelta(0, arguments="1}"),
    ToolCallDelta(1, name="f", id="call_2"),
    ToolCallDelta(1, arguments="{}"),
]


def parse(**more):
    return chat.parse(json.dumps(CHAT | more).encode())


def test_a_history_with_calls_and_results_is_taken():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"},
        {"role": "tool", "content": "ok", "tool_call_id": "c"},
    ]
    request = parse(messages=turns, tools=TOOLS).request
    assert request.messages == (
        Message("user", "Hi"),
        Message("assistant", "", thinking="hm", tool_calls=(ToolCall("f", {"a": 1}, "c"),)),
        Message("tool", "ok", tool_call_id="c"),
    )
    assert request.tools == (Tool("f", parameters={"type": "object"}),)


@pytest.mark.parametrize(
    ("raw", "choice"),
    [
        (None, ToolChoice()),
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("named", "f")),
    ],
)
def test_the_choice_of_tools_has_four_forms(raw, choice):
    assert parse(tools=TOOLS, tool_choice=raw).request.tool_choice == choice


def test_calls_one_at_a_time_can_be_asked_for():
    request = parse(tools=TOOLS, parallel_tool_calls=False).request
    assert request.tool_choice == ToolChoice(is_parallel=False)


@pytest.mark.parametrize(
    ("effort", "think"),
    [("none", False), ("minimal", "low"), ("low", "low"), ("medium", "medium"), ("high", "high")],
)
def test_effort_is_how_hard_to_think(effort, think):
    assert parse(reasoning_effort=effort).request.think == think
    assert parse(reasoning={"effort": effort}).request.think == think


def test_a_budget_of_thoughts_goes_by_llama_servers_name_and_openrouters():
    for asked in ({"thinking_budget_tokens": 64}, {"reasoning": {"max_tokens": 64}}):
        assert parse(**asked).request.n_think_max == 64
    assert parse(reasoning={"max_tokens": 0}).request.think is False, "no thoughts at all"
    assert parse(thinking_budget_tokens=-1).request.n_think_max is None, "as many as it likes"


@pytest.mark.parametrize(
    ("fields", "think"),
    [
        ({"chat_template_kwargs": {"enable_thinking": False}}, False),
        ({"chat_template_kwargs": {"enable_thinking": True}}, True),
        ({"chat_template_kwargs": {"thinking": True, "reasoning_effort": "high"}}, "high"),
        ({"chat_template_kwargs": {"reasoning_effort": "high"}}, "high"),
        ({"chat_template_kwargs": {"enable_thinking": True}, "reasoning_effort": "low"}, "low"),
        ({"chat_template_kwargs": {"enable_thinking": False}, "reasoning_effort": "low"}, False),
        ({"chat_template_kwargs": {}}, None),
        ({"enable_thinking": False}, False),
        ({"enable_thinking": True}, True),
    ],
)
def test_thinking_is_turned_on_and_off_as_other_servers_have_it(fields, think):
    assert parse(**fields).request.think == think


def test_nothing_said_about_effort_is_left_to_the_model():
    assert parse().request.think is None
    assert parse(reasoning={}).request.think is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "maybe", "tools": TOOLS}, "tool_choice"),
        ({"tool_choice": {"type": "function"}, "tools": TOOLS}, "tool_choice"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"reasoning_effort": "a lot"}, "reasoning_effort"),
        ({"thinking_budget_tokens": "a lot"}, "thinking_budget_tokens"),
        ({"chat_template_kwargs": {"enable_thinking": 1}}, "chat_template_kwargs.enable_thinking"),
        ({"reasoning": {"max_tokens": True}}, "reasoning.max_tokens"),
        ({"reasoning": {"effort": 3}}, "reasoning.effort"),
    ],
)
def test_what_is_wrong_is_named(fields, param):
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields)
    assert caught.value.param == param


def choices(events):
    encoder = chat.ChunkEncoder(parse(stream=True), answer_id="a", created=1)
    raw = b"".join(encoder.encode(event) for event in events).decode()
    frames = [frame.removeprefix("data: ") for frame in raw.strip().split("\n\n")]
    assert frames.pop() == "[DONE]"
    return [json.loads(frame)["choices"][0] for frame in frames]


def test_a_stream_tells_name_and_id_first_then_the_arguments():
    told = choices([*CALLS, FINISHED])
    function = {"name": "f", "arguments": ""}
    first = {"index": 0, "id": "call_1", "type": "function", "function": function}
    assert [choice["delta"] for choice in told] == [
        {"role": "assistant", "content": None, "tool_calls": [first]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a": '}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
        {"tool_calls": [{**first, "index": 1, "id": "call_2"}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert [choice["finish_reason"] for choice in told] == [None] * 5 + ["tool_calls"]


def test_a_stream_tells_thoughts_before_the_answer():
    deltas = [c["delta"] for c in choices([ThinkingDelta("hm"), TextDelta("Yes"), FINISHED])]
    assert deltas == [
        {"role": "assistant", "content": None, "refusal": None},
        {"reasoning_content": "hm", "reasoning": "hm"},
        {"content": "Yes"},
        {},
    ]


def whole(events):
    answer = chat.whole(parse(), events, answer_id="a", created=1)
    return json.loads(answer)["choices"][0]


def test_a_whole_answer_of_calls_has_no_content():
    choice = whole([ThinkingDelta("hm"), *CALLS, FINISHED])
    calls = choice["message"].pop("tool_calls")
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "reasoning_content": "hm",
        "reasoning": "hm",
    }
    assert [call["function"]["arguments"] for call in calls] == ['{"a": 1}', "{}"]
    assert choice["finish_reason"] == "tool_calls"


def test_a_whole_answer_without_words_has_empty_content():
    assert whole([FINISHED])["message"] == {"role": "assistant", "content": "", "refusal": None}
