"""Answers of a given form, by the whole engine on the real starter model."""

from __future__ import annotations

import json
import re

import pytest

from runner.domain.event import FinishReason
from runner.domain.options import SamplingParams
from runner.domain.request import Constraint
from runner.protocol.messages import Failed, Generate, Outcome
from tests.engine.running import Running

pytestmark = pytest.mark.live

GREEDY = SamplingParams(temperature=0)
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
PROMPT = "Ann is 31 years old. As JSON:"


@pytest.fixture
def running(starter):
    starter.clear()
    with Running(starter.model, starter) as made:
        yield made
    starter.clear()


def ask(running: Running, constraint: Constraint, params=GREEDY, **more) -> tuple[str, Outcome]:
    more = {"prompt": PROMPT, "max_tokens": 80} | more
    name = f"r{len(running.endings)}"
    outcome = running.ask(Generate(name, params, constraint=constraint, **more))
    assert isinstance(outcome, Outcome), outcome
    return running.texts.get(name, ""), outcome


def schema(value: dict, **more) -> Constraint:
    return Constraint("json_schema", json.dumps(value), **more)


def test_an_answer_follows_a_schema_and_ends_with_it(running):
    text, outcome = ask(running, schema(PERSON))
    assert json.loads(text) == {"name": "Ann", "age": 31}
    assert outcome.reason is FinishReason.STOP


def test_what_is_certain_is_not_drawn(running):
    """Names of members and what stands between them cost no step of their own."""
    _, outcome = ask(running, schema(PERSON))
    assert running.n_steps < outcome.n_generated - 3


