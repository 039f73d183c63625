"""Tools and calls in JSON: what is taken, and what is refused by the name of its field."""

from __future__ import annotations

import pytest

from runner.dialects.tools import MAX_TOOLS, parse_calls, parse_tool_choice, parse_tools
from runner.domain.chat import Tool, ToolCall
from runner.domain.request import ToolChoice
from runner.errors import InvalidRequest

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def function(**more):
    return {"type": "function", "function": {"name": "f", **more}}


def test_a_tool_is_its_function():
    full = function(description="d", parameters=SCHEMA, strict=True)
    assert parse_tools([full]) == (Tool("f", "d", SCHEMA, is_strict=True),)
    assert parse_tools([{"function": {"name": "f", "description": None, "parameters": None}}]) == (
        Tool("f"),
    )
    assert parse_tools(None) == parse_tools([]) == ()


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ([1], "tools[0]"),
        ([{"type": "web_search"}], "tools[0].type"),
        ([{"type": "function"}], "tools[0].function"),
        ([{"type": "function", "function": []}], "tools[0].function"),
        ([function(name="")], "tools[0].function.name"),
        ([function(name="a b")], "tools[0].function.name"),
        ([function(name="<|end|>")], "tools[0].function.name"),
        ([function(), function(description=3)], "tools[1].function.description"),
        ([function(parameters="x")], "tools[0].function.parameters"),
        ([function(), function()], "tools[1].function.name"),
        ([function()] * (MAX_TOOLS + 1), "tools"),
    ],
)
def test_a_bad_tool_is_named(tools, param):
    with pytest.raises(InvalidRequest) as caught:
        parse_tools(tools)
    assert caught.value.param == param


def test_arguments_are_an_object_or_its_text():
    calls = [
        {"id": "1", "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"function": {"index": 0, "name": "g", "arguments": {"b": [2]}}},
        {"function": {"name": "h", "arguments": ""}},
        {"function": {"name": "i"}},
    ]
    assert parse_calls(calls, "x") == (
        ToolCall("f", {"a": 1}, "1"),
        ToolCall("g", {"b": [2]}),
        ToolCall("h", {}),
        ToolCall("i", {}),
    )


@pytest.mark.parametrize(
    ("call", "param"),
    [
        (None, "x[0]"),
        ({}, "x[0].function"),
        ({"function": {"name": 3}}, "x[0].function.name"),
        ({"function": {"name": "f", "arguments": "{"}}, "x[0].function.arguments"),
        ({"function": {"name": "f", "arguments": "[1]"}}, "x[0].function.arguments"),
        ({"function": {"name": "f", "arguments": 1}}, "x[0].function.arguments"),
        ({"id": 7, "function": {"name": "f"}}, "x[0].id"),
    ],
)
def test_a_bad_call_is_named(call, param):
    with pytest.raises(InvalidRequest) as caught:
        parse_calls([call], "x")
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("raw", "choice"),
    [
        (None, ToolChoice(is_parallel=False)),
        ("none", ToolChoice("none", is_parallel=False)),
        ("auto", ToolChoice("auto", is_parallel=False)),
        ("required", ToolChoice("required", is_parallel=False)),
        (function(), ToolChoice("named", "f", is_parallel=False)),
        ({"type": "function", "name": "f"}, ToolChoice("named", "f", is_parallel=False)),
    ],
)
def test_a_choice_of_tools_has_five_forms(raw, choice):
    assert parse_tool_choice(raw, (Tool("f"),), is_parallel=False) == choice


@pytest.mark.parametrize(
    ("raw", "tools"),
    [("maybe", (Tool("f"),)), (1, (Tool("f"),)), ({"name": "f"}, (Tool("f"),)),
     ("required", ()), (function(), ()), (function(), (Tool("g"),))],
)  # fmt: skip
def test_another_one_is_refused_and_so_is_one_without_tools(raw, tools):
    with pytest.raises(InvalidRequest) as caught:
        parse_tool_choice(raw, tools, is_parallel=True)
    assert caught.value.param == "tool_choice"
