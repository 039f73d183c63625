"""Checkpoints: where a prompt is marked, what is kept, and that no answer is ever another."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from runner.domain.options import SamplingParams
from runner.domain.request import Terms
from runner.engine.checkpoints import (
    BEFORE_END,
    MOST_MARKS,
    WORTH_MARKING,
    Kept,
    Mark,
    Marks,
    halts,
)
from runner.protocol.messages import ClearCache, Generate, Outcome
from tests.engine.running import Running
from tests.engine.sequences import new_sequence
from tests.fakes.backend import FakeBackend, FakeVocabulary, answer

PLAIN = SamplingParams(temperature=0)
N_CTX = 600
words = st.lists(st.integers(0, 3), min_size=1, max_size=200)


@given(tokens=words, n_done=st.integers(0, 150), others=st.lists(words, max_size=3))
def test_a_prompt_halts_after_what_it_has_and_before_its_end(tokens, n_done, others):
    places = halts(tokens, n_done, others)
    assert places == sorted(set(places))
    assert all(max(n_done, WORTH_MARKING - 1) < n <= len(tokens) - BEFORE_END for n in places)


@pytest.mark.parametrize("n", [80, 1000, 5000, 100_000])
def test_a_long_prompt_is_marked_now_and_then_and_shortly_before_its_end(n):
    places = halts(range(n), 0, [])
    assert places[-1] == n - BEFORE_END
    assert len(places) <= MOST_MARKS
    gaps = [after - before for before, after in zip([0, *places], places, strict=False)]
    assert max(gaps) <= max(1024, n // (MOST_MARKS - 2) + 1)


def test_a_prompt_halts_where_it_leaves_what_ran_before():
    shared = list(range(100))
    assert 100 in halts([*shared, *[7] * 100], 0, [[*shared, *[8] * 50], [1]])


def kept(tokens, *marks, owner=""):
    return Kept(owner, tuple(tokens), bytes(100), tuple(Mark(n, bytes(10)) for n in marks))


def test_a_state_serves_a_text_that_begins_with_all_of_it_and_a_mark_a_shorter_beginning():
    marks = Marks(10_000)
    marks.keep(kept(range(100), 30, 60))
    assert marks.find("", [*range(100), 5])[1] == 100
    assert marks.find("", [*range(99), 5, 5])[1] == 60
    assert marks.find("", [*range(60)])[1] == 60
    assert marks.find("", [*range(59)])[1] == 30
    assert marks.find("", [*range(29)]) is None


def test_one_owner_does_not_see_what_another_left():
    marks = Marks(10_000)
    marks.keep(kept(range(100), owner="ann"))
    assert marks.find("bob", range(100)) is None
    assert marks.find("ann", range(100))


@given(st.lists(st.tuples(words, st.integers(0, 400), st.lists(st.integers(1, 200), max_size=12))))
def test_the_limit_holds_and_every_find_is_true_to_its_tokens(actions):
    """Whatever is marked, kept and ended in whatever order."""
    marks = Marks(1000)
    for tokens, n_bytes, places in actions:
        seq = new_sequence("", 1, 1)
        seq.tokens = tokens
        marks.begin(seq, [])
        for n in sorted({n for n in places if n <= len(tokens)}):
            marks.add_mark(seq, Mark(n, bytes(50)))
            assert marks.n_bytes <= 1000
        mine = marks.end(seq)
        assert len(mine) <= MOST_MARKS
        marks.keep(Kept("", tuple(tokens), bytes(n_bytes), mine))
        assert marks.n_bytes <= 1000
        found = marks.find("", tokens)
        if found:
            entry, n = found
            assert list(entry.tokens[:n]) == tokens[:n]
            entry.mark_at(n)


def backend() -> FakeBackend:
    return FakeBackend(n_ctx=N_CTX, n_cells=2 * N_CTX, n_batch=64, can_be_cut=False)


def ask(running: Running, name: str, prompt: str, n: int = 30, **rest) -> str:
    request = Generate(name, PLAIN, prompt=prompt, max_tokens=n, **rest)
    assert isinstance(running.ask(request), Outcome)
    expected, *_ = answer(prompt.encode(), PLAIN, n_limit=len(prompt.encode()) + n)
    assert running.texts.get(name, "") == expected
    return running.texts.get(name, "")


def test_a_conversation_that_resends_its_history_reuses_its_past():
    with Running(FakeVocabulary(), backend(), n_host_bytes=1 << 20) as running:
        history, n_before = "You are terse. " * 8, 0
        for turn in range(5):
            history += f"Question {turn}? "
            name = f"turn {turn}"
            ask(running, name, history)
            if n_before:
                assert running.started[name].n_cached >= n_before - BEFORE_END
            n_before = running.started[name].n_prompt
            history += "An answer as the template shows it. "


def test_the_same_prompt_again_is_nearly_all_there():
    with Running(FakeVocabulary(), backend(), n_host_bytes=1 << 20) as running:
        ask(running, "a", "x" * 300)
        ask(running, "b", "x" * 300)
        assert running.started["b"].n_cached == 300 - BEFORE_END


def test_instructions_that_many_share_are_there_from_the_third_on():
    with Running(FakeVocabulary(), backend(), n_host_bytes=1 << 20) as running:
        for i in range(4):
            ask(running, f"r{i}", "s" * 200 + f"{i}" * 100)
        assert [running.started[f"r{i}"].n_cached for i in range(4)] == [0, 0, 200, 200]


def test_one_owner_does_not_profit_from_another():
    with Running(FakeVocabulary(), backend(), n_host_bytes=1 << 20) as running:
        for i, owner in enumerate(["ann", "bob", "ann"]):
            ask(running, f"r{i}", "x" * 300, terms=Terms(owner_id=owner))
        assert [running.started[f"r{i}"].n_cached for i in range(3)] == [0, 0, 300 - BEFORE_END]


@pytest.mark.parametrize(
    ("asked", "kept_of"),
    [
        (ClearCache("q"), ""),
        (ClearCache("q", "ann"), "bob"),
        (ClearCache("q", conversation_id="talk"), "bob"),
        (ClearCache("q", conversation_id="other"), "ann bob"),
    ],
)
def test_what_is_cleared_is_computed_again(asked, kept_of):
    terms = {"ann": Terms(owner_id="ann", conversation_id="talk"), "bob": Terms(owner_id="bob")}
    with Running(FakeVocabulary(), backend(), n_host_bytes=1 << 20) as running:
        for owner, whose in terms.items():
            ask(running, owner, "x" * 300, terms=whose)
        running.ask(asked)
        for owner, whose in terms.items():
            ask(running, f"{owner} again", "x" * 300, terms=whose)
            assert bool(running.started[f"{owner} again"].n_cached) == (owner in kept_of)


@given(
    texts=st.lists(
        st.lists(st.sampled_from(["a" * 80, "b" * 80, "c" * 40]), min_size=1, max_size=5),
        min_size=1,
        max_size=8,
    ),
    n_host_bytes=st.sampled_from([1, 3000, 1 << 20]),
    at_once=st.booleans(),
)
def test_answers_are_those_of_a_fresh_run(texts, n_host_bytes, at_once):
    """The fake refuses a state that is cut, or put back with a mark of another text."""
    made = backend()
    with Running(FakeVocabulary(), made, n_host_bytes=n_host_bytes) as running:
        for i, parts in enumerate(texts):
            request = Generate(f"r{i}", PLAIN, prompt="".join(parts), max_tokens=8)
            running.send(request)
            if not at_once:
                running.ending(f"r{i}")
        for i, parts in enumerate(texts):
            running.ending(f"r{i}")
            prompt = "".join(parts).encode()
            expected, *_ = answer(prompt, PLAIN, n_limit=len(prompt) + 8)
            assert running.texts.get(f"r{i}", "") == expected
    made.check_empty()
