"""Answers of a given form: JSON, JSON schema, regular expression and Lark, over llguidance.

A constraint is compiled once and kept; each answer walks through a copy of it.  llguidance is
loaded with the first constraint, as a worker that never sees one has no use for its memory.
Compiling runs on the thread that prepares requests.  GBNF is llama.cpp's own: ``llama/gbnf.py``.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence as Seq
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from runner.domain.request import Constraint
from runner.engine.after import After, Marker
from runner.engine.pieces import PieceIndex, Tokens
from runner.engine.rules import Mask, Matcher
from runner.engine.sequence import MAX_FORCED
from runner.errors import InvalidRequest
from runner.prompt.closed import closed
from runner.prompt.toolcalls.grammar import resolved

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

#: Compiled constraints kept, those not used longest go first.
_N_KEPT = 32
#: Longest constraint, in characters.
MAX_TEXT = 1 << 20
#: Deepest brackets of a grammar: its compilers recurse, and nobody writes such by hand.
MAX_DEPTH = 100
#: One way to write JSON, the one most texts have: what is certain then needs no drawing.
_JSON_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
#: Parts of one object that are looked at to find the one at fault.
_N_TRIED = 500
_BRACKETS = re.compile(r"[(){}\[\]]")


class Compiler:
    """Turns constraints into matchers; one for each model, for one thread.

    Args:
        n_vocab: Tokens of the model.
        new_tokenizer: Makes llguidance's view of the vocabulary; called at most once.
        new_gbnf: Makes a matcher for a grammar in llama.cpp's own language.
        index: Makes or returns the spellings of all tokens, control tokens' too.
        ends: Tokens that end an answer.
        tokens_of: The tokens of a marker that alone are it; none where its characters are.
    """

    def __init__(
        self,
        n_vocab: int,
        *,
        new_tokenizer: Callable[[], LLTokenizer],
        new_gbnf: Callable[[Constraint], Matcher],
        index: Callable[[], PieceIndex],
        ends: Tokens,
        tokens_of: Callable[[str], tuple[int, ...]] = lambda _marker: (),
    ) -> None:
        self._n_vocab = n_vocab
        self._new_tokenizer = new_tokenizer
        self._new_gbnf = new_gbnf
        self._index = index
        self._ends = ends
        self._tokens_of = tokens_of
        self._tokenizer: LLTokenizer | None = None
        self._compiled: OrderedDict[tuple[str, str], LLMatcher] = OrderedDict()

    def matcher(self, constraint: Constraint) -> Matcher:
        """Return a matcher at the beginning of an answer.

        Raises:
            InvalidRequest: The constraint cannot be compiled; ``param`` says where.
        """
        check_size(constraint)
        matcher: Matcher
        if constraint.kind == "gbnf":
            matcher = self._new_gbnf(constraint)
        else:
            matcher = Guide(self._compile(constraint).deep_copy(), self._n_vocab)
        if not constraint.after:
            return matcher
        return After(
            matcher,
            self._marker(constraint.after),
            self._index(),
            n_vocab=self._n_vocab,
            ends=self._ends,
            opening=self._marker(constraint.opening) if constraint.opening else None,
        )

    def _marker(self, text: str) -> Marker:
        return Marker(text.encode(), self._tokens_of(text))

    def _token_of(self, marker: str) -> int | None:
        tokens = self._tokens_of(marker)
        return tokens[0] if len(tokens) == 1 else None

    def _compile(self, constraint: Constraint) -> LLMatcher:
        key = (constraint.kind, constraint.text)
        if found := self._compiled.get(key):
            self._compiled.move_to_end(key)
            return found
        from llguidance import LLMatcher

        if self._tokenizer is None:
            self._tokenizer = self._new_tokenizer()
        if constraint.kind == "lark":
            constraint = replace(constraint, text=resolved(constraint.text, self._token_of))
        made = LLMatcher(self._tokenizer, _grammar(constraint), log_level=0)
        if made.is_error():
            raise _refusal(constraint, made.get_error())
        self._compiled[key] = made
        if len(self._compiled) > _N_KEPT:
            self._compiled.popitem(last=False)
        return made


class Guide:
    """llguidance's walk through one answer."""

    is_costly = False

    def __init__(self, matcher: LLMatcher, n_vocab: int) -> None:
        self._matcher = matcher
        self._n_vocab = n_vocab
        self._words = np.zeros((n_vocab + 31) // 32, np.int32)

    @property
    def is_complete(self) -> bool:
        """Whether nothing can follow."""
        return bool(self._matcher.is_stopped()) and not self._matcher.is_error()

    def allows(self, token: int) -> bool:
        """Return whether ``token`` may come next."""
        return bool(self._matcher.validate_tokens([token]))

    def mask(self) -> Mask:
        """Return what may come next.

        Raises:
            InvalidRequest: llguidance gave up; its limits bound the time of a step.
        """
        words = self._words
        self._matcher.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes)
        self._check()
        bits = np.unpackbits(words.view(np.uint8), bitorder="little")
        return bits[: self._n_vocab].view(np.bool_)

    def accept(self, token: int) -> None:
        """Go on after ``token``.

        Raises:
            InvalidRequest: llguidance gave up.
        """
        self._matcher.consume_token(token)
        self._check()

    def forced(self) -> Seq[int]:
        """Return tokens that can only come next, a run of them at most; go on after them."""
        tokens = self._matcher.compute_ff_tokens()[:MAX_FORCED]
        if tokens:
            self._matcher.consume_tokens(tokens)
            self._check()
        return tokens

    def close(self) -> None:
        """Nothing but memory of Python's is held."""

    def _check(self) -> None:
        if self._matcher.is_error():
            raise InvalidRequest(
                "the answer could not be kept in its form any further: "
                + _first_line(self._matcher.get_error()),
                hint="simplify the schema or the grammar",
            )


def check_size(constraint: Constraint) -> None:
    """Refuse what could exhaust a compiler.

    Raises:
        InvalidRequest: The text is empty, too long or too deep.
    """
    text, field = constraint.text, constraint.field
    if constraint.kind != "json" and not text.strip():
        raise InvalidRequest(f"{field} is empty", param=field)
    if len(text) > MAX_TEXT:
        raise InvalidRequest(f"{field} has {len(text)} characters, at most {MAX_TEXT}", param=field)
    depth = deepest = 0
    for bracket in _BRACKETS.findall(text):
        depth = depth + 1 if bracket in "({[" else max(0, depth - 1)
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise InvalidRequest(
            f"{field} is nested {deepest} deep, at most {MAX_DEPTH}",
            hint="name inner parts and refer to them",
            param=field,
        )


def _grammar(constraint: Constraint) -> str:
    """The constraint in llguidance's own terms."""
    from llguidance import LLMatcher

    match constraint.kind:
        case "regex":
            return LLMatcher.grammar_from_regex(constraint.text)
        case "lark":
            return LLMatcher.grammar_from_lark(constraint.text)
        case _:
            schema = constraint.text if constraint.kind == "json_schema" else '{"type": "object"}'
            return _json_grammar(schema, constraint.field)


def _json_grammar(schema: str, field: str) -> str:
    from llguidance import LLMatcher

    try:
        parsed = json.loads(schema)
        schema = json.dumps(closed(parsed)) if isinstance(parsed, dict) else schema
        return LLMatcher.grammar_from_json_schema(schema, overrides=_JSON_STYLE)  # type: ignore[arg-type]
    except ValueError as error:
        raise InvalidRequest(f"{field} is not a JSON schema: {error}", param=field) from None


def _refusal(constraint: Constraint, reason: str) -> InvalidRequest:
    """What is wrong with a constraint, and where."""
    field = constraint.field
    if constraint.kind == "json_schema":
        path, reason = _offender(json.loads(constraint.text), reason)
        field = f"{field}{path}"
    return InvalidRequest(
        f"{field} cannot be compiled: {_first_line(reason)}",
        hint="leave out or rewrite this part; the model cannot be held to it",
        param=field,
    )


def _offender(schema: dict[str, Any], reason: str) -> tuple[str, str]:
    """Return the path of the innermost part of a schema that fails by itself, and its reason.

    llguidance says what is wrong, not where; so each part is compiled alone, with the root's
    definitions beside it for its references.
    """
    definitions = {key: schema[key] for key in _DEFINED if key in schema}
    path, part = "", schema
    for _ in range(MAX_DEPTH):
        for key, inner in islice(_parts(part), _N_TRIED):
            found = _reason(inner, definitions)
            # What only the whole has, a part may refer to.
            if found and ("Pointer" not in found or found == reason):
                path, part, reason = path + key, inner, found
                break
        else:
            break
    return path, reason


#: Keywords whose value is a schema, a list of schemas, or an object of schemas.
_ONE: tuple[str, ...] = (
    *("items", "additionalProperties", "additionalItems", "contains", "propertyNames", "not"),
    *("if", "then", "else", "unevaluatedProperties", "unevaluatedItems"),
)
_MANY = ("anyOf", "allOf", "oneOf", "prefixItems", "items")
_DEFINED = ("$defs", "definitions")
_NAMED = (*_DEFINED, "properties", "patternProperties", "dependentSchemas")


def _parts(schema: Any) -> Iterator[tuple[str, Any]]:
    """Yield the schemas right inside of one, with the path to each."""
    if not isinstance(schema, dict):
        return
    for keyword in _NAMED:
        if isinstance(schema.get(keyword), dict):
            for name, part in schema[keyword].items():
                yield f".{keyword}.{name}", part
    for keyword in _MANY:
        if isinstance(schema.get(keyword), list):
            for index, part in enumerate(schema[keyword]):
                yield f".{keyword}[{index}]", part
    for keyword in _ONE:
        if isinstance(schema.get(keyword), dict):
            yield f".{keyword}", schema[keyword]


def _reason(part: Any, definitions: dict[str, Any]) -> str:
    """Why ``part`` cannot be compiled by itself; empty when it can."""
    from llguidance import LLMatcher

    if isinstance(part, dict):
        part = {**definitions, **part}
    try:
        grammar = LLMatcher.grammar_from_json_schema(json.dumps(part))
    except ValueError as error:
        return str(error)
    is_bad, words = LLMatcher.validate_grammar_with_warnings(grammar)
    return words[0] if is_bad else ""


def _first_line(reason: str) -> str:
    """Return llguidance's reason on one line, without the internals it adds."""
    if "coerce_one_of" in reason:
        return "the parts of oneOf overlap; write anyOf"
    lines = [line.strip() for line in reason.strip().splitlines() if line.strip()]
    if cause := next((line for line in lines[1:] if line.startswith("error: ")), ""):
        return f"{lines[0].removesuffix(' regex parse error:')[:300]}: {cause[7:]}"
    return lines[0][:300] if lines else "unknown reason"
