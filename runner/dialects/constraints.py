"""How the dialects ask for an answer of a given form, and for log probabilities.

Beside what OpenAI and Ollama have, every dialect takes ``grammar`` (GBNF), ``regex`` and ``lark``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from runner.domain.event import Candidate, TokenLogprob
from runner.domain.request import Constraint
from runner.errors import InvalidRequest, Unsupported

MAX_TOP_LOGPROBS = 20

_LANGUAGES: Mapping[str, Literal["gbnf", "regex", "lark"]] = {
    "grammar": "gbnf",
    "regex": "regex",
    "lark": "lark",
}


def of_schema(schema: Any, field: str) -> Constraint:
    """Return the constraint that a JSON schema is; its members keep their order.

    Raises:
        InvalidRequest: It is no object.
    """
    if not isinstance(schema, dict):
        raise InvalidRequest(f"{field} must be a JSON schema, an object", param=field)
    return Constraint("json_schema", json.dumps(schema, ensure_ascii=False), field=field)


def one_of(named: Constraint | None, **languages: Any) -> Constraint | None:
    """Return the one constraint that is asked for, by the dialect's own field or by another.

    Args:
        named: What the dialect's own field says.
        languages: The values of ``grammar``, ``regex`` and ``lark``.

    Raises:
        InvalidRequest: One is no text, or there are several.
    """
    found = [named] if named else []
    for field, text in languages.items():
        if text in (None, ""):
            continue
        if not isinstance(text, str):
            raise InvalidRequest(f"'{field}' must be a string", param=field)
        found.append(Constraint(_LANGUAGES[field], text, field=field))
    if len(found) > 1:
        first, second = found[0].field.partition(".")[0], found[1].field
        raise InvalidRequest(
            f"{first} and {second} exclude each other", hint="send one of them", param=second
        )
    return found[0] if found else None


def of_ollama(value: Any) -> Constraint | None:
    """Return what Ollama's ``format`` asks for: ``"json"``, a schema, or nothing.

    Raises:
        InvalidRequest: It is something else.
    """
    if value in (None, ""):
        return None
    if value == "json":
        return Constraint("json", field="format")
    if isinstance(value, dict):
        return of_schema(value, "format")
    raise InvalidRequest(
        f'invalid format: {json.dumps(value)[:100]}; expected "json" or a valid JSON Schema object',
        param="format",
    )


def of_response_format(value: dict[str, Any] | None) -> Constraint | None:
    """Return what OpenAI's ``response_format`` asks for.

    Raises:
        RequestError: It lacks something, or its type is not offered.
    """
    field = "response_format"
    kind = (value or {"type": "text"}).get("type")
    if value is None or kind == "text":
        return None
    if kind == "json_object":
        if value.get("schema") is not None:  # llama-server's way
            return of_schema(value["schema"], f"{field}.schema")
        return Constraint("json", field=field)
    if kind == "json_schema":
        inner = value.get("json_schema")
        if not isinstance(inner, dict) or "schema" not in inner:
            missing = f"{field}.json_schema.schema"
            raise InvalidRequest(f"'{missing}' is required", param=missing)
        return of_schema(inner["schema"], f"{field}.json_schema.schema")
    raise Unsupported(
        f"response_format of type {json.dumps(kind)[:40]} is not offered",
        hint="use text, json_object or json_schema",
        param=field,
    )


def n_logprobs(logprobs: bool | None, top_logprobs: int | None) -> int | None:
    """Return how many likeliest tokens to tell at each place; ``None``: no log probabilities.

    Raises:
        InvalidRequest: ``top_logprobs`` is out of range.
    """
    if top_logprobs is not None and not 0 <= top_logprobs <= MAX_TOP_LOGPROBS:
        raise InvalidRequest(
            f"top_logprobs must be between 0 and {MAX_TOP_LOGPROBS}", param="top_logprobs"
        )
    return (top_logprobs or 0) if logprobs else None


def openai_logprob(logprob: TokenLogprob) -> dict[str, Any]:
    """Return a token as OpenAI tells of it."""
    return candidate(logprob.drawn) | {"top_logprobs": [candidate(each) for each in logprob.top]}


def ollama_logprob(logprob: TokenLogprob) -> dict[str, Any]:
    """Return a token as Ollama tells of it: without a list that was not asked for."""
    top = {"top_logprobs": [candidate(each) for each in logprob.top]} if logprob.top else {}
    return candidate(logprob.drawn) | top


def candidate(each: Candidate) -> dict[str, Any]:
    """Return a token, what it stands for, and how likely it was; all dialects share the words."""
    return {
        "token": each.content.decode("utf-8", "replace"),
        "logprob": each.logprob,
        "bytes": list(each.content),
    }
