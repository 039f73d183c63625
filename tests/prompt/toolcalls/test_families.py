"""Tool calls as each family writes them: whole, byte by byte, at every split."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from runner.domain.event import TextDelta, ThinkingDelta, ToolCallDelta
from runner.prompt.marks import CONTROL, marked
from runner.prompt.toolcalls.registry import AnswerFormat, answer_format
from tests.prompt.toolcalls.answers import (
    ANSWERS,
    BEGIN,
    END,
    NOW,
    ONE,
    ONE_END,
    SEP,
    TEMPLATES,
    TOOLS,
    Read,
)

IDS = [f"{family}-{n}" for n, (family, _, _) in enumerate(ANSWERS)]


def read(form: AnswerFormat, pieces, tools=TOOLS, tail="", **more) -> Read:
    """Feed ``pieces`` to a parser and put what comes out together."""
    parser = form.parser(tools, tail, **more)
    events = [event for piece in pieces for event in parser.feed(piece)] + parser.end()
    result = Read()
    calls: list[list[str]] = []
    for event in events:
        match event:
            case TextDelta():
                assert event.text, "an empty piece says nothing"
                result.text += event.text
            case ThinkingDelta():
                assert event.text
                result.thinking += event.text
            case ToolCallDelta():
                if event.name:
                    assert event.index == len(calls)
                    assert event.id.startswith("call_")
                    calls.append([event.name, ""])
                assert event.index == len(calls) - 1
                calls[-1][1] += event.arguments
    assert CONTROL not in result.text + result.thinking + str(calls)
    result.calls = [(name, as_json(arguments)) for name, arguments in calls]
    return result


def as_json(arguments: str):
    """Arguments as an object; those of a call that was cut stay text."""
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


@pytest.mark.parametrize(("family", "text", "meant"), ANSWERS, ids=IDS)
def test_an_answer_means_the_same_however_it_is_cut(family, text, meant):
    form = answer_format(TEMPLATES[family])
    assert read(form, [text]) == meant
    assert read(form, list(text)) == meant
    for at in range(1, len(text)):
        assert read(form, [text[:at], text[at:]]) == meant


@given(answer=st.sampled_from(ANSWERS), borders=st.sets(st.integers(0, 300), max_size=9))
def test_several_cuts_change_nothing(answer, borders):
    family, text, meant = answer
    places = [0, *sorted(b for b in borders if b < len(text)), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    assert read(answer_format(TEMPLATES[family]), pieces) == meant


def as_tokens(form: AnswerFormat, text: str) -> tuple[str, tuple[str, ...]]:
    """An answer in which every marker is a control token, and these markers."""
    controls = tuple(word for word in form.keeps(has_tools=True) if word)
    word = "|".join(sorted(map(re.escape, controls), key=len, reverse=True))
    places = [found.start() for found in re.finditer(word, text)] if word else []
    return marked(text, places), controls


@pytest.mark.parametrize(("family", "text", "meant"), ANSWERS, ids=IDS)
def test_an_answer_on_control_tokens_means_the_same_however_it_is_cut(family, text, meant):
    form = answer_format(TEMPLATES[family])
    tokens, controls = as_tokens(form, text)
    if any(word in str(meant) for word in controls) or text.endswith("</tool_"):
        return  # a marker in a thought or a value is no token, and no token comes by halves
    assert read(form, [tokens], controls=controls) == meant
    assert read(form, list(tokens), controls=controls) == meant
    for at in range(1, len(tokens)):
        assert read(form, [tokens[:at], tokens[at:]], controls=controls) == meant


@pytest.mark.parametrize(("family", "text", "meant"), ANSWERS, ids=IDS)
def test_the_characters_of_control_tokens_alone_are_text(family, text, meant):
    form = answer_format(TEMPLATES[family])
    _, controls = as_tokens(form, text)
    if not any(word in text for word in controls):
        return
    plain = f"Look: {text}"
    found = read(form, list(plain), controls=controls)
    outside = {"qwen3-coder", "seed"}  # their inner tags are plain
    if family not in outside and form.markers is None:
        assert found == Read(plain)
    elif family not in outside:
        assert found.text == plain


def test_a_control_token_ends_arguments_that_were_not_closed():
    form = answer_format(TEMPLATES["hermes"])
    text = '<tool_call>{"name": "clock", "arguments": {"zone": "U</tool_call> Well.'
    tokens, controls = as_tokens(form, text)
    parser = form.parser(TOOLS, "", controls=controls)
    pieces = [*parser.feed(tokens), *parser.end()]
    assert "".join(p.arguments for p in pieces if isinstance(p, ToolCallDelta)) == '{"zone": "U'
    assert "".join(p.text for p in pieces if isinstance(p, TextDelta)) == " Well."


STREAMED = {
    "hermes": ('<tool_call>{"name": "get_weather", "arguments": ', '{"city": "Berlin"}'),
    "llama3": ('{"name": "get_weather", "parameters": ', '{"city": "Berlin"}'),
    "mistral": ('[TOOL_CALLS][{"name": "get_weather", "arguments": ', '{"city": "Berlin"}'),
    "mistral-names": ("[TOOL_CALLS]get_weather[ARGS]", '{"city": "Berlin"}'),
    "deepseek-3.1": (f"{BEGIN}{ONE}get_weather{SEP}", '{"city": "Berlin"}'),
    "harmony": (
        "<|channel|>commentary to=functions.get_weather<|message|>",
        '{"city": "Berlin"}',
    ),
    "kimi": (
        "<|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>",
        '{"city": "Berlin"}',
    ),
    "granite": ('<|tool_call|>[{"name": "get_weather", "arguments": ', '{"city": "Berlin"}'),
    "command": (
        '<|START_ACTION|>[{"tool_name": "get_weather", "parameters": ',
        '{"city": "Berlin"}',
    ),
    "qwen3-coder": ("<tool_call>\n<function=get_weather>\n<parameter=city>\n", "Berlin"),
    "glm": ("<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>", "Berlin"),
    "gemma4": ('<|tool_call>call:get_weather{city:<|"|>', "Berlin"),
    "minimax-m3": (
        ']<]minimax[>[<tool_call>\n]<]minimax[>[<invoke name="get_weather">]<]minimax[>[<city>',
        "Berlin",
    ),
    "minimax": (
        '<minimax:tool_call><invoke name="get_weather"><parameter name="city">',
        "Berlin",
    ),
}


@pytest.mark.parametrize("family", STREAMED)
def test_a_call_comes_while_it_is_written(family):
    """Its name before any argument is whole, and then each character with no more behind it."""
    head, arguments = STREAMED[family]
    parser = answer_format(TEMPLATES[family]).parser(TOOLS, "")
    pieces = parser.feed(head + arguments[:3])
    first, *rest = pieces
    assert (first.name, first.index, first.arguments) == ("get_weather", 0, "")
    assert "".join(piece.arguments for piece in rest).endswith(arguments[:3])
    for char in arguments[3:]:
        assert [piece.arguments for piece in parser.feed(char)] == [char]


def test_a_call_that_is_cut_stays_cut():
    form = answer_format(TEMPLATES["qwen3-coder"])
    parser = form.parser(TOOLS, "")
    text = "<tool_call>\n<function=get_weather>\n<parameter=city>\nBerlin\n</para"
    pieces = [*parser.feed(text), *parser.end()]
    assert all(isinstance(piece, ToolCallDelta) for piece in pieces)
    assert "".join(piece.arguments for piece in pieces) == '{"city": "Berlin'


WORDS = st.lists(
    st.sampled_from(
        [
            *("<tool_call>", "</tool_call>", '{"name": "clock"', ', "arguments": {}', "}", "{"),
            *("[TOOL_CALLS]", "[ARGS]", "<|python_tag|>", "clock", "```", "json", "[", "]", "\n"),
            *(" ", "<", "|", "\u00e9", '"', "\\", BEGIN, ONE, SEP, ONE_END, END, "<function="),
            *(">", "<parameter=a>", "</parameter>", "</function>", "<think>", "</think>", ";"),
            *("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "<|tool_call|>", "Action:"),
            *('<invoke name="clock">', "</invoke>", "<minimax:tool_call>", "functools", "city"),
            *(
                "<|START_ACTION|>",
                "<|END_ACTION|>",
                "clock()",
                "<|tool_call_start|>",
                "```tool_code",
            ),
            *("<|START_RESPONSE|>", "<|END_RESPONSE|>", "<response>", "</response>", "get_weather"),
            *("<|tool_call_begin|>", "<|tool_call_argument_begin|>", ":0", "<parameter=city>"),
            *("<|tool_call>", "call:clock{", "city:", '<|"|>', "<tool_call|>", "<channel|>"),
            *("]<]minimax[>[", "<city>", "</city>", "<|channel>", "thought"),
            *("<|channel|>", "<|message|>", "<|end|>", "<|start|>", " to=functions.clock", "final"),
        ]
    ),
    max_size=14,
).map("".join)


@given(family=st.sampled_from(sorted(TEMPLATES)), text=WORDS)
def test_the_strangest_answer_means_the_same_whole_and_byte_by_byte(family, text):
    form = answer_format(TEMPLATES[family])
    assert read(form, [text]) == read(form, list(text))


@given(family=st.sampled_from(sorted(TEMPLATES)), text=WORDS, marks=st.sets(st.integers(0, 200)))
def test_control_tokens_anywhere_mean_the_same_whole_and_byte_by_byte(family, text, marks):
    form = answer_format(TEMPLATES[family])
    controls = form.keeps(has_tools=True)
    text = marked(text, sorted(at for at in marks if at < len(text)))
    assert read(form, [text], controls=controls) == read(form, list(text), controls=controls)


@given(family=st.sampled_from(sorted(set(TEMPLATES) - {"harmony"})), text=WORDS)
def test_what_holds_no_call_comes_out_as_it_was(family, text):
    """Thoughts aside, whose markers are not text."""
    form = answer_format(TEMPLATES[family])
    if form.markers or form.wrapping:
        text = "x" + text
    found = read(form, [text])
    if not found.calls:
        assert found == Read(text)


@pytest.mark.parametrize("family", sorted(set(TEMPLATES) - {"harmony"}))
def test_without_tools_nothing_is_a_call(family):
    text = '{"name": "clock", "arguments": {}} <tool_call>{"name": "clock"}</tool_call>'
    assert read(answer_format(TEMPLATES[family]), [text], tools=()) == Read(text)


def test_calls_beyond_the_limit_are_dropped():
    call = '<tool_call>{"name": "clock"}</tool_call>'
    form = answer_format(TEMPLATES["hermes"])
    assert read(form, [call + call], max_calls=1) == Read(calls=[NOW])


def test_every_call_has_an_id_of_its_own():
    parser = answer_format(TEMPLATES["hermes"]).parser(TOOLS, "")
    pieces = parser.feed('<tool_call>{"name": "clock"}</tool_call>' * 3)
    ids = [piece.id for piece in pieces if isinstance(piece, ToolCallDelta) and piece.id]
    assert len(set(ids)) == 3


def test_a_template_without_tools_reads_no_calls():
    assert answer_format("{{ messages }}").family is None
    assert answer_format("").family is None


def test_control_tokens_are_asked_for_only_where_they_are_read():
    form = answer_format(TEMPLATES["mistral-names"])
    assert form.keeps(has_tools=False) == ("[THINK]", "[/THINK]")
    assert "[TOOL_CALLS]" in form.keeps(has_tools=True)
    assert answer_format("{{ messages }}").keeps(has_tools=True) == ()
    assert "<|channel|>" in answer_format(TEMPLATES["harmony"]).keeps(has_tools=False)


@pytest.mark.parametrize(
    ("template", "think", "n_most", "bound"),
    [
        ("<think>", None, None, None),
        ("<think>", True, None, None),
        ("<think>", False, 9, ("</think>", 0, 1.0)),
        ("{{ tools }}<|channel|>analysis", False, 9, None),
        ("no thoughts", "low", 9, None),
        ("<think>", True, 9, ("</think>", 9, 1.0)),
        ("[THINK]", "low", None, ("[/THINK]", None, 0.2)),
        ("<think>", "max", 9, ("</think>", 9, 0.95)),
        ("<think>{{ reasoning_effort }}", "low", None, None),
        ("<think>{{ reasoning_effort }}", "low", 9, ("</think>", 9, 1.0)),
    ],
)
def test_thoughts_are_bound_where_the_caller_or_the_effort_says_so(template, think, n_most, bound):
    found = answer_format(template).bound(think, n_most, has_tools=False)
    told = (found.ending, found.n_most, found.share) if found and found.is_bound else None
    assert told == bound


def test_the_end_of_harmonys_thoughts_opens_another_message():
    form = answer_format(TEMPLATES["harmony"])
    plain = form.bound(True, 9, has_tools=False)
    assert read(form, [plain.open, "hm", plain.ending, "Yes."], tools=()).text == "Yes."
    assert plain.ending.startswith(plain.close)
    called = form.bound(True, 9, has_tools=True)
    call = ' to=functions.get_weather <|constrain|>json<|message|>{"city": "Berlin"}<|call|>'
    told = read(form, [called.open, "hm", called.ending, call])
    assert (told.thinking, told.calls) == ("hm", [("get_weather", {"city": "Berlin"})])
