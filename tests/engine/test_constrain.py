"""Constraints without any model: what is refused and where, and a walk through random schemas."""

from __future__ import annotations

import json
import random

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from runner.domain.request import Constraint
from runner.engine.constrain import Compiler
from runner.engine.pieces import PieceIndex
from runner.errors import InvalidRequest
from tests.engine.schemas import SCHEMAS

llguidance = pytest.importorskip("llguidance")

PIECES = [*(bytes([n]) for n in range(256)), b"<end>", b"<call>"]
END, CALL = 256, 257


class Bytes:
    """A vocabulary of single bytes, an end and a control token, as llguidance asks for it."""

    eos_token_id = END
    bos_token_id = None
    tokens = PIECES
    special_token_ids = (END, CALL)

    def __call__(self, text):
        return list(text if isinstance(text, bytes) else text.encode())


@pytest.fixture(scope="module")
def compiler():
    return Compiler(
        len(PIECES),
        new_tokenizer=lambda: llguidance.LLTokenizer(llguidance.TokenizerWrapper(Bytes())),
        new_gbnf=lambda constraint: pytest.fail("not asked for"),
        index=lambda: PieceIndex(PIECES),
        ends=np.array([END], np.intp),
        tokens_of=lambda marker: (CALL,) if marker == "<call>" else (),
    )


#: Each is one that llguidance does not have, or contradicts itself.
BAD = [
    {"contains": {"type": "integer"}},
    {"type": "array", "uniqueItems": True},
    {"if": {"type": "integer"}, "then": {"minimum": 3}},
    {"not": {"type": "null"}},
    {"type": "object", "dependentRequired": {"a": ["b"]}},
    {"type": "object", "propertyNames": {"pattern": "^a$"}},
    {"type": "string", "pattern": "("},
    {"type": "nothing"},
    {"$ref": "#/$defs/nowhere"},
    {"$ref": "https://example.com/schema"},
    {"oneOf": [{"type": "number"}, {"type": "integer"}]},
]
#: Where a part may stand: its path, and a schema around it.
PLACES = [
    ("format", lambda part: part),
    ("format.properties.a", lambda part: {"properties": {"x": {}, "a": part}}),
    ("format.items", lambda part: {"type": "array", "items": part}),
    ("format.anyOf[1]", lambda part: {"anyOf": [{"type": "null"}, part]}),
    ("format.prefixItems[0]", lambda part: {"type": "array", "prefixItems": [part]}),
    ("format.additionalProperties", lambda part: {"additionalProperties": part}),
    ("format.patternProperties.^a$", lambda part: {"patternProperties": {"^a$": part}}),
    (
        "format.properties.a.items.properties.b",
        lambda part: {"properties": {"a": {"items": {"properties": {"b": part}}}}},
    ),
    (
        "format.$defs.x.properties.y",
        lambda part: {"$defs": {"x": {"properties": {"y": part}}}, "$ref": "#/$defs/x"},
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: "-".join(bad))
@pytest.mark.parametrize(("path", "around"), PLACES, ids=[path for path, _ in PLACES])
def test_a_part_that_cannot_be_compiled_is_named_by_its_path(compiler, bad, path, around):
    with pytest.raises(InvalidRequest) as caught:
        compiler.matcher(Constraint("json_schema", json.dumps(around(bad))))
    assert (caught.value.param or "").startswith(path)
    assert caught.value.message.startswith(path)
    assert caught.value.hint


def write(matcher, rng: random.Random, n_most: int) -> tuple[bytes, bool]:
    """A random text that the matcher allows, and whether it is whole."""
    text = b""
    while len(text) < n_most:
        if matcher.is_complete:
            return text, True
        allowed = np.flatnonzero(matcher.mask())
        closing = [token for token in allowed if token == END or chr(token) in '"}]']
        hurries = bool(closing) and (len(text) > n_most // 2 or rng.random() < 0.3)
        token = int(rng.choice(closing if hurries else list(allowed)))
        if token == END:
            return text, True
        assert matcher.allows(token)
        matcher.accept(token)
        text += PIECES[token]
        for forced in matcher.forced():
            if forced == END:
                return text, True
            text += PIECES[forced]
    return text, False


@settings(deadline=None)
@given(schema=SCHEMAS, seed=st.integers(0, 1 << 30))
def test_what_a_schema_leaves_is_valid(compiler, schema, seed):
    matcher = compiler.matcher(Constraint("json_schema", json.dumps(schema)))
    text, is_whole = write(matcher, random.Random(seed), 200)
    if is_whole:
        jsonschema.Draft202012Validator(schema).validate(json.loads(text))


def test_a_marker_in_a_grammar_is_a_token_where_the_model_has_one(compiler):
    matcher = compiler.matcher(Constraint("lark", 'start: <["<call>"]> "x" <["<other>"]>'))
    assert np.flatnonzero(matcher.mask()).tolist() == [CALL]
    matcher.accept(CALL)
    assert bytes(matcher.forced()) == b"x<other>"
