"""Speculation on real logits: greedy, drawn and constrained answers stay what they are."""

from __future__ import annotations

import json

import pytest

from runner.domain.chat import Message
from runner.domain.options import SamplingParams
from runner.domain.request import Constraint
from runner.protocol.messages import Generate, Outcome
from tests.engine.conftest import load
from tests.engine.running import Running
from tests.fakes.random_models import random_llama

GREEDY = SamplingParams(temperature=0, ignore_eos=True)
#: The starter is sure of every digit, so that rounding cannot turn the answer.
COUNT = "Count: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15. Count: 1, 2, 3,"
TEXT = (
    "The harbour lay quiet under a grey sky. Three boats rocked at the pier, their ropes creaking, "
    "while an old man mended nets beside a heap of wooden crates."
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small model with random weights; its answers soon go round in circles."""
    path = tmp_path_factory.mktemp("models") / "random.gguf"
    random_llama(path, seed=3)
    backend = load(path, n_ctx=512, n_cells=2048, n_seq_max=4, n_batch=128, n_threads=1)
    yield backend
    backend.close()


def both(backend, **fields) -> tuple[Running, Outcome, Outcome]:
    """Answer a request without guesses and with them."""
    backend.clear()
    with Running(backend.model, backend) as running:
        plain = running.ask(Generate("plain", speculate="off", wants_tokens=True, **fields))
        guessed = running.ask(Generate("guessed", speculate="on", wants_tokens=True, **fields))
    backend.clear()
    assert isinstance(plain, Outcome), plain
    assert isinstance(guessed, Outcome), guessed
    assert plain.n_drafted == 0
    assert guessed.n_drafted > 0, "nothing was guessed"
    return running, plain, guessed


def test_greedy_answers_are_identical(small):
    """The likeliest token is the likeliest, alone in a step or among guesses."""
    _, plain, guessed = both(small, sampling=GREEDY, prompt="abcabcabc", max_tokens=200)
    assert guessed.tokens == plain.tokens


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"repeat_penalty": 1.3, "repeat_last_n": 32},
        {"mirostat": 2},
        {"dry_multiplier": 0.8},
        {"top_n_sigma": 2.0, "typical_p": 0.9},
        {"xtc_probability": 0.5, "min_tokens": 60},
    ],
    ids=lambda extra: "+".join(extra) or "plain",
)
def test_drawn_answers_are_identical(small, extra):
    """Each token is drawn by the sequence's own sampler, in order: a seed gives the same ones."""
    few = tuple((token, 30.0) for token in range(70, 76))  # so that words of three come again
    sampling = SamplingParams(temperature=0.7, seed=11, ignore_eos=True, logit_bias=few, **extra)
    _, plain, guessed = both(small, sampling=sampling, prompt="abcabcabc", max_tokens=120)
    assert guessed.tokens == plain.tokens
    assert guessed.n_accepted < guessed.n_drafted, "some guesses must be wrong"


def test_logprobs_come_with_guesses(small):
    """Each token of the text has its probability, however many came together."""
    running, plain, guessed = both(
        small, sampling=GREEDY, prompt="abcabcabc", max_tokens=80, n_logprobs=2
    )
    told = {"plain": [], "guessed": []}
    for message in running.sent:
        for delta in getattr(message, "deltas", ()):
            told[delta.request_id] += delta.logprobs
    assert [each.drawn.token for each in told["guessed"]] == list(plain.tokens[-80:])
    assert [each.drawn.token for each in told["plain"]] == list(guessed.tokens[-80:])
    for one, other in zip(told["plain"], told["guessed"], strict=True):
        assert one.drawn.logprob == pytest.approx(other.drawn.logprob, abs=1e-3)


def test_several_streams_with_guesses_do_not_mix(small):
    """Each sequence has its own guesses in the step that all share."""
    prompts = ["abcabc", "xyzxyzxyz", "hello hello", "1 2 1 2 1 2"]
    fields = {"sampling": GREEDY, "max_tokens": 100, "wants_tokens": True}
    alone, together = [], []
    for speculate, found in (("off", alone), ("on", together)):
        small.clear()
        with Running(small.model, small) as running:
            for prompt in prompts:
                running.send(Generate(prompt, prompt=prompt, speculate=speculate, **fields))
                if speculate == "off":
                    running.ending(prompt)
            found += [running.ending(prompt).tokens for prompt in prompts]
    small.clear()
    assert together == alone


def test_constrained_answers_are_identical(small):
    """What the schema forces and what it forbids goes together with guesses."""
    schema = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"name": {"enum": ["anna"]}, "age": {"const": 7}},
            "required": ["name", "age"],
            "additionalProperties": False,
        },
        "minItems": 5,
        "maxItems": 6,
    }
    running, plain, guessed = both(
        small,
        sampling=SamplingParams(temperature=0),
        prompt='[{"name": "anna", "age": 7}, {"name": "anna", "age": 7}] again: ',
        max_tokens=300,
        constraint=Constraint("json_schema", json.dumps(schema)),
    )
    assert guessed.tokens == plain.tokens
    assert len(json.loads(running.texts["guessed"])) >= 5


@pytest.mark.parametrize("kind", ["gbnf", "regex"])
def test_grammars_go_with_guesses(small, kind):
    """A grammar of llama.cpp sees each token once, right ones only."""
    text = 'root ::= ("abc " | "abd ")+ "."' if kind == "gbnf" else "((abc|abd) ){9,12}[.]"
    _, plain, guessed = both(
        small,
        sampling=SamplingParams(temperature=0.9, seed=4),
        prompt="abc abc abd abc abc abd abc ",
        max_tokens=60,
        constraint=Constraint(kind, text),
    )
    assert guessed.tokens == plain.tokens


def test_an_answer_that_shifts_goes_on_being_guessed(small):
    """When the oldest tokens go, so do the places found in them."""
    fields = {"sampling": GREEDY, "prompt": "abcabcabc", "n_ctx": 64, "max_tokens": 150}
    _, plain, guessed = both(small, shifts=True, **fields)
    assert plain.n_shifted > 0
    assert guessed.n_generated == plain.n_generated == 150


@pytest.mark.live
def test_the_starter_counts_as_it_does_alone(starter):
    """What is certain is guessed, and comes out in the same words."""
    running, plain, guessed = both(starter, sampling=GREEDY, prompt=COUNT, max_tokens=24)
    assert guessed.tokens == plain.tokens
    assert running.texts["guessed"].startswith(" 4, 5, 6, 7, 8, 9, 10")
    assert guessed.n_accepted >= 16


@pytest.mark.live
def test_a_copied_text_is_nearly_all_guessed_right(starter):
    """Where the answer repeats the prompt, most of its tokens are guesses that were right."""
    asked = (Message("user", f"Repeat this text word for word:\n\n{TEXT}\n\nRepeat it exactly."),)
    running, _, guessed = both(starter, sampling=SamplingParams(temperature=0), messages=asked)
    assert "ropes creaking, while an old man mended nets" in running.texts["guessed"]
    assert guessed.n_accepted >= 0.5 * guessed.n_generated
