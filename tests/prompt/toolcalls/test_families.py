"""Tool calls as each family writes them: whole, byte by byte, at every split."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from runner.domain.chat import Tool
from runner.domain.event import TextDelta, ThinkingDelta, ToolCallDelta
from runner.prompt.toolcalls.registry import AnswerFormat, answer_format

WEATHER = Tool(
    "get_weather",
    "The weather of a place",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["city"],
    },
)
CLOCK = Tool("clock", "The time", {"type": "object", "properties": {}})
TOOLS = (WEATHER, CLOCK)

#: The words by which a template tells its family.
TEMPLATES = {
    "hermes": "{{ tools }}<tool_call></tool_call>",
    "qwen3": "{{ tools }}<tool_call></tool_call><think>",
    "qwen3-coder": "{{ tools }}<tool_call><function=x><parameter=y>",
    "llama3": "{{ tools }}<|python_tag|>",
    "mistral": "{{ tools }}[TOOL_CALLS]",
    "mistral-names": "{{ tools }}[TOOL_CALLS][ARGS][THINK][/THINK]",
    "deepseek": "{{ tools }}<\uff5ctool\u2581call\u2581begin\uff5c>```json<think>",
    "deepseek-3.1": "{{ tools }}<\uff5ctool\u2581call\u2581begin\uff5c><think>",
    "harmony": "{{ tools }}<|channel|>analysis",
    "generic": "{{ tools }}",
}
BEGIN, END = "<\uff5ctool\u2581calls\u2581begin\uff5c>", "<\uff5ctool\u2581calls\u2581end\uff5c>"
ONE, ONE_END = "<\uff5ctool\u2581call\u2581begin\uff5c>", "<\uff5ctool\u2581call\u2581end\uff5c>"
SEP = "<\uff5ctool\u2581sep\uff5c>"
BERLIN = ("get_weather", {"city": "Berlin"})
NOW = ("clock", {})


@dataclass
class Read:
    """An answer put together again."""

    text: str = ""
    thinking: str = ""
    calls: list = field(default_factory=list)


#: Family, what the model wrote, what it means.
ANSWERS = [
    ("hermes", "Just words.", Read("Just words.")),
    (
        "hermes",
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Berlin"}}\n</tool_call>',
        Read(calls=[BERLIN]),
    ),
    (
        "hermes",
        'Let me look.\n\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Berlin"}}\n'
        '</tool_call>\n<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>\n',
        Read("Let me look.", calls=[BERLIN, NOW]),
    ),
    (
        "hermes",
        '<tool_call>{"name": "get_weather", "arguments": {"city": "a </tool_call> \\"}{ \\\\"}}'
        "</tool_call> done",
        Read(" done", calls=[("get_weather", {"city": 'a </tool_call> "}{ \\'})]),
    ),
    (
        "hermes",
        '<tool_call>{"arguments": "{\\"city\\": \\"K\u00f6ln\\"}", "name": "get_weather"}',
        Read(calls=[("get_weather", {"city": "K\u00f6ln"})]),
    ),
    (
        "hermes",
        '<tool_call>{"name": "clock"}</tool_call> a <tool_call> b </tool_call> <tool_ca',
        Read(" a <tool_call> b </tool_call> <tool_ca", calls=[NOW]),
    ),
    (
        "qwen3",
        "<think>\nI need the weather. Is <tool_call> right?\n</think>\n\n"
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Berlin"}}\n</tool_call>',
        Read(thinking="I need the weather. Is <tool_call> right?", calls=[BERLIN]),
    ),
    (
        "qwen3-coder",
        "I look.\n<tool_call>\n<function=get_weather>\n<parameter=city>\nBerlin\n</parameter>\n"
        '<parameter=days>\n3\n</parameter>\n<parameter=tags>\n["a", "b"]\n</parameter>\n'
        "</function>\n</tool_call>",
        Read("I look.", calls=[("get_weather", {"city": "Berlin", "days": 3, "tags": ["a", "b"]})]),
    ),
    (
        "qwen3-coder",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nif a < b:\n    </x>\n\n"
        "</parameter>\n</function>\n</tool_call>\n<function=clock>\n</function>",
        Read(calls=[("get_weather", {"city": "if a < b:\n    </x>\n"}), NOW]),
    ),
    (
        "qwen3-coder",
        '<tool_call>{"name": "clock", "arguments": {}}</tool_call>',
        Read(calls=[NOW]),
    ),
    ("llama3", '{"name": "get_weather", "parameters": {"city": "Berlin"}}', Read(calls=[BERLIN])),
    (
        "llama3",
        '<|python_tag|>{"type": "function", "name": "get_weather", "parameters": '
        '{"city": "Berlin"}}; {"name": "clock", "parameters": {}}',
        Read(calls=[BERLIN, NOW]),
    ),
    (
        "llama3",
        'Here: {"name": "clock", "parameters": {}}',
        Read('Here: {"name": "clock", "parameters": {}}'),
    ),
    ("llama3", '{"colour": "red"}', Read('{"colour": "red"}')),
    ("llama3", '{"name": "nobody", "age": 3}', Read('{"name": "nobody", "age": 3}')),
    (
        "mistral",
        '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Berlin"}, "id": "abcdefghi"}, '
        '{"name": "clock", "arguments": {}, "id": "abcdefghj"}]',
        Read(calls=[BERLIN, NOW]),
    ),
    ("mistral", "[TOOL_CALLS] [1, 2]", Read("[TOOL_CALLS] [1, 2]")),
    (
        "mistral-names",
        '[TOOL_CALLS]get_weather[CALL_ID]abcdefghi[ARGS]{"city": "Berlin"}'
        "[TOOL_CALLS]clock[ARGS]{}",
        Read(calls=[BERLIN, NOW]),
    ),
    (
        "mistral-names",
        '[THINK]Hm [hm].[/THINK]Sure.[TOOL_CALLS]get_weather{"city": "Berlin"}',
        Read("Sure.", "Hm [hm].", [BERLIN]),
    ),
    (
        "deepseek",
        f"<think>\nyes\n</think>\n\nI ask.{BEGIN}{ONE}function{SEP}get_weather\n```json\n"
        f'{{"city": "Berlin"}}\n```{ONE_END}\n{ONE}function{SEP}clock\n```json\n{{}}\n```'
        f"{ONE_END}{END}",
        Read("I ask.", "yes", [BERLIN, NOW]),
    ),
    (
        "deepseek-3.1",
        f'{BEGIN}{ONE}get_weather{SEP}{{"city": "Berlin"}}{ONE_END}{ONE}clock{SEP}{{}}{ONE_END}'
        f"{END}",
        Read(calls=[BERLIN, NOW]),
    ),
    (
        "deepseek-3.1",
        f"{BEGIN}{ONE}get_weather{SEP}{{'city'}}",
        Read(f"{BEGIN}{ONE}get_weather{SEP}{{'city'}}"),
    ),
    (
        "harmony",
        "<|channel|>analysis<|message|>I should look.<|end|><|start|>assistant<|channel|>commentary"
        ' to=functions.get_weather <|constrain|>json<|message|>{"city": "Berlin"}<|call|>',
        Read(thinking="I should look.", calls=[BERLIN]),
    ),
    (
        "harmony",
        "<|channel|>analysis<|message|>Easy.<|end|><|start|>assistant<|channel|>final<|message|>"
        "It is < 3 |> o'clock.",
        Read("It is < 3 |> o'clock.", "Easy."),
    ),
    (
        "harmony",
        "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant to=functions.clock"
        "<|channel|>commentary json<|message|>{}",
        Read("I look.", calls=[NOW]),
    ),
    (
        "harmony",
        "<|channel|>commentary to=functions.clock<|message|>{no}<|call|>",
        Read("{no}"),
    ),
    ("harmony", '{"plain": true}', Read('{"plain": true}')),
    ("harmony", "<|channel|>fin", Read()),
    ("generic", '{"name": "get_weather", "arguments": {"city": "Berlin"}}', Read(calls=[BERLIN])),
    (
        "generic",
        '```json\n[{"name": "get_weather", "arguments": {"city": "Berlin"}}, {"name": "clock"}]\n'
        "```\n",
        Read(calls=[BERLIN, NOW]),
    ),
    ("generic", '["a", "b"]', Read('["a", "b"]')),
    ("generic", '{"name": "clock"} is how', Read('{"name": "clock"} is how')),
    ("generic", "```python\nprint()\n```", Read("```python\nprint()\n```")),
    ("generic", "   \n", Read("   \n")),
]
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
    result.calls = [(name, json.loads(arguments)) for name, arguments in calls]
    return result


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


WORDS = st.lists(
    st.sampled_from(
        [
            *("<tool_call>", "</tool_call>", '{"name": "clock"', ', "arguments": {}', "}", "{"),
            *("[TOOL_CALLS]", "[ARGS]", "<|python_tag|>", "clock", "```", "json", "[", "]", "\n"),
            *(" ", "<", "|", "\u00e9", '"', "\\", BEGIN, ONE, SEP, ONE_END, END, "<function="),
            *(">", "<parameter=a>", "</parameter>", "</function>", "<think>", "</think>", ";"),
            *("<|channel|>", "<|message|>", "<|end|>", "<|start|>", " to=functions.clock", "final"),
        ]
    ),
    max_size=14,
).map("".join)


@given(family=st.sampled_from(sorted(TEMPLATES)), text=WORDS)
def test_the_strangest_answer_means_the_same_whole_and_byte_by_byte(family, text):
    form = answer_format(TEMPLATES[family])
    assert read(form, [text]) == read(form, list(text))


@given(family=st.sampled_from(sorted(set(TEMPLATES) - {"harmony"})), text=WORDS)
def test_what_holds_no_call_comes_out_as_it_was(family, text):
    """Thoughts aside, whose markers are not text."""
    form = answer_format(TEMPLATES[family])
    if form.markers:
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
