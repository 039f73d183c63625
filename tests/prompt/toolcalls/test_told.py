"""What models write that Python reads and JSON has not, and schemas of tools that are none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings, strategies as st

from runner.domain.chat import Tool
from runner.domain.event import TextDelta, ToolCallDelta
from runner.prompt.toolcalls.registry import answer_format
from runner.prompt.toolcalls.source import NotACall
from runner.prompt.toolcalls.told import as_json, read_json
from tests.prompt.toolcalls.answers import ANSWERS, MARK, TEMPLATES, TOOLS


def spoken(family: str, pieces, tools=TOOLS) -> tuple[str, list[str]]:
    """The text of an answer, and the arguments of its calls as they are told."""
    parser = answer_format(TEMPLATES[family]).parser(tools, "")
    events = [event for piece in pieces for event in parser.feed(piece)] + parser.end()
    calls: dict[int, str] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            calls[event.index] = calls.get(event.index, "") + event.arguments
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    return text, list(calls.values())


def refuse(word):
    raise AssertionError(f"{word} is no JSON")


#: Family, an answer with ``VALUE`` for a number of days, and whether it is told while it comes.
FORMS = [
    (
        "qwen3-coder",
        "<tool_call><function=get_weather><parameter=days>VALUE</parameter></function>",
    ),
    (
        "glm",
        "<tool_call>get_weather\n<arg_key>days</arg_key><arg_value>VALUE</arg_value></tool_call>",
    ),
    (
        "minimax",
        '<minimax:tool_call><invoke name="get_weather"><parameter name="days">VALUE</parameter>'
        "</invoke></minimax:tool_call>",
    ),
    ("gemma4", "<|tool_call>call:get_weather{days:VALUE}<tool_call|>"),
    (
        "minimax-m3",
        f'{MARK}<tool_call>\n{MARK}<invoke name="get_weather">{MARK}<days>VALUE{MARK}</days>'
        f"{MARK}</invoke>\n{MARK}</tool_call>",
    ),
]


@pytest.mark.parametrize(("family", "form"), FORMS, ids=[family for family, _ in FORMS])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_a_number_that_json_has_not_is_told_as_the_text_it_is(family, form, value):
    text = form.replace("VALUE", value)
    for pieces in ([text], list(text)):
        said, (arguments,) = spoken(family, pieces)
        assert (said, json.loads(arguments, parse_constant=refuse)) == ("", {"days": value})


@pytest.mark.parametrize("value", ["[1e999]", '{"a": [NaN]}'])
def test_the_same_holds_inside_of_lists_and_objects(value):
    text = FORMS[0][1].replace("VALUE", value)
    said, (arguments,) = spoken("qwen3-coder", [text])
    assert (said, json.loads(arguments, parse_constant=refuse)) == ("", {"days": value})


@pytest.mark.parametrize(
    "code",
    [
        "get_weather(days=0x" + "f" * 5000 + ")",
        "get_weather(days=-0x" + "f" * 5000 + ")",
        "get_weather(city={0x" + "f" * 5000 + ": 1})",
        "get_weather(days=1e999)",
        "get_weather(days=" + "9" * 5000 + ")",
        "get_weather(days=1j)",
        "clock" + ".at" * 20000 + "()",
        "(clock())()",
        "clock()()",
        "clock[0]()",
        "-" * 30000 + "1",
        "get_weather(days=" + "-" * 30000 + "1)",
        "get_weather(days=1" + "+1" * 20000 + ")",
        "not " * 15000 + "clock()",
        "(" * 60000,
        "lambda:" * 9000 + "0",
        'f"' + "{f'" * 30 + '"',
    ],
    ids=lambda code: f"{code[:24]}...{len(code)}",
)
@pytest.mark.parametrize(("family", "opening"), [("lfm", "<|tool_call_start|>["), ("gemma", "[")])
def test_python_that_is_no_call_is_the_text_it_was(family, opening, code):
    text = f"{opening}{code}]"
    assert spoken(family, [text]) == (text, [])


def test_calls_are_told_all_or_none():
    text = f"<|tool_call_start|>[clock(), get_weather(days=0x{'f' * 5000})]<|tool_call_end|>"
    assert spoken("lfm", [text]) == (text, [])


def test_half_a_surrogate_pair_in_an_argument_becomes_the_sign_for_that():
    text = '<|tool_call_start|>[get_weather(city="a\\ud83d")]<|tool_call_end|>'
    assert spoken("lfm", [text]) == ("", ['{"city": "a\ufffd"}'])
    text = '<tool_call>{"arguments": {"city": "\\ud83d\\ude00 \\udc00"}, "name": "get_weather"}'
    assert spoken("hermes", [text]) == ("", ['{"city": "\U0001f600 \ufffd"}'])


NO_SCHEMAS = [
    {"type": "object", "properties": ["city"], "required": "city"},
    {"type": "object", "properties": "city", "required": 3},
    {"properties": 5, "required": {"city": True}},
    {"properties": {"city": "string", "days": ["integer"], "tags": None}, "required": [1, None]},
    {"properties": {"city": {"type": ["string", "null"]}, "days": {"type": 7}}},
]


@pytest.mark.parametrize("parameters", NO_SCHEMAS, ids=str)
@pytest.mark.parametrize("family", sorted(TEMPLATES))
def test_a_schema_that_is_none_stands_in_no_calls_way(family, parameters):
    tools = (Tool("get_weather", "", parameters), Tool("clock", "", parameters))
    form = answer_format(TEMPLATES[family])
    assert form.forced_call(tools, several=True).text
    for text in [text for known, text, meant in ANSWERS if known == family and meant.calls]:
        assert spoken(family, [text], tools) == spoken(family, list(text), tools)


def test_harmonys_long_header_is_text_however_it_is_cut():
    for n in (1000, 1023, 1024, 1025, 1100):
        text = "<|channel|>analysis".ljust(n) + "<|message|>hm<|end|>"
        assert spoken("harmony", [text]) == spoken("harmony", list(text))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@settings(max_examples=40, deadline=None)
@given(values)
def test_what_is_told_is_json_and_means_the_same(value):
    try:
        text = as_json(value)
    except NotACall:
        assert "nan" in str(value) or "inf" in str(value)
        return
    text.encode()
    again = read_json(text)
    assert again == value or "\\ud" in json.dumps(value)
