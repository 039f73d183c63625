"""Whether an answer is one that ``/openapi.json`` tells of: status, type and form."""

from __future__ import annotations

import json
import re
from functools import cache

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from runner.server.app import make_app
from runner.server.openapi import document
from tests.server.serving import House


@cache
def told() -> dict:
    """The document, as every house serves it."""
    house = House()
    return document(make_app(house.needs(), house.access()))


@cache
def _paths() -> list[tuple[re.Pattern, str]]:
    """The paths without parameters first, since only they can be meant where they fit."""
    found = []
    for path in sorted(told()["paths"], key=lambda path: "{" in path):
        parts = re.split(r"\{[^}]+\}", path)
        inside = ".+" if path == "/v1/models/{name}" else "[^/]+"
        found.append((re.compile(inside.join(map(re.escape, parts))), path))
    return found


@cache
def _validator(path: str, method: str, status: str, kind: str) -> Draft202012Validator:
    answers = told()["paths"][path][method]["responses"]
    assert status in answers, f"{method} {path} may not answer with {status}"
    kinds = answers[status].get("content", {})
    assert kind in kinds, f"{method} {path} may not answer {status} with {kind or 'nothing'}"
    return Draft202012Validator(kinds[kind]["schema"] | {"components": told()["components"]})


def check(method: str, path: str, status: int, content_type: str, body: bytes) -> None:
    """Fail when the answer is none that the document tells of.

    What no call answers is not looked at: paths that do not exist, methods they do not have,
    preflights.
    """
    path = path.partition("?")[0]
    route = next((route for pattern, route in _paths() if pattern.fullmatch(path)), None)
    if route is None or status == 405 or method.lower() not in told()["paths"][route]:
        return
    kind = content_type.partition(";")[0]
    answers = told()["paths"][route][method.lower()]["responses"]
    if not body:
        assert str(status) in answers, f"{method} {path} may not answer with {status}"
        return
    validator = _validator(route, method.lower(), str(status), kind)
    if kind == "application/json":
        _hold(validator, json.loads(body), f"{method} {path}")
    elif kind == "application/x-ndjson":
        for line in body.splitlines():
            if "error" not in (each := json.loads(line)):
                _hold(validator, each, f"{method} {path}")


def _hold(validator: Draft202012Validator, answer: object, call: str) -> None:
    """Fail in a few words: the whole document would come with jsonschema's own."""
    fault = best_match(validator.iter_errors(answer))
    assert fault is None, f"the answer of {call} is not as described: {fault.message[:500]}"
