"""``/openapi.json``: everything that is served, from the types that parse.

The document is made when somebody asks for the first time.  What a type cannot say of a field
(ranges, words, what an ``Any`` may be) comes from the tables of ``domain`` by the field's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

import msgspec
from aiohttp import web

from runner.dialects import ollama, wire
from runner.dialects.anthropic import errors as anthropic_errors
from runner.dialects.openai import errors as openai_errors
from runner.domain.options import OPTION_SPECS, OptionSpec, Speculate
from runner.domain.request import CacheUse, Priority
from runner.server import scopes
from runner.server.answers import json_answer
from runner.server.needs import NEEDS
from runner.server.operations import BYTES, JSON, OPERATIONS, TEXT, Operation

routes = web.RouteTableDef()

#: Every call may answer with these; what they mean in words.
_ALWAYS = {
    400: "a field is missing, mistyped or out of range",
    403: "the caller may not do this",
    408: "the request did not arrive in time",
    413: "the body is too large",
    415: "the body's Content-Encoding is not read here",
    417: "the header ``Expect`` asks for what nobody does here",
    431: "the request line or a header is too large, or there are too many headers",
    500: "the model's process failed, or something unexpected happened",
    503: "too much is going on; ``Retry-After`` says when to try again",
}
#: The same, of calls that may need a key.
_WITH_KEYS = {
    401: "a key is needed, or is not valid",
    429: "the key has used up its minute; ``Retry-After`` says when to try again",
}
_MEANINGS = (
    _ALWAYS
    | _WITH_KEYS
    | {
        404: "there is no such thing",
        409: "a job is at that very name already",
        499: "the request was cancelled",
        502: "a hub, a device or a model's file is not as it should be",
        504: "the time that the request allowed is over",
    }
)

#: By the name of an API: the type of its errors.
_ERRORS: Mapping[str, Any] = {
    "OpenAI": openai_errors.ErrorBody,
    "Anthropic": anthropic_errors.ErrorBody,
}
_NULL = {"type": "null"}
_TEXT_OR_NULL = {"anyOf": [{"type": "string"}, _NULL]}
_NUMBERS = {"type": "array", "items": {"type": "integer"}}
#: What fields of requests may be, where their types say less.
_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "keep_alive": {
        "anyOf": [{"type": "number"}, {"type": "string"}, _NULL],
        "description": "seconds, or a span such as 5m; negative: for ever",
    },
    "format": {"anyOf": [{"enum": ["json", "", None]}, {"type": "object"}]},
    "json_schema": {"anyOf": [{"type": "object"}, _NULL]},
    "priority": {"enum": [*(each.value for each in Priority), None]},
    "cache": {"enum": [*(each.value for each in CacheUse), None]},
    "grammar": _TEXT_OR_NULL,
    "regex": _TEXT_OR_NULL,
    "lark": _TEXT_OR_NULL,
    "deadline_s": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, _NULL]},
    "top_logprobs": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 20}, _NULL]},
    "input": {
        "anyOf": [
            {"type": "string"},
            _NUMBERS,
            {"type": "array", "items": {"anyOf": [{"type": "string"}, _NUMBERS]}},
        ]
    },
    "speculate": {"anyOf": [{"enum": [*get_args(Speculate), None]}, {"type": "boolean"}]},
}
_KINDS = {int: "integer", float: "number", bool: "boolean"}
_PRIORITY = {
    "name": "X-Priority",
    "in": "header",
    "required": False,
    "description": "who goes first when not everybody can; wins over the body's ``priority``",
    "schema": {"enum": [each.value for each in Priority]},
}


@routes.get("/openapi.json")
async def openapi(request: web.Request) -> web.Response:
    """What is served, in the form of OpenAPI 3.1."""
    return json_answer(request, wire.encode(document(request.app)))


def document(app: web.Application) -> dict[str, Any]:
    """Return the document: a path for each route of ``app`` that ``OPERATIONS`` describes."""
    schemas = _Schemas()
    summaries = _summaries(app)
    paths: dict[str, dict[str, Any]] = {}
    for api, calls in OPERATIONS.items():
        for call, operation in calls.items():
            method, path = call.split(" ")
            told = _operation(path, operation, schemas, _ERRORS.get(api, ollama.ErrorBody))
            head = {"tags": [api], "summary": summaries[call], "operationId": _id(method, path)}
            paths.setdefault(path, {})[method.lower()] = head | told
    return {
        "openapi": "3.1.0",
        "info": {"title": "Corral", "version": app[NEEDS].version},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


class _Schemas:
    """JSON schemas of all types that the tables name."""

    def __init__(self) -> None:
        found = list(_types())
        made, components = msgspec.json.schema_components(
            found, ref_template="#/components/schemas/{name}"
        )
        # Names that are not unique come with their module, of which clients need not know all.
        whole = msgspec.json.encode([made, components]).replace(b"runner.dialects.", b"")
        made, components = msgspec.json.decode(whole)
        self._made = dict(zip(map(repr, found), made, strict=True))
        self.components: dict[str, Any] = components
        for schema in self._asked(_types(answers=False)):
            for name, field in schema.get("properties", {}).items():
                _say_more(name, field)

    def of(self, types: Any) -> dict[str, Any]:
        """Return the schema of a type, or of any of several."""
        several = [self._made[repr(one)] for one in _each(types)]
        return several[0] if len(several) == 1 else {"anyOf": several}

    def _asked(self, types: Iterable[Any]) -> Iterable[dict[str, Any]]:
        """The components that requests are made of, each once."""
        waiting = [self._made[repr(one)] for one in types]
        seen: set[str] = set()
        while waiting:
            for name in _references(waiting.pop()) - seen:
                seen.add(name)
                waiting.append(self.components[name])
                yield self.components[name]


def _types(*, answers: bool = True) -> Iterable[Any]:
    for calls in OPERATIONS.values():
        for operation in calls.values():
            yield from (one for one in _each(operation.body) if one is not bytes)
            if answers:
                yield from (*_each(operation.answer), *_each(operation.plan))
                yield from _each(operation.stream[1] if operation.stream else None)
    if answers:
        yield from (ollama.ErrorBody, *_ERRORS.values())


def _each(types: Any) -> tuple[Any, ...]:
    if types is None:
        return ()
    return types if isinstance(types, tuple) else (types,)


def _references(schema: Any) -> set[str]:
    """The components that ``schema`` names, at any depth."""
    if isinstance(schema, list):
        return {name for one in schema for name in _references(one)}
    if not isinstance(schema, dict):
        return set()
    found = _references(list(schema.values()))
    if isinstance(target := schema.get("$ref"), str):
        found.add(target.rpartition("/")[2])
    return found


def _say_more(name: str, field: dict[str, Any]) -> None:
    """Add to a field of a request what its type does not say."""
    if name in _FIELDS and "$ref" not in field:
        is_required = "default" not in field
        field.clear()
        field.update(_FIELDS[name] if is_required else {"default": None} | dict(_FIELDS[name]))
    elif name in OPTION_SPECS:
        _limit(field, OPTION_SPECS[name])
    elif name == "options":
        field.clear()
        options = {each: _FIELDS.get(each) or _option(spec) for each, spec in OPTION_SPECS.items()}
        field["default"] = None
        field["anyOf"] = [{"type": "object", "properties": options}, _NULL]


def _limit(field: dict[str, Any], spec: OptionSpec) -> None:
    if spec.kind not in (int, float):
        return
    if spec.low > float("-inf"):
        field["minimum"] = spec.low
    if spec.high < float("inf"):
        field["maximum"] = spec.high


def _option(spec: OptionSpec) -> dict[str, Any]:
    if spec.words:
        return {"enum": [*spec.words, None]}
    if spec.kind in _KINDS:
        field: dict[str, Any] = {"type": [_KINDS[spec.kind], "null"]}
        _limit(field, spec)
        return field
    return {"description": "a text or an array of texts" if spec.kind is str else "see the guide"}


def _operation(path: str, told: Operation, schemas: _Schemas, error: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if parameters := _parameters(path, told):
        found["parameters"] = parameters
    if told.body is bytes:
        content = {BYTES: {"schema": {"type": "string", "format": "binary"}}}
        found["requestBody"] = {"required": True, "content": content}
    elif told.body is not None:
        content = {JSON: {"schema": schemas.of(told.body)}}
        found["requestBody"] = {"required": not told.may_lack_body, "content": content}
    is_open = scopes.is_open(path)
    if not is_open:
        found["security"] = [{}, {"bearer": []}, {"key": []}]
    failures = {*_ALWAYS, *told.fails} | (set() if is_open else set(_WITH_KEYS))
    content = {JSON: {"schema": schemas.of(error)}}
    answers: dict[str, Any] = {
        str(each): {"description": _MEANINGS[each], "content": dict(content)} for each in failures
    }
    if "404" in answers and "{" in path:  # what stands in the path may lead to no call at all
        answers["404"]["content"][TEXT] = {"schema": {"type": "string"}}
    if told.status < 300:
        answers[str(told.status)] = {"description": "it is done"} | _content(told, schemas)
        if told.status != 200 and told.body is bytes:
            answers["200"] = {"description": "it was there already"}
        if told.plan is not None:
            plan = {JSON: {"schema": schemas.of(told.plan)}}
            answers["200"] = {"description": "what would be done", "content": plan}
    elif str(told.status) not in answers:
        answers[str(told.status)] = {"description": _MEANINGS[told.status], "content": content}
    found["responses"] = dict(sorted(answers.items()))
    return found


def _content(told: Operation, schemas: _Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if told.kind:
        schema = schemas.of(told.answer) if told.answer is not None else {"type": "string"}
        content[told.kind] = {"schema": schema}
    if told.stream:
        kind, piece = told.stream
        content[kind] = {"schema": schemas.of(piece)}
    return {"content": content} if content else {}


def _parameters(path: str, told: Operation) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in names
    ]
    found += [
        {
            "name": query.name,
            "in": "query",
            "required": False,
            "description": query.what,
            "schema": dict(query.schema),
        }
        for query in told.query
    ]
    return [*found, _PRIORITY] if 504 in told.fails else found


def _summaries(app: web.Application) -> dict[str, str]:
    """The first line of each handler's docstring, by method and path."""
    found = {}
    for route in app.router.routes():
        if route.resource is not None:
            first = (route.handler.__doc__ or "").strip().partition("\n")[0]
            found[f"{route.method} {route.resource.canonical}"] = first
    return found


def _id(method: str, path: str) -> str:
    words = [word.strip("{}") for word in path.replace(".", "/").split("/") if word]
    return "_".join([method.lower(), *words])
