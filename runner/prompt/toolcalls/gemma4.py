"""Gemma 4: calls in a notation of its own, with a token for the quotes of texts.

    <|tool_call>call:weather{city:<|"|>Berlin<|"|>,days:3}<tool_call|>

Values are texts in these quotes, numbers, true and false, and lists and objects of them, whose
keys stand in quotes or without.  They are told as JSON while they come.

Source: Gemma 4's chat template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runner.domain.chat import Tool
from runner.prompt.toolcalls.grammar import (
    definitions_of,
    json_rule,
    properties_of,
    required_of,
    spelled,
)
from runner.prompt.toolcalls.members import told_text
from runner.prompt.toolcalls.source import (
    NotACall,
    Read,
    Source,
    begin,
    close,
    expect,
    give,
    more,
    name_until,
    one_of,
    some,
    space,
    until,
)
from runner.prompt.toolcalls.told import as_json, read_json

BEGIN, END = "<|tool_call>", "<tool_call|>"
_QUOTE = '<|"|>'
CONTROLS = (BEGIN, END, _QUOTE)
#: What some models write for their quote, as they do in JSON.
_PLAIN_QUOTE = '"'
_MAX_DEPTH = 64
_MAX_WORD = 64  # characters of a number, or of true and false
_WORDS = {"None": None, "True": True, "False": False}


class Gemma4:
    """Each call between two markers."""

    openers: tuple[str, ...] = (BEGIN,)
    leads: tuple[str, ...] = ()

    def read(self, source: Source, opener: str) -> Read[None]:
        """Read one call; the closing marker may be missing."""
        yield from space(source)
        yield from expect(source, "call:")
        yield from begin(source, (yield from name_until(source, "{")))
        yield from _object(source, 0)
        yield from close(source, (END,))

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of calls; arguments come in the schema's order.

        What is neither a text nor a number comes in JSON, which a schema can say.
        """
        rules = [f"start: {'call+' if several else 'call'}"]
        rules.append("call: " + " | ".join(f"call_{n}" for n in range(len(tools))))
        for n, tool in enumerate(tools):
            head = spelled(f"{BEGIN}call:{tool.name}{{", CONTROLS)
            rules.append(f"call_{n}: {head} body_{n} {spelled('}' + END, CONTROLS)}")
            rules += _body_rules(n, tool)
        return "\n".join((*rules, "TEXT: /[^<]+/"))


def _body_rules(n: int, tool: Tool) -> list[str]:
    """The rules of the arguments of the ``n``-th tool, with commas between them alone."""
    properties = properties_of(tool)
    required = required_of(tool)
    names = [f"value_{n}_{i}" for i in range(len(properties))]
    is_needed = [key in required for key in properties]
    ways = []
    for i, name in enumerate(names):  # which comes first
        rest = (
            f'("," {other}){"" if needed else "?"}'
            for other, needed in zip(names[i + 1 :], is_needed[i + 1 :], strict=True)
        )
        ways.append(" ".join((name, *rest)))
        if is_needed[i]:
            break
    else:
        ways.append('""')
    rules = [f"body_{n}: {' | '.join(ways)}"]
    for i, (key, schema) in enumerate(properties.items()):
        if _is_text(schema):
            value = f"{spelled(_QUOTE, CONTROLS)} TEXT? {spelled(_QUOTE, CONTROLS)}"
        else:
            value = f"json_{n}_{i}"
            inner = schema if isinstance(schema, dict) else {}
            rules.append(json_rule(value, {**definitions_of(tool), **inner}))
        rules.append(f"value_{n}_{i}: {spelled(f'{key}:', ())} {value}")
    return rules


def _is_text(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "string" and "enum" not in schema


def _object(source: Source, depth: int) -> Read[None]:
    """Read and tell the rest of an object behind its bracket."""
    yield from give(source, "{")
    n_told = 0
    while True:
        yield from space(source)
        if (yield from one_of(source, ("}",))):
            break
        key = yield from _key(source)
        yield from give(source, (", " if n_told else "") + as_json(key) + ": ")
        yield from _value(source, depth + 1)
        n_told += 1
        yield from _comma(source, "}")
    yield from give(source, "}")


def _list(source: Source, depth: int) -> Read[None]:
    """Read and tell the rest of a list behind its bracket."""
    yield from give(source, "[")
    n_told = 0
    while True:
        yield from space(source)
        if (yield from one_of(source, ("]",))):
            break
        if n_told:
            yield from give(source, ", ")
        yield from _value(source, depth + 1)
        n_told += 1
        yield from _comma(source, "]")
    yield from give(source, "]")


def _comma(source: Source, bracket: str) -> Read[None]:
    """Read the comma between two values, unless ``bracket`` comes, which stays."""
    yield from space(source)
    yield from some(source)
    if source.text[0] != bracket:
        yield from expect(source, ",")


def _key(source: Source) -> Read[str]:
    quote = yield from one_of(source, (_QUOTE, _PLAIN_QUOTE))
    if not quote:
        return (yield from name_until(source, ":"))
    key = yield from until(source, quote)
    yield from space(source)
    yield from expect(source, ":")
    return key


def _value(source: Source, depth: int) -> Read[None]:
    if depth > _MAX_DEPTH:
        raise NotACall
    yield from space(source)
    match (yield from one_of(source, (_QUOTE, _PLAIN_QUOTE, "{", "["))):
        case "{":
            yield from _object(source, depth)
        case "[":
            yield from _list(source, depth)
        case "":
            yield from give(source, as_json(_meant((yield from _word(source)))))
        case quote if quote == _QUOTE:
            yield from told_text(source, quote)
        case _:
            yield from _json_text(source)


def _json_text(source: Source) -> Read[None]:
    """Read the rest of a JSON string, and tell it."""
    yield from give(source, '"')
    is_escaped = False
    while True:
        for at, char in enumerate(source.text):
            if char == '"' and not is_escaped:
                yield from give(source, source.take(at + 1))
                return
            is_escaped = char == "\\" and not is_escaped
        yield from give(source, source.take(len(source.text)))
        yield from more(source)


def _word(source: Source) -> Read[str]:
    """Read up to what ends a value, which stays."""
    stops = (",", "}", "]", source.spelt(END)[0])
    n = 0
    while True:
        while n < len(source.text) and source.text[n] not in stops:
            n += 1
        if n > _MAX_WORD:
            raise NotACall
        if n < len(source.text):
            return source.take(n).strip()
        yield from more(source)


def _meant(word: str) -> Any:
    if word in _WORDS:
        return _WORDS[word]
    try:
        return read_json(word)
    except ValueError:
        return word
