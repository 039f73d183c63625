"""Class and deadline, in the body of every dialect that answers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from runner.dialects import ollama, ollama_cache
from runner.dialects.openai import chat as openai_chat
from runner.dialects.terms import parse_terms
from runner.domain.request import Priority, Terms
from runner.errors import InvalidRequest

CHAT = {"model": "x", "messages": [{"role": "user", "content": "Hi"}]}
GENERATE = {"model": "x", "prompt": "Hi"}
PARSERS = [(ollama.parse_chat, CHAT), (ollama.parse_generate, GENERATE), (openai_chat.parse, CHAT)]


def terms_of(parse, body, **more) -> Terms:
    return parse(json.dumps(body | more).encode()).request.terms


@pytest.mark.parametrize(("parse", "body"), PARSERS)
def test_a_body_may_set_class_and_deadline(parse, body):
    assert terms_of(parse, body) == Terms()
    found = terms_of(parse, body, priority="Batch", deadline_s=2.5)
    assert found == Terms(priority=Priority.BATCH, deadline_s=2.5)
    assert terms_of(parse, body, priority=None, deadline_s=None) == Terms()


@pytest.mark.parametrize(("parse", "body"), PARSERS)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", "urgent"),
        ("priority", ""),
        ("priority", 1),
        ("deadline_s", 0),
        ("deadline_s", -1.5),
        ("deadline_s", "5m"),
        ("deadline_s", True),
    ],
)
def test_what_is_neither_is_refused_with_the_fields_name(parse, body, field, value):
    with pytest.raises(InvalidRequest) as caught:
        terms_of(parse, body, **{field: value})
    assert caught.value.param == field
    assert field in caught.value.message


@given(st.none() | st.sampled_from(Priority), st.none() | st.floats(1e-6, 1e300))
def test_terms_are_as_they_were_written(priority, deadline_s):
    found = parse_terms(priority, deadline_s)
    assert found.priority == (priority or Priority.API)
    assert found.deadline_s == deadline_s


@pytest.mark.parametrize(("parse", "body"), PARSERS)
def test_a_conversation_has_a_name_of_the_caller_s(parse, body):
    assert terms_of(parse, body, conversation="chat 7").conversation_id == "chat 7"
    for name in ("", "x" * 201):
        with pytest.raises(InvalidRequest, match="conversation must have 1 to 200") as caught:
            terms_of(parse, body, conversation=name)
        assert caught.value.param == "conversation"


def test_what_is_kept_of_a_conversation_is_cleared_by_its_name():
    assert ollama_cache.parse_clear(b'{"conversation": "chat 7"}').conversation_id == "chat 7"
    assert ollama_cache.parse_clear(b"").conversation_id is None
    with pytest.raises(InvalidRequest, match="conversation is empty"):
        ollama_cache.parse_clear(b'{"conversation": ""}')
