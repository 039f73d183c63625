"""JSON on the wire: whatever goes out comes back, and nothing that comes in breaks the reader."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from runner.dialects import wire
from runner.errors import InvalidRequest


class Sample(msgspec.Struct):
    text: str | None = None
    number: int | float | None = None
    items: list[str] | None = None
    anything: dict[str, Any] | None = None


DECODER = msgspec.json.Decoder(Sample)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_one_line_for_every_client_and_comes_back(text):
    line = wire.encode(text)
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line) == text


@given(st.text(st.characters(categories=["Cs", "L"]), min_size=1))
def test_half_a_surrogate_pair_never_stops_an_answer(text):
    assert len(json.loads(wire.encode({"name": text}))["name"]) == len(text)


@given(st.binary())
def test_no_bytes_break_the_reader(body):
    try:
        wire.decode(body, DECODER)
    except InvalidRequest as error:
        assert error.message


@given(json_values)
def test_any_json_is_read_or_refused_in_words_of_our_own(value):
    try:
        wire.decode(json.dumps(value).encode(), DECODER)
    except InvalidRequest as error:
        assert "`" not in error.message
        assert "Expected" not in error.message


@given(st.dictionaries(st.sampled_from(["text", "number", "items", "anything"]), json_values))
def test_a_refused_field_is_named(fields):
    try:
        wire.decode(json.dumps(fields).encode(), DECODER)
    except InvalidRequest as error:
        assert error.param is None or error.param.split("[")[0].split(".")[0] in fields


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"text": 1}', "'text' must be a string, not an integer"),
        (b'{"number": true}', "'number' must be an integer or a number, not a boolean"),
        (b'{"items": {}}', "'items' must be an array, not an object"),
        (b'{"items": [null]}', "'items[0]' must be a string, not null"),
        (b'{"anything": {"a": 1e400}}', "'anything[...]': number out of range"),
        (b"\n\n {,}", "invalid JSON at line 3 column 3: "),
        (b"[" * 50_000, "invalid JSON: nested too deeply"),
        (b'{"number": ' + b"9" * 5000 + b"}", "invalid JSON: "),
    ],
)
def test_the_message_says_what_and_where(body, message):
    with pytest.raises(InvalidRequest) as caught:
        wire.decode(body, DECODER)
    assert caught.value.message.startswith(message)


def test_a_byte_order_mark_is_not_held_against_the_body():
    assert wire.decode(b'\xef\xbb\xbf{"text": "x"}', DECODER).text == "x"


class Closed(msgspec.Struct, forbid_unknown_fields=True):
    inner: Sample | None = None
    deep: list[Closed] | None = None


@pytest.mark.parametrize(
    ("body", "param"),
    [(b'{"rate": 1}', "rate"), (b'{"deep": [{"rate": 1}]}', "deep[0].rate")],
)
def test_a_field_that_is_not_known_is_named_where_none_may_be(body, param):
    with pytest.raises(InvalidRequest) as caught:
        wire.decode(body, msgspec.json.Decoder(Closed))
    assert caught.value.param == param
    assert caught.value.message == f"'{param}' is no field of this call"
