"""Tool calls as each family writes them: whole, byte by byte, at every split."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from runner.domain.chat import Tool
from runner.domain.event import TextDelta, ThinkingDelta, ToolCallDelta
from runner.prompt.marks import CONTROL, marked
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
    "glm": "{{ tools }}<tool_call><arg_key>k</arg_key>\n<arg_value><think>",
    "glm-4.7": "{{ tools }}<tool_call><arg_key>k</arg_key><arg_value><think>",
    "kimi": "{{ tools }}<|tool_call_begin|><|tool_call_argument_begin|><think></think>",
    "command": "{{ tools }}<|START_ACTION|><|START_THINKING|><|START_RESPONSE|><|END_RESPONSE|>",
    "command-r": "{{ tools }}<|CHATBOT_TOKEN|>Action:```json",
    "granite": "{{ tools }}<|start_of_role|><|tool_call|><think></think><response></response>",
    "phi": "{{ tools }}<|tool|><|/tool|>",
    "minimax": '{{ tools }}<minimax:tool_call><invoke name="x"><think></think>',
    "minimax-m1": "{{ tools }}<beginning_of_sentence><tool_calls>",
    "dsml": "{{ tools }}\uff5cDSML\uff5c<invoke name=",
    "seed": "{{ tools }}<seed:tool_call><function=x><parameter=y>",
    "nemotron": "{{ tools }}<TOOLCALL>",
    "apriel": "{{ tools }}<tool_calls>[",
    "firefunction": "{{ tools }} functools",
    "lfm": "{{ tools }}<|tool_call_start|>",
    "gemma": "{{ tools }}<start_of_turn>",
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
    # What is no whole call any more, once it has begun.
    ("hermes", '<tool_call>{"name": "clock", "arguments": {}} oops', Read("oops", calls=[NOW])),
    ("hermes", '<tool_call>{"name": "clock", "arguments": {}</tool_call>', Read(calls=[NOW])),
    ("hermes", '<tool_call>{"name": "clock", "arguments": {}}</tool_', Read(calls=[NOW])),
    (
        "hermes",
        '<tool_call>[{"name": "clock"}, {"function": {"name": "clock", "arguments": null}}]',
        Read(calls=[NOW, NOW]),
    ),
    ("hermes", '<tool_call>{"name": "clock", "arguments": {', Read("same")),
    ("hermes", '<tool_call>{"name": "clock", "arguments": {city: 1}}', Read("same")),
    ("hermes", '<tool_call>{"name": "clock", "arguments": "{1"}', Read("same")),
    ("hermes", '<tool_call>{"name": "nobody", "arguments": {"a": 1}}</tool_call>', Read("same")),
    ("hermes", '<tool_call>{"name": 3, "arguments": {"a": 1}}</tool_call>', Read("same")),
    ("llama3", '{"name": "clock", "parameters": {}} is how', Read(" is how", calls=[NOW])),
    (
        "glm",
        "<think>\nhm</think>\nI look.\n<tool_call>get_weather\n<arg_key>city</arg_key>\n"
        "<arg_value>Berlin</arg_value>\n</tool_call>",
        Read("I look.", "hm", [BERLIN]),
    ),
    (
        "glm-4.7",
        "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Ber\nlin </b></arg_value>"
        '<arg_key>days</arg_key><arg_value>3</arg_value><arg_key>tags</arg_key><arg_value>["a"]'
        "</arg_value></tool_call><tool_call>clock</tool_call>",
        Read(
            calls=[("get_weather", {"city": "Ber\nlin </b>", "days": 3, "tags": ["a"]}), NOW],
        ),
    ),
    ("glm", "<tool_call>nobody\n</tool_call>", Read("same")),
    (
        "kimi",
        "Sure. <|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
        '<|tool_call_argument_begin|>{"city": "Berlin"}<|tool_call_end|><|tool_call_begin|>'
        "functions.clock:1<|tool_call_argument_begin|>{}<|tool_call_end|>"
        "<|tool_calls_section_end|>",
        Read("Sure.", calls=[BERLIN, NOW]),
    ),
    (
        "command",
        "<|START_THINKING|>I look.<|END_THINKING|><|START_ACTION|>[\n    "
        '{"tool_call_id": "0", "tool_name": "get_weather", "parameters": {"city": "Berlin"}},\n'
        '    {"tool_call_id": "1", "tool_name": "clock", "parameters": {}}\n]<|END_ACTION|>',
        Read(thinking="I look.", calls=[BERLIN, NOW]),
    ),
    (
        "command",
        "<|START_THINKING|>Easy.<|END_THINKING|><|START_RESPONSE|>It is 3.<|END_RESPONSE|>",
        Read("It is 3.", "Easy."),
    ),
    (
        "command-r",
        'Action: ```json\n[\n    {\n        "tool_name": "get_weather",\n        "parameters": '
        '{"city": "Berlin"}\n    }\n]```',
        Read(calls=[BERLIN]),
    ),
    ("command-r", "Action: take it easy", Read("same")),
    (
        "granite",
        '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Berlin"}}, '
        '{"name": "clock", "arguments": {}}]',
        Read(calls=[BERLIN, NOW]),
    ),
    ("granite", "<think>\nhm</think>\n<response>Yes.\n</response>", Read("Yes.\n", "hm")),
    ("granite", "It is <response> here </response>", Read("same")),
    (
        "phi",
        '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Berlin"}}]<|/tool_call|>',
        Read(calls=[BERLIN]),
    ),
    ("phi", 'functools[{"name": "clock", "arguments": {}}]', Read(calls=[NOW])),
    (
        "minimax",
        "<think>hm</think>Wait.\n<minimax:tool_call>\n"
        '<invoke name="get_weather">\n<parameter name="city">Berlin</parameter>\n'
        '<parameter name="days">3</parameter>\n</invoke>\n<invoke name="clock">\n</invoke>\n'
        "</minimax:tool_call>",
        Read("Wait.", "hm", [("get_weather", {"city": "Berlin", "days": 3}), NOW]),
    ),
    (
        "minimax-m1",
        '<tool_calls>\n{"name": "get_weather", "arguments": {"city": "Berlin"}}\n'
        '{"name": "clock", "arguments": {}}\n</tool_calls>',
        Read(calls=[BERLIN, NOW]),
    ),
    (
        "dsml",
        '<\uff5cDSML\uff5cfunction_calls>\n<\uff5cDSML\uff5cinvoke name="get_weather">\n'
        '<\uff5cDSML\uff5cparameter name="city" string="true">Berlin</\uff5cDSML\uff5cparameter>\n'
        '<\uff5cDSML\uff5cparameter name="days" string="false">3</\uff5cDSML\uff5cparameter>\n'
        "</\uff5cDSML\uff5cinvoke>\n</\uff5cDSML\uff5cfunction_calls>",
        Read(calls=[("get_weather", {"city": "Berlin", "days": 3})]),
    ),
    (
        "seed",
        "<seed:tool_call>\n<function=get_weather>\n<parameter=city>Berlin</parameter>\n"
        "</function>\n</seed:tool_call>",
        Read(calls=[BERLIN]),
    ),
    (
        "nemotron",
        '<TOOLCALL>[{"name": "get_weather", "arguments": {"city": "Berlin"}}]</TOOLCALL>',
        Read(calls=[BERLIN]),
    ),
    (
        "apriel",
        '<tool_calls>[{"name": "get_weather", "arguments": {"city": "Berlin"}, "id": "1"}]'
        "</tool_calls>",
        Read(calls=[BERLIN]),
    ),
    ("firefunction", ' functools[{"name": "clock", "arguments": {}}]', Read(calls=[NOW])),
    (
        "lfm",
        '<|tool_call_start|>[get_weather(city="Berlin"), clock()]<|tool_call_end|>I look.',
        Read("I look.", calls=[BERLIN, NOW]),
    ),
    (
        "lfm",
        '<|tool_call_start|>[{"name": "clock", "arguments": {}}]<|tool_call_end|>',
        Read(calls=[NOW]),
    ),
    ("lfm", "<|tool_call_start|>[1, 2]<|tool_call_end|>", Read("same")),
    (
        "gemma",
        "```tool_code\nprint(get_weather(city='Berlin', tags=[']', \"b\"]))\n```",
        Read(calls=[("get_weather", {"city": "Berlin", "tags": ["]", "b"]})]),
    ),
    ("gemma", "[get_weather(city='Berlin')]", Read(calls=[BERLIN])),
    ("gemma", '```json\n{"name": "clock", "parameters": {}}\n```', Read(calls=[NOW])),
    ("gemma", "[1] says so", Read("same")),
    ("gemma", "```python\nimport os\n```", Read("same")),
]
#: ``same``: nothing in it is a call.
ANSWERS = [(f, text, Read(text) if m == Read("same") else m) for f, text, m in ANSWERS]
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
