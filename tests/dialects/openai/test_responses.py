"""What a body of ``/v1/responses`` asks for."""

from __future__ import annotations

import json

import pytest

from runner.dialects.openai.responses import parse
from runner.domain.chat import Message, ToolCall
from runner.domain.request import Constraint, ToolChoice
from runner.errors import InvalidRequest, Unsupported

TOOL = {"type": "function", "name": "sum", "parameters": {"type": "object"}}


def request(**fields):
    return parse(json.dumps({"model": "m", "input": "Hi"} | fields).encode()).request


def test_a_text_is_what_the_user_says():
    asked = request(instructions="Be brief.", max_output_tokens=7, temperature=0)
    assert asked.messages == (Message("system", "Be brief."), Message("user", "Hi"))
    assert (asked.options.num_predict, asked.options.temperature) == (7, 0)


def test_items_of_one_turn_become_one_message():
    items = [
        {"role": "developer", "content": "Count."},
        {"role": "user", "content": [{"type": "input_text", "text": "1+1?"}]},
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Easy."}]},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I ask.", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c1", "name": "sum", "arguments": '{"a": 1}'},
        {"type": "function_call", "call_id": "c2", "name": "now", "arguments": ""},
        {"type": "function_call_output", "call_id": "c1", "output": "2"},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": "Sure?"},
    ]
    assert request(input=items).messages == (
        Message("system", "Count."),
        Message("user", "1+1?"),
        Message(
            "assistant",
            "I ask.",
            thinking="Easy.",
            tool_calls=(ToolCall("sum", {"a": 1}, "c1"), ToolCall("now", {}, "c2")),
        ),
        Message("tool", "2", tool_name="sum", tool_call_id="c1"),
        Message("assistant", "Two."),
        Message("user", "Sure?"),
    )


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ToolChoice()),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "sum"}, ToolChoice("named", "sum")),
    ],
)
def test_the_choice_among_tools(choice, expected):
    assert request(tools=[TOOL], tool_choice=choice).tool_choice == expected


@pytest.mark.parametrize(
    ("effort", "think"),
    [(None, None), ("none", False), ("minimal", "low"), ("high", "high"), ("xhigh", "max")],
)
def test_effort_says_how_hard_to_think(effort, think):
    assert request(reasoning={"effort": effort}).think == think


def test_a_format_becomes_a_constraint():
    assert request(text={"format": {"type": "text"}}).constraint is None
    assert request(text={"format": {"type": "json_object"}}).constraint == Constraint("json")
    schema = {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": True}
    constraint = request(text={"format": schema}).constraint
    assert (constraint.kind, json.loads(constraint.text)) == ("json_schema", {"type": "object"})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"role": "robot", "content": ""}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [7]}]}, "input[0].content[0]"),
        (
            {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "[]"}]},
            "input[0].arguments",
        ),
        ({"max_output_tokens": -9}, "max_output_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "x"}}, "tool_choice"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"text": {"format": {"type": "poem"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"reasoning": {"effort": "heroic"}}, "reasoning.effort"),
    ],
)
def test_a_bad_field_is_named(fields, param):
    with pytest.raises(InvalidRequest) as caught:
        request(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "file_search"}]}, "tools[0].type"),
        (
            {"tools": [TOOL, {"type": "namespace", "name": "a", "tools": [{"type": "custom"}]}]},
            "tools[1].tools[0].type",
        ),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            "input[0].content[0].type",
        ),
    ],
)
def test_what_is_not_offered_is_refused_by_name(fields, param):
    with pytest.raises(Unsupported) as caught:
        request(**fields)
    assert caught.value.param == param


def test_several_calls_may_be_forbidden():
    assert request(tools=[TOOL]).tool_choice.is_parallel
    for choice in ("auto", "required", {"type": "function", "name": "sum"}):
        asked = request(tools=[TOOL], tool_choice=choice, parallel_tool_calls=False)
        assert not asked.tool_choice.is_parallel


def test_functions_of_a_namespace_are_known_by_both_names_and_the_web_is_not_heard_of():
    space = {"type": "namespace", "name": "agents", "tools": [TOOL, TOOL | {"name": "stop"}]}
    tools = [TOOL, space, {"type": "web_search", "external_web_access": False}]
    called = {
        "type": "function_call", "namespace": "agents", "name": "stop", "arguments": "{}",
        "call_id": "c1",
    }  # fmt: skip
    turns = [{"role": "user", "content": "Hi"}, called]
    call = parse(json.dumps({"model": "m", "input": turns, "tools": tools}).encode())
    assert [tool.name for tool in call.request.tools] == ["sum", "agents__sum", "agents__stop"]
    assert call.namespaces["agents__stop"] == ("agents", "stop")
    assert call.request.messages[-1].tool_calls == (ToolCall("agents__stop", {}, "c1"),)
    assert [tool["type"] for tool in call.offered_tools] == ["function", "namespace"]
    assert call.warnings == ["tools[2]: web_search runs on OpenAI's servers and is left out"]
    assert not parse(b'{"model": "m", "input": "Hi"}').warnings


def test_a_namespace_needs_a_name():
    with pytest.raises(InvalidRequest) as caught:
        request(tools=[{"type": "namespace", "tools": [TOOL]}])
    assert caught.value.param == "tools[0].name"


@pytest.mark.parametrize(
    ("body", "n"),
    [
        ({}, None),
        ({"include": []}, None),
        ({"include": ["reasoning.encrypted_content"]}, None),
        ({"include": ["message.output_text.logprobs"]}, 0),
        ({"top_logprobs": 3}, 3),
        ({"top_logprobs": 3, "include": ["message.output_text.logprobs"]}, 3),
        ({"top_logprobs": 0}, None),
    ],
)
def test_probabilities_of_tokens_are_asked_for_in_two_ways(body, n):
    call = parse(json.dumps({"model": "m", "input": "Hi"} | body))
    assert call.request.n_logprobs == n


def test_more_probabilities_than_there_can_be_are_refused():
    with pytest.raises(InvalidRequest, match="top_logprobs"):
        parse(b'{"model": "m", "input": "Hi", "top_logprobs": 21}')
