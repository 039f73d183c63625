"""Pictures in prompts: what stands for them, and steps of their own between those of streams."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from runner.domain.chat import Image, Message
from runner.domain.options import SamplingParams
from runner.domain.request import Terms
from runner.engine.backend import DecodeFailed
from runner.engine.pictures import Picture, only_tokens, position, stand_ins, whole
from runner.engine.scheduler import Scheduler
from runner.errors import WorkerError
from runner.protocol.messages import Failed, Generate, Outcome, Render, Tokenized
from tests.engine.running import Running
from tests.engine.sequences import new_sequence
from tests.fakes.backend import FakeBackend, FakeEyes, FakeVocabulary, answer

ON = SamplingParams(ignore_eos=True)
#: A file's first byte says how many tokens the fake sees in it.
IMAGES = [bytes([3, 1]), bytes([3, 2]), bytes([20, 1]), bytes([40, 1])]


@given(st.binary(min_size=32, max_size=32), st.integers(0, 9), st.integers(1, 300))
def test_stand_ins_are_no_tokens_and_the_same_for_the_same_picture(digest, number, n):
    made = stand_ins(digest, number, n)
    assert made == stand_ins(digest, number, n)
    assert len(made) == n
    assert all(-(1 << 31) <= token < 0 for token in made)
    assert not only_tokens(made)
    if n > 1:
        assert made != stand_ins(digest, number + 1, n)
        assert made[: n - 1] != stand_ins(digest, number, n - 1)


GAPS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9), st.integers(1, 9)), max_size=5)


@given(GAPS)
def test_positions_go_on_after_pictures_as_if_computed_one_by_one(gaps):
    pictures, expected, inside = [], {}, set()
    at = place = 0
    for n_text, n, n_positions in gaps:
        for _ in range(n_text):
            expected[at] = place
            at, place = at + 1, place + 1
        expected[at] = place
        pictures.append(Picture(at, n, n_positions, None))
        inside |= set(range(at + 1, at + n))
        at, place = at + n, place + n_positions
    expected[at] = place
    assert {index: position(pictures, index) for index in expected} == expected
    for index in range(at + 1):
        found = whole(pictures, index)
        assert found not in inside
        assert not set(range(found + 1, index + 1)) - inside


def told(request: Generate) -> list[int]:
    """The tokens of a prompt whose turns are texts with pictures before them."""
    vocabulary, eyes, tokens = FakeVocabulary(), FakeEyes(), []
    for number, message in enumerate(request.messages):
        tokens += [ord("\n")] if number else []
        for image in message.images:
            tokens += eyes.look(image.content).tokens
        tokens += vocabulary.tokenize(message.content, parse_special=False)
    return tokens


def check(running: Running, request: Generate) -> None:
    outcome = running.ending(request.request_id)
    assert isinstance(outcome, Outcome), outcome
    tokens = told(request)
    text, _, _ = answer(tokens, ON, n_limit=len(tokens) + request.max_tokens)
    assert running.texts[request.request_id] == text
    assert running.started[request.request_id].n_prompt == len(tokens)


TURNS = st.lists(
    st.builds(
        Message,
        st.just("user"),
        st.text("abc<end>", min_size=1, max_size=12),
        images=st.lists(st.builds(Image, st.sampled_from(IMAGES)), max_size=2).map(tuple),
    ),
    min_size=1,
    max_size=2,
)
SIZES = st.fixed_dictionaries(
    {
        "n_ctx": st.just(240),
        "n_cells": st.integers(240, 420),
        "n_batch": st.integers(4, 48),
        "n_seq_max": st.integers(1, 4),
        "n_cold_max": st.integers(0, 2),
    }
)


@settings(max_examples=30, deadline=None)
@given(st.lists(TURNS, min_size=1, max_size=6), SIZES)
def test_every_answer_is_that_of_its_own_pictures_whatever_else_runs(talks, sizes):
    """Many begin alike, cells run out, and what gave way is computed again."""
    backend = FakeBackend(eyes=FakeEyes(), **sizes)
    requests = [
        Generate(f"r{i}", ON, messages=tuple(turns), max_tokens=12) for i, turns in enumerate(talks)
    ]
    with Running(FakeVocabulary(), backend, n_host_bytes=10_000) as running:
        for request in requests:
            running.send(request)
        for request in requests:
            check(running, request)
    backend.check_empty()


def test_a_picture_that_is_in_the_cache_is_not_looked_at_again():
    backend = FakeBackend(n_ctx=200, n_cells=400, n_cold_max=1, eyes=FakeEyes())
    turns = (Message("user", "What is this?", images=(Image(IMAGES[3]),)),)
    more = (*turns, Message("assistant", "A cat."), Message("user", "Sure?"))
    with Running(FakeVocabulary(), backend) as running:
        for i, messages in enumerate((turns, more)):
            request = Generate(f"r{i}", ON, messages=messages, max_tokens=3)
            running.send(request)
            check(running, request)
        assert backend.n_seen == 1
        assert running.started["r1"].n_cached == len(told(Generate("", ON, messages=turns)))


def test_nobody_begins_inside_a_picture():
    """Were two pictures to begin with the same stand-in, no cell of one would serve the other."""
    scheduler = Scheduler(n_batch=64, n_cells=400, n_seq_max=2, n_cold_max=1)
    first, second = (new_sequence(name, 60, 70) for name in ("first", "second"))
    for seq, last in ((first, -7), (second, -8)):
        seq.tokens[20:50] = [-1] * 29 + [last]
        seq.pictures = (Picture(20, 30, 30, None),)
    scheduler.add(first)
    while first.n_pending:
        scheduler.admit()
        scheduler.commit(scheduler.step())
    scheduler.add(second)
    admission = scheduler.admit()
    assert second in admission.admitted
    assert second.n_computed == 20


def test_streams_go_on_between_two_pictures():
    """A stream has its token after each picture, however many wait."""
    scheduler = Scheduler(n_batch=16, n_cells=800, n_seq_max=4)
    stream = new_sequence("stream", 1, 400)
    scheduler.add(stream)
    scheduler.admit()
    scheduler.commit(scheduler.step())
    stream.tokens.append(1)
    for name in "ab":
        seq = new_sequence(name, 90, 100)
        seq.pictures = (Picture(0, 40, 40, None), Picture(40, 40, 40, None))
        scheduler.add(seq)
    steps = []
    for _ in range(16):
        scheduler.admit()
        plan = scheduler.step()
        scheduler.commit(plan)
        steps.append(plan.picture is not None)
        if plan.picture is None:
            assert plan.chunks[0].seq is stream
            stream.tokens.append(1)
    assert sum(steps) == 4
    assert not any(a and b for a, b in pairwise(steps))


@pytest.mark.parametrize("n_ctx", [10, 60])
def test_a_file_that_is_no_picture_fails_its_request_by_its_number(n_ctx):
    backend = FakeBackend(n_ctx=n_ctx, n_cells=128, eyes=FakeEyes())
    turns = (Message("user", "x", images=(Image(IMAGES[0]), Image(b""))),)
    with Running(FakeVocabulary(), backend) as running:
        failed = running.ask(Generate("r", ON, messages=turns, max_tokens=1))
    assert isinstance(failed, Failed)
    assert failed.message == "image 2 of 2: no picture"


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ((Message("user", "x", images=(Image(IMAGES[0]),)),), "does not support vision"),
        ((Message("user", "x", images=(Image(IMAGES[0], 1),)),), "nothing follows the last image"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_words(turns, words):
    eyes = FakeEyes() if "follows" in words else None

    class Silent(FakeEyes):
        def look(self, content):
            seen = super().look(content)
            return type(seen)(seen.tokens[:-1], seen.pictures)

    backend = FakeBackend(eyes=Silent() if eyes else None)
    with Running(FakeVocabulary(), backend) as running:
        failed = running.ask(Generate("r", ON, messages=turns, max_tokens=1))
    assert isinstance(failed, Failed)
    assert words in failed.message


@pytest.mark.parametrize(
    "template", ["{{ 1 }}", "{% for m in messages * 2 %}{{ m.content }}{% endfor %}"]
)
def test_a_template_must_bring_each_picture_once(template):
    backend = FakeBackend(eyes=FakeEyes(), n_ctx=200)
    turns = (Message("user", "x", images=(Image(IMAGES[0]),)),)
    with Running(FakeVocabulary(template), backend) as running:
        failed = running.ask(Generate("r", ON, messages=turns, max_tokens=1))
    assert isinstance(failed, Failed)
    assert failed.code == "template_failed"
    assert "of 1 images" in failed.message


def test_a_rendered_prompt_shows_where_pictures_stand_and_counts_them():
    backend = FakeBackend(eyes=FakeEyes())
    turns = (Message("user", "a b", images=(Image(IMAGES[0], 2),)),)
    with Running(FakeVocabulary(), backend) as running:
        shown = running.ask(Render("r", Generate("g", ON, messages=turns)))
    assert isinstance(shown, Tokenized)
    assert shown.text == "a [img-0]b"
    assert shown.tokens == (*b"a ", ord("["), -1, -1, -1, ord("]"), *b"b")


@pytest.mark.parametrize(
    "fault", [WorkerError("the projector is out of memory"), DecodeFailed("x")]
)
def test_a_picture_that_cannot_be_computed_fails_its_request_and_no_other(fault):
    class Blind(FakeBackend):
        def see(self, chunk, picture):
            if chunk.seq.request_id == "bad":
                self._is_lost = isinstance(fault, DecodeFailed)
                raise fault
            super().see(chunk, picture)

    backend = Blind(n_ctx=200, n_cells=600, eyes=FakeEyes())
    turns = (Message("user", "What?", images=(Image(IMAGES[2]),)),)
    with Running(FakeVocabulary(), backend) as running:
        good = Generate("good", ON, messages=turns, max_tokens=30, terms=Terms(owner_id="other"))
        running.send(good)
        failed = running.ask(Generate("bad", ON, messages=turns, max_tokens=3))
        check(running, good)
    assert isinstance(failed, Failed)
    assert failed.code == "worker_failed"
    backend.check_empty()
