"""Random JSON schemas that can be met, of every feature that llguidance says it has."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Schema = dict[str, Any]

NAMES = st.sampled_from(["a", "name", "is ok", "é", 'q"', "n_1"])
PATTERNS = ["^[a-c]{2,4}$", "^[0-9]+-[0-9]$", "^(on|off)$", "x|y"]
FORMATS = ["date", "time", "date-time", "email", "ipv4", "uuid", "hostname", "uri", "ipv6"]
FORMATS += ["duration"]


def _bounded(low: str, high: str, values: st.SearchStrategy) -> st.SearchStrategy[Schema]:
    def ordered(pair):
        first, second = sorted(pair)
        return {low: first, high: second}

    return st.tuples(values, values).map(ordered)


def _merged(*parts: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    return st.tuples(*parts).map(lambda found: {k: v for part in found for k, v in part.items()})


_LITERALS = st.one_of(
    st.none(), st.booleans(), st.integers(-99, 99), st.text('aé"\\\n\u2028😀', max_size=4)
)
_STRINGS = st.one_of(
    _merged(st.just({"type": "string"}), _bounded("minLength", "maxLength", st.integers(0, 6))),
    st.sampled_from(PATTERNS).map(lambda p: {"type": "string", "pattern": p, "maxLength": 8}),
    st.sampled_from(FORMATS).map(lambda f: {"type": "string", "format": f}),
)
_INTEGERS = st.one_of(
    _merged(st.just({"type": "integer"}), _bounded("minimum", "maximum", st.integers(-999, 999))),
    st.integers(1, 12).map(lambda n: {"type": "integer", "multipleOf": n, "maximum": 500}),
    st.integers(-50, 50).map(
        lambda n: {"type": "integer", "exclusiveMinimum": n, "exclusiveMaximum": n + 9}
    ),
)
_NUMBERS = st.one_of(
    _merged(st.just({"type": "number"}), _bounded("minimum", "maximum", st.integers(-999, 999))),
    st.integers(-9, 9).map(
        lambda n: {"type": "number", "exclusiveMinimum": n, "exclusiveMaximum": n + 1}
    ),
    st.sampled_from([0.5, 0.25, 2]).map(
        lambda n: {"type": "number", "multipleOf": n, "minimum": 0, "maximum": 40}
    ),
    st.integers(0, 9).map(lambda n: {"allOf": [{"type": "integer", "minimum": n}, {"maximum": 9}]}),
)
#: Of several types, each with bounds of its own.
_MIXED = st.integers(0, 3).map(
    lambda n: {"type": ["integer", "string", "null"], "maxLength": n, "minimum": n}
)
_LEAVES = st.one_of(
    _STRINGS,
    _INTEGERS,
    _NUMBERS,
    _MIXED,
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["boolean", "null"]}]),
    _LITERALS.map(lambda value: {"const": value}),
    st.lists(_LITERALS, min_size=1, max_size=4).map(lambda values: {"enum": values}),
)


def _arrays(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    sizes = _bounded("minItems", "maxItems", st.integers(0, 3))
    return st.one_of(
        _merged(inner.map(lambda items: {"type": "array", "items": items}), sizes),
        st.lists(inner, min_size=1, max_size=2).map(
            lambda first: {
                "type": "array",
                "prefixItems": first,
                "items": False,
                "minItems": len(first),
            }
        ),
        st.tuples(inner, inner).map(
            lambda pair: {
                "type": "array",
                "prefixItems": [pair[0]],
                "items": pair[1],
                "minItems": 1,
                "maxItems": 3,
            }
        ),
    )


def _maps(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    """Objects whose members have any name, or must have one that nothing else speaks of."""
    sizes = _bounded("minProperties", "maxProperties", st.integers(0, 2))
    return st.one_of(
        _merged(inner.map(lambda value: {"type": "object", "additionalProperties": value}), sizes),
        inner.map(
            lambda value: {"type": "object", "required": ["zz"], "additionalProperties": value}
        ),
    )


@st.composite
def _objects(draw: st.DrawFn, inner: st.SearchStrategy[Schema]) -> Schema:
    properties = draw(st.dictionaries(NAMES, inner, min_size=1, max_size=3))
    made: Schema = {
        "type": "object",
        "properties": properties,
        "required": draw(st.lists(st.sampled_from(sorted(properties)), unique=True)),
        "additionalProperties": False,
    }
    if draw(st.integers(0, 4)) == 0:
        made["patternProperties"] = {"^z[0-9]$": draw(inner)}
    return made


def _joined(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"anyOf": parts}),
        inner.map(lambda part: {"allOf": [part]}),
        st.tuples(inner, inner).map(
            lambda pair: {
                "allOf": [
                    {"type": "object", "properties": {key: part}, "required": [key]}
                    for key, part in zip("ab", pair, strict=True)
                ]
            }
        ),
        st.tuples(inner, inner).map(
            lambda pair: {
                "type": "object",
                "properties": {"k": pair[0]},
                "required": ["k"],
                "anyOf": [{"properties": {"a": pair[1]}, "required": ["a"]}, {"required": ["k"]}],
            }
        ),
        st.just({"oneOf": [{"type": "boolean"}, {"type": "integer", "maximum": 9}]}),
    )


@st.composite
def _with_definitions(draw: st.DrawFn, inner: st.SearchStrategy[Schema]) -> Schema:
    made = draw(_objects(inner))
    made["$defs"] = {"part": draw(inner)}
    made["properties"]["ref"] = {"$ref": "#/$defs/part"}
    made["required"] = [*made["required"], "ref"]
    return made


def _chains(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    """Objects that may hold another of their own kind."""
    return inner.map(
        lambda value: {
            "type": "object",
            "properties": {"value": value, "next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}},
            "required": ["value", "next"],
            "additionalProperties": False,
        }
    )


_INNER = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(_arrays(inner), _objects(inner), _maps(inner), _joined(inner)),
    max_leaves=4,
)

#: Any schema, an object more often than not.
SCHEMAS = st.one_of(_objects(_INNER), _with_definitions(_INNER), _chains(_LEAVES), _INNER)
