"""Ollama's chat with tools and thoughts: requests in, answers out, streaming and whole."""

from __future__ import annotations

import json

import pytest

from runner.dialects import ollama
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
from runner.errors import InvalidRequest

CHAT = {"model": "x", "messages": [{"role": "user", "content": "Hi"}]}
GENERATE = {"model": "x", "prompt": "Hi"}
FINISHED = Finished(FinishReason.TOOL_CALLS, Usage(1, 0, 2), Timings())
ANSWER = [
    ThinkingDelta("hm"),
    TextDelta("I look."),
    ToolCallDelta(0, name="f", id="call_1"),
    ToolCallDelta(0, arguments='{"a": '),
    ToolCallDelta(0, arguments="1}"),
    ToolCallDelta(1, name="g", id="call_2"),
    ToolCallDelta(1, arguments="{}"),
    FINISHED,
]
CALLS = [
    {"id": "call_1", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}},
    {"id": "call_2", "function": {"index": 1, "name": "g", "arguments": {}}},
]


def parse(**more):
    return ollama.parse_chat(json.dumps(CHAT | more).encode())


def test_a_history_with_calls_and_results_is_taken():
    turns = [
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "thinking": "hm",
            "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}],
        },
        {"role": "tool", "content": "ok", "tool_name": "f", "tool_call_id": "c"},
    ]
    tools = [{"type": "function", "function": {"name": "f"}}]
    request = parse(messages=turns, tools=tools).request
    assert request.messages == (
        Message("user", "Hi"),
        Message("assistant", "", thinking="hm", tool_calls=(ToolCall("f", {"a": 1}),)),
        Message("tool", "ok", tool_name="f", tool_call_id="c"),
    )
    assert request.tools == (Tool("f"),)


@pytest.mark.parametrize("think", [True, False, None, "low", "medium", "high", "max"])
def test_thinking_is_asked_for_in_all_of_ollama_s_words(think):
    assert parse(think=think).request.think == think
    body = json.dumps(GENERATE | {"think": think}).encode()
    assert ollama.parse_generate(body).request.think == think


def test_an_empty_word_for_thinking_says_nothing():
    assert parse(think="").request.think is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"think": "x"}, "think"),
        ({"tools": [{}]}, "tools[0].function"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{}]}]},
            "messages[0].tool_calls[0].function",
        ),
    ],
)
def test_what_is_wrong_is_named(fields, param):
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields)
    assert caught.value.param == param


def lines(call, events):
    encoder = ollama.AnswerEncoder(call)
    raw = b"".join(encoder.encode(event) for event in events)
    return [json.loads(line) for line in raw.splitlines()]


def test_a_stream_tells_thoughts_text_and_whole_calls():
    told = lines(parse(), ANSWER)
    assert [line["message"] for line in told] == [
        {"role": "assistant", "content": "", "thinking": "hm"},
        {"role": "assistant", "content": "I look."},
        {"role": "assistant", "content": "", "tool_calls": CALLS[:1]},
        {"role": "assistant", "content": "", "tool_calls": CALLS[1:]},
        {"role": "assistant", "content": ""},
    ]
    assert [line["done"] for line in told] == [False] * 4 + [True]
    assert told[-1]["done_reason"] == "stop"


def test_a_whole_answer_tells_the_same():
    told = json.loads(ollama.whole(parse(stream=False), ANSWER, at_ns=0))
    assert told["message"] == {
        "role": "assistant",
        "content": "I look.",
        "thinking": "hm",
        "tool_calls": CALLS,
    }
    assert told["done_reason"] == "stop"


def test_a_generate_tells_thoughts_beside_the_response():
    call = ollama.parse_generate(json.dumps(GENERATE).encode())
    first, second, last = lines(call, [ThinkingDelta("hm"), TextDelta("Yes"), FINISHED])
    assert (first["response"], first["thinking"]) == ("", "hm")
    assert second["response"] == "Yes"
    assert "thinking" not in second
    assert last["done"]
    whole = json.loads(ollama.whole(call, [ThinkingDelta("hm"), FINISHED], at_ns=0))
    assert (whole["response"], whole["thinking"]) == ("", "hm")


@pytest.mark.parametrize(
    "template", ["{% for m in messages %}{{ m.content }}{% endfor %}", "{{ .Prompt }}"]
)
def test_a_generate_may_bring_a_template_of_either_language(template):
    body = json.dumps(GENERATE | {"template": template}).encode()
    assert ollama.parse_generate(body).request.template == template
