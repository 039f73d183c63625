"""What a body of the Anthropic API asks for."""

from __future__ import annotations

import base64
import json

import pytest

from runner.dialects.anthropic.messages import parse, parse_count
from runner.domain.chat import Message, Tool, ToolCall
from runner.domain.request import ToolChoice
from runner.errors import InvalidRequest, RequestError, Unsupported

TOOL = {"name": "sum", "description": "Adds.", "input_schema": {"type": "object"}}


def body(**fields):
    asked = {
        "model": "smollm2",
        "max_tokens": 10,
        "messages": [{"role": "user", "content": "Hi"}],
    } | fields
    return json.dumps({k: v for k, v in asked.items() if v is not ...}).encode()


def request(**fields):
    return parse(body(**fields)).request


def test_a_plain_call_is_a_conversation_with_a_limit():
    call = parse(body(system="Be brief.", temperature=0.5, stop_sequences=["END"], stream=True))
    assert call.stream
    assert call.request.messages == (Message("system", "Be brief."), Message("user", "Hi"))
    assert call.request.options.num_predict == 10
    assert call.request.options.stop == ("END",)


def test_thoughts_are_a_wish_that_a_model_without_them_need_not_fulfil():
    assert request(thinking={"type": "adaptive"}).thinks_if_able


def test_blocks_become_text_thoughts_calls_and_results():
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "1+1?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Easy.", "signature": "x"},
                {"type": "text", "text": "I ask.", "cache_control": {"type": "ephemeral"}},
                {"type": "tool_use", "id": "t1", "name": "sum", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "2"},
                {"type": "text", "text": "So?"},
            ],
        },
    ]
    assert request(messages=turns, tools=[TOOL]).messages == (
        Message("user", "1+1?"),
        Message(
            "assistant",
            "I ask.",
            thinking="Easy.",
            tool_calls=(ToolCall("sum", {"a": 1}, "t1"),),
        ),
        Message("tool", "2", tool_name="sum", tool_call_id="t1"),
        Message("user", "So?"),
    )


def test_a_failed_tool_says_so():
    turns = [
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t", "name": "sum", "input": {}}],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "is_error": True,
                    "content": [{"type": "text", "text": "no such file"}],
                }
            ],
        },
    ]
    assert request(messages=turns).messages[1].content == "Error: no such file"


def test_an_image_comes_as_its_bytes():
    source = {
        "type": "base64",
        "media_type": "image/png",
        "data": base64.b64encode(b"png").decode(),
    }
    asked = request(messages=[{"role": "user", "content": [{"type": "image", "source": source}]}])
    assert asked.messages[0].images[0].content == b"png"


def test_tools_and_the_choice_among_them():
    assert request(tools=[TOOL]).tools == (Tool("sum", "Adds.", {"type": "object"}),)
    for choice, expected in [
        ({"type": "auto"}, ToolChoice()),
        ({"type": "none"}, ToolChoice("none")),
        ({"type": "any"}, ToolChoice("required")),
        ({"type": "tool", "name": "sum"}, ToolChoice("named", "sum")),
    ]:
        assert request(tools=[TOOL], tool_choice=choice).tool_choice == expected


@pytest.mark.parametrize(
    ("fields", "think"),
    [
        ({}, None),
        ({"thinking": {"type": "disabled"}}, False),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, True),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, "low"),
        ({"thinking": {"type": "enabled"}, "output_config": {"effort": "xhigh"}}, "max"),
    ],
)
def test_thinking_is_asked_for_in_either_form(fields, think):
    assert request(**fields).think == think


def test_a_budget_bounds_the_thoughts():
    asked = request(thinking={"type": "enabled", "budget_tokens": 64})
    assert (asked.think, asked.n_think_max) == (True, 64)
    assert request(thinking={"type": "enabled"}).n_think_max is None
    assert request(thinking={"type": "disabled", "budget_tokens": 64}).n_think_max is None


@pytest.mark.parametrize(
    "fields",
    [
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        {"output_format": {"type": "json_schema", "schema": {"type": "object"}}},
    ],
)
def test_a_schema_becomes_a_constraint(fields):
    constraint = request(**fields).constraint
    assert (constraint.kind, json.loads(constraint.text)) == ("json_schema", {"type": "object"})


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"model": ...}, "model", "model is required"),
        ({"max_tokens": ...}, "max_tokens", "max_tokens is required and must be positive"),
        ({"max_tokens": 0}, "max_tokens", "max_tokens is required and must be positive"),
        ({"messages": ...}, "messages", "messages is required"),
        ({"messages": []}, "messages", "messages is required"),
        ({"temperature": -1}, "temperature", "temperature must be in"),
        ({"stop_sequences": "END"}, "stop_sequences", "must be an array"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 0}},
            "thinking.budget_tokens",
            "must be at least 1",
        ),
        ({"tool_choice": {"type": "any"}}, "tool_choice", "needs tools"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}},
            "tool_choice.name",
            "no tool 'x'",
        ),
        ({"tools": [{"name": "x"}]}, "tools[0].input_schema", "is required"),
        ({"messages": [{"role": "robot", "content": ""}]}, "messages[0].role", "robot"),
        (
            {"messages": [{"role": "user", "content": [{"type": "poem"}]}]},
            "messages[0].content[0].type",
            "poem",
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "name": "x", "input": {}}],
                    }
                ]
            },
            "messages[0].content[0].id",
            "is required",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}
                ]
            },
            "messages[0]",
            "no earlier tool_use",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image", "source": {"type": "base64", "data": "%%"}}],
                    }
                ]
            },
            "messages[0].content[0].source.data",
            "not base64",
        ),
    ],
)
def test_a_bad_field_is_named(fields, param, said):
    with pytest.raises(InvalidRequest, match=said.replace("(", r"\(")) as caught:
        parse(body(**fields))
    assert caught.value.param == param


def test_tools_of_anthropics_servers_are_refused():
    with pytest.raises(Unsupported, match="web_search"):
        parse(body(tools=[{"type": "web_search_20250305", "name": "web_search"}]))


def test_an_image_elsewhere_is_not_fetched():
    source = {"type": "url", "url": "http://example.org/a.png"}
    with pytest.raises(RequestError, match="not fetched"):
        parse(body(messages=[{"role": "user", "content": [{"type": "image", "source": source}]}]))


def test_counting_needs_no_limit():
    assert parse_count(body(max_tokens=...)).messages == (Message("user", "Hi"),)


@pytest.mark.parametrize(
    "choice", [{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "sum"}]
)
def test_several_calls_may_be_forbidden(choice):
    one = choice | {"disable_parallel_tool_use": True}
    assert not request(tools=[TOOL], tool_choice=one).tool_choice.is_parallel
    assert request(tools=[TOOL], tool_choice=choice).tool_choice.is_parallel
