"""Grammars of forced calls: llguidance takes them, and what they allow is read back as the call."""

from __future__ import annotations

import json

import pytest

from runner.domain.chat import Tool
from runner.domain.event import ToolCallDelta
from runner.prompt.toolcalls.grammar import resolved
from runner.prompt.toolcalls.registry import answer_format
from tests.prompt.toolcalls.answers import CLOCK, MARK, TEMPLATES, WEATHER
from tests.prompt.toolcalls.test_families import read

llguidance = pytest.importorskip("llguidance")

NESTED = Tool(
    "nested",
    "",
    {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/word"}},
        "required": ["a"],
        "$defs": {"word": {"type": "string", "enum": ["x", "y"]}},
    },
)
#: Family and a call as its grammar wants it.
FORCED = [
    ("hermes", '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>'),
    ("llama3", '{"name": "clock", "parameters": {}}'),
    ("mistral", '[TOOL_CALLS][{"name": "clock", "arguments": {}}]'),
    ("mistral-names", "[TOOL_CALLS]clock[ARGS]{}"),
    ("harmony", "<|channel|>commentary to=functions.clock <|constrain|>json<|message|>{}"),
    ("generic", '{"name": "clock", "arguments": {}}'),
    ("qwen3-coder", "<tool_call>\n<function=clock>\n</function>\n</tool_call>"),
    ("gemma4", "<|tool_call>call:clock{}<tool_call|>"),
    (
        "minimax-m3",
        f'{MARK}<tool_call>\n{MARK}<invoke name="clock">{MARK}</invoke>\n{MARK}</tool_call>',
    ),
    (
        "deepseek-3.1",
        "<\uff5ctool\u2581calls\u2581begin\uff5c><\uff5ctool\u2581call\u2581begin\uff5c>clock"
        "<\uff5ctool\u2581sep\uff5c>{}<\uff5ctool\u2581call\u2581end\uff5c>"
        "<\uff5ctool\u2581calls\u2581end\uff5c>",
    ),
]


class Bytes:
    """A vocabulary of single bytes and an end, in the form that llguidance asks for."""

    eos_token_id = 256
    bos_token_id = None
    tokens = [bytes([byte]) for byte in range(256)] + [b"<end>"]
    special_token_ids = [256]  # noqa: RUF012

    def __call__(self, text):
        raw = text if isinstance(text, bytes) else text.encode()
        return list(raw)


@pytest.fixture(scope="module")
def tokenizer():
    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(Bytes()))


def allows(tokenizer, grammar: str, text: str) -> bool:
    """Whether ``text`` is a whole sentence of ``grammar``, for a model without control tokens."""
    matcher = llguidance.LLMatcher(tokenizer, resolved(grammar, lambda marker: None))
    assert not matcher.is_error(), matcher.get_error()
    raw = list(text.encode())
    return (
        matcher.validate_tokens(raw) == len(raw)
        and all(matcher.consume_token(token) for token in raw)
        and matcher.is_accepting()
    )


@pytest.mark.parametrize(("family", "text"), FORCED, ids=[family for family, _ in FORCED])
@pytest.mark.parametrize("several", [False, True])
def test_a_forced_call_is_in_the_family_s_own_form(tokenizer, family, text, several):
    form = answer_format(TEMPLATES[family])
    constraint = form.forced_call((WEATHER, CLOCK, NESTED), several=several, thinks=False)
    assert constraint.kind == "lark"
    assert allows(tokenizer, constraint.text, text)
    assert read(form, [text]).calls == [("clock", {})]


@pytest.mark.parametrize("family", [family for family, _ in FORCED])
def test_words_are_no_forced_call(tokenizer, family):
    grammar = answer_format(TEMPLATES[family]).forced_call((CLOCK,), several=True).text
    assert not allows(tokenizer, grammar, "Certainly! I will look.")
    assert not allows(tokenizer, grammar, "")


def test_arguments_follow_the_schema_with_its_definitions(tokenizer):
    form = answer_format(TEMPLATES["hermes"])
    grammar = form.forced_call((NESTED,), several=False).text
    call = '<tool_call>\n{"name": "nested", "arguments": {"a": "%s"}}\n</tool_call>'
    assert allows(tokenizer, grammar, call % "x")
    assert not allows(tokenizer, grammar, call % "z")
    several = form.forced_call((NESTED,), several=True).text
    assert allows(tokenizer, several, "\n".join([call % "x", call % "y"]))


def test_calls_in_a_row_have_indexes_in_a_row():
    parser = answer_format(TEMPLATES["hermes"]).parser((CLOCK,), "")
    text = '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>'
    pieces = parser.feed("\n".join([text] * 3)) + parser.end()
    assert [p.index for p in pieces if isinstance(p, ToolCallDelta)] == [0, 0, 1, 1, 2, 2]
    assert json.loads("".join(p.arguments for p in pieces if p.index == 2)) == {}
