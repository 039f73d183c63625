"""Closed objects: nobody adds members that nobody named, and every schema can still be met."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, strategies as st
from jsonschema import Draft202012Validator

from runner.domain.chat import Tool
from runner.prompt.closed import closed
from runner.prompt.toolcalls.grammar import arguments_schema
from tests.engine.schemas import SCHEMAS

NAMED = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def test_an_object_with_named_members_has_no_others_wherever_it_stands():
    schema = {
        "type": "object",
        "properties": {"one": NAMED, "many": {"type": "array", "items": NAMED}},
        "$defs": {"Place": NAMED, "Union": {"anyOf": [NAMED, {"type": "null"}]}},
    }
    before = copy.deepcopy(schema)
    found = closed(schema)
    shut = NAMED | {"additionalProperties": False}
    assert found["additionalProperties"] is False
    assert found["properties"] == {"one": shut, "many": {"type": "array", "items": shut}}
    assert found["$defs"]["Place"] == shut
    assert found["$defs"]["Union"]["anyOf"][0] == shut
    assert schema == before, "what the caller has stays his"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {}},
        NAMED | {"additionalProperties": True},
        NAMED | {"additionalProperties": {"type": "string"}},
        NAMED | {"required": ["b"]},
        NAMED | {"minProperties": 2},
        NAMED | {"patternProperties": {"^x": {}}},
        {"allOf": [NAMED, {"properties": {"b": {}}, "required": ["b"]}]},
        {"$ref": "#/$defs/x", "properties": {"b": {}}, "$defs": {"x": NAMED}},
        NAMED | {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        NAMED | {"if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["b"]}},
    ],
)
def test_what_says_so_or_joins_several_stays_open(schema):
    assert closed(schema) == schema


def test_a_property_may_have_the_name_of_a_keyword():
    schema = {"type": "object", "properties": {"allOf": {"type": "string"}, "not": NAMED}}
    found = closed(schema)
    assert found["additionalProperties"] is False
    assert found["properties"]["not"]["additionalProperties"] is False


def test_depth_is_bounded():
    schema: dict = {}
    for _ in range(3000):
        schema = {"type": "object", "properties": {"a": schema}}
    assert closed(schema)["additionalProperties"] is False


@given(SCHEMAS)
def test_a_closed_schema_is_still_one(schema):
    Draft202012Validator.check_schema(closed(schema))


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.lists(st.none()) | st.text()))
def test_what_is_no_schema_fails_nobody_here(raw):
    assert isinstance(closed({**raw, "properties": raw}), dict)


def test_a_tool_without_parameters_takes_none():
    assert arguments_schema(Tool("t", parameters={"type": "object", "properties": {}})) == {
        "type": "object",
        "properties": {},
        "additionalProperties": False,
    }
    assert arguments_schema(Tool("t")) == {"type": "object"}
