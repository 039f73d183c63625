"""The scheduler: bookkeeping checked against a naive model of the cache."""

import pytest
from hypothesis import given, settings, strategies as st

from runner.domain.request import Priority
from runner.engine.plan import Free, Share
from runner.engine.scheduler import ESTABLISHED, Scheduler
from runner.engine.sequence import Sequence
from tests.engine.sequences import new_sequence
from tests.engine.stepping import Engine, new_engine

#: Tokens in common that are worth sharing here; few, so that small sequences do share.
WORTH_SHARING = 2


@pytest.fixture(scope="module", autouse=True)
def _small_beginnings_are_worth_sharing():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runner.engine.scheduler.WORTH_SHARING", WORTH_SHARING)
        patch.setattr("runner.engine.scheduler.WORTH_SAVING", WORTH_SHARING)
        yield


SIZES = st.fixed_dictionaries(
    {
        "n_batch": st.integers(4, 16),
        "n_cells": st.integers(16, 200),
        "n_seq_max": st.integers(1, 4),
        "n_cold_max": st.integers(0, 3),
        "saves": st.booleans(),
    }
)
#: Prompt tokens, most tokens drawn, the steps until the next one comes, class and client.
ARRIVALS = st.lists(
    st.tuples(
        st.integers(1, 60),
        st.integers(1, 60),
        st.integers(0, 8),
        st.sampled_from(Priority),
        st.sampled_from(["", "", "a", "b"]),
    ),
    min_size=1,
    max_size=12,
)
#: What else happens before a step: nothing, a request is given up, the cache refuses, or is lost.
EVENTS = st.lists(st.sampled_from(["", "", "", "", "abort", "refused", "lost"]), max_size=60)


def sequences(arrivals, n_cells: int) -> list[tuple[int, Sequence]]:
    step, made = 0, []
    for i, (n_prompt, n_more, pause, priority, client) in enumerate(arrivals):
        n_prompt = min(n_prompt, n_cells - 1)
        n_limit = min(n_cells, n_prompt + n_more)
        seq = new_sequence(str(i), n_prompt, n_limit, priority=priority, client=client)
        made.append((step, seq))
        step += pause
    return made


@settings(max_examples=200)
@given(SIZES, ARRIVALS)
def test_every_sequence_ends_with_all_its_tokens(sizes, arrivals):
    """No step exceeds batch or cells, streams come first, and nobody starves."""
    engine = new_engine(**sizes)
    coming = sequences(arrivals, sizes["n_cells"])
    everyone = [seq for _, seq in coming]
    for _ in range(20_000):
        while coming and coming[0][0] <= engine.n_steps:
            engine.add(coming.pop(0)[1])
        if not engine.live:
            if not coming:
                break
            engine.add(coming.pop(0)[1])
        engine.step()
    assert not engine.live
    assert engine.scheduler.is_idle
    assert len(engine.cells.held) <= sizes["n_cold_max"]
    for seq in everyone:
        assert len(seq.tokens) == seq.n_limit
        assert seq.tokens[: seq.n_prompt] == list(range(seq.n_prompt))
        drawn = seq.tokens[seq.n_prompt :]
        assert drawn == sorted(set(drawn)), "no token was drawn twice for one place"


@settings(max_examples=200)
@given(SIZES, ARRIVALS, EVENTS, st.randoms(use_true_random=False))
def test_nothing_that_goes_wrong_upsets_the_bookkeeping(sizes, arrivals, events, random):
    engine = new_engine(**sizes)
    coming = sequences(arrivals, sizes["n_cells"])
    pending = list(events)
    for _ in range(20_000):
        while coming and coming[0][0] <= engine.n_steps:
            engine.add(coming.pop(0)[1])
        if not engine.live:
            if not coming:
                break
            engine.add(coming.pop(0)[1])
        event = pending.pop() if pending else ""
        if event == "abort":
            engine.remove(random.choice(engine.live))
        elif event == "refused":
            refuse(engine)
        elif event == "lost":
            engine.cells.held.clear()
            engine.scheduler.restart()
        engine.scheduler.check()
        if engine.live:
            engine.step()
    assert not engine.live
    assert engine.scheduler.is_idle
    assert len(engine.cells.held) <= sizes["n_cold_max"]


def refuse(engine: Engine) -> None:
    """The cache says that there is no room, whatever the scheduler believes."""
    plan = engine.plan()
    effects = engine.scheduler.back_off()
    engine.cells.apply(effects)
    if not effects:
        engine.remove(plan.chunks[0].seq)


def test_a_long_prompt_does_not_stall_a_running_sequence():
    """The running sequence gets its token in every step that the prompt is cut into."""
    engine = new_engine(n_batch=8, n_cells=256)
    chatting = new_sequence("chatting", 2, 50)
    engine.add(chatting)
    engine.step()
    long = new_sequence("long", 98, 99)
    engine.add(long)
    for i in range(14):
        before = len(chatting.tokens)
        assert long in engine.live
        engine.step()
        assert len(chatting.tokens) == before + 1
        assert long.n_computed == (7 * (i + 1) if long in engine.live else 0)
    assert long not in engine.live


def test_beside_streams_a_prompt_gets_no_more_than_its_share():
    engine = new_engine(n_batch=64, n_cells=512)
    engine.add(new_sequence("stream", 2, 100))
    for _ in range(ESTABLISHED):
        engine.step()
    for i in range(2):
        engine.add(new_sequence(f"long {i}", 50, 60))
    engine.scheduler.admit()
    plan = engine.scheduler.step(n_prompt_max=5)
    assert [(chunk.seq.request_id, chunk.n) for chunk in plan.chunks] == [
        ("stream", 1),
        ("long 0", 5),
    ]


def test_what_comes_together_is_computed_together():
    """A stream of one token does not cut the prompts that came with it into pieces."""
    engine = new_engine(n_batch=64, n_cells=512)
    engine.add(new_sequence("stream", 2, 100))
    engine.step()
    engine.add(new_sequence("long", 50, 60))
    engine.scheduler.admit()
    assert [chunk.n for chunk in engine.scheduler.step(n_prompt_max=5).chunks] == [1, 50]


def test_without_streams_a_prompt_gets_whole_batches():
    engine = new_engine(n_batch=64, n_cells=512)
    engine.add(new_sequence("long", 50, 60))
    engine.scheduler.admit()
    assert [chunk.n for chunk in engine.scheduler.step(n_prompt_max=5).chunks] == [50]


def test_a_prompt_is_computed_in_as_few_steps_as_the_batch_allows():
    engine = new_engine(n_batch=8, n_cells=64)
    engine.add(new_sequence("a", 24, 25))
    assert [bool(engine.step()) for _ in range(3)] == [False, False, True]


def test_the_oldest_prompt_is_served_first():
    engine = new_engine(n_batch=8, n_cells=256)
    first, second = new_sequence("first", 16, 20), new_sequence("second", 16, 20)
    engine.add(first)
    engine.add(second)
    engine.step()
    engine.step()
    assert (first.n_computed, second.n_computed) == (16, 0)


def test_the_youngest_gives_way_and_loses_no_token():
    engine = new_engine(n_batch=8, n_cells=160)
    old, young = new_sequence("old", 8, 150), new_sequence("young", 8, 150)
    engine.add(old)
    engine.add(young)
    while len(young.tokens) < 20 or young.seq_id >= 0:
        engine.step()
    kept = list(young.tokens)
    assert old.seq_id >= 0
    while young.seq_id < 0:
        engine.step()
    assert young.tokens[: len(kept)] == kept
    while engine.live:
        engine.step()
    assert len(young.tokens) == 150


def test_after_a_refused_step_the_others_go_on_alone():
    """Admitting the one that just gave way would have the cache refuse the same step for ever."""
    engine = new_engine(n_batch=8, n_cells=256)
    first, second = new_sequence("first", 4, 10), new_sequence("second", 4, 10)
    engine.add(first)
    engine.add(second)
    engine.step()
    refuse(engine)
    assert second.seq_id == -1
    while first in engine.live:
        engine.step()
        assert second.seq_id == -1
    engine.step()
    assert second.seq_id >= 0


def test_the_last_sequence_is_never_taken_out_by_its_own_scheduler():
    engine = new_engine()
    engine.add(new_sequence("only", 4, 64))
    engine.step()
    assert not engine.scheduler.preempt([])
    assert not engine.scheduler.back_off()
    assert engine.scheduler.running


def test_a_request_is_found_until_it_ends():
    engine = new_engine(n_seq_max=1)
    running, waiting = new_sequence("running", 4, 64), new_sequence("waiting", 4, 64)
    engine.add(running)
    engine.add(waiting)
    engine.step()
    assert engine.scheduler.find("running") is running
    assert engine.scheduler.find("waiting") is waiting
    assert engine.scheduler.find("never") is None
    engine.remove(waiting)
    assert engine.scheduler.find("waiting") is None


def test_a_batch_that_cannot_hold_every_stream_is_a_mistake():
    with pytest.raises(AssertionError):
        Scheduler(n_batch=3, n_cells=64, n_seq_max=4)


def test_check_notices_a_lost_seq_id():
    engine = new_engine()
    seq = new_sequence("a", 4, 64)
    engine.add(seq)
    engine.step()
    seq.seq_id = 77
    with pytest.raises(AssertionError, match="leaked"):
        engine.scheduler.check()


def test_what_has_ended_need_not_be_computed_again():
    engine = new_engine(n_batch=64, n_cells=256, n_cold_max=2)
    engine.add(new_sequence("first", 50, 60))
    while engine.live:
        engine.step()
    before = engine.n_computed
    again = new_sequence("again", 50, 51)
    engine.add(again)
    engine.step()
    assert engine.n_computed - before == 1, "only the token that is drawn from"


def test_a_beginning_is_shared_while_its_owner_still_runs_also_inside_an_edge():
    engine = new_engine(n_batch=64, n_cells=256, n_cold_max=1)
    engine.add(new_sequence("first", 50, 200))
    engine.step()
    other = new_sequence("other", 40, 41)
    other.tokens[30:] = range(500, 510)
    engine.add(other)
    plan = engine.plan()
    assert [(chunk.seq.request_id, chunk.n) for chunk in plan.chunks] == [
        ("first", 1),
        ("other", 10),
    ]


def test_a_beginning_that_is_being_computed_is_computed_once():
    engine = new_engine(n_batch=16, n_cells=512, n_cold_max=1)
    for i in range(4):
        seq = new_sequence(str(i), 100, 101)
        seq.tokens[90:] = range(100 * i + 500, 100 * i + 510)
        engine.add(seq)
    while engine.live:
        engine.step()
    assert engine.n_computed <= 90 + 4 * 10 + 3 * WORTH_SHARING


def test_waiting_for_a_beginning_holds_nobody_else_up():
    engine = new_engine(n_batch=16, n_cells=512, n_cold_max=1)
    for name in ("first", "same"):
        engine.add(new_sequence(name, 100, 101))
    other = new_sequence("other", 20, 21)
    other.tokens[:] = range(700, 720)
    engine.add(other)
    engine.step()
    assert [seq.request_id for seq in engine.scheduler.running] == ["first", "other"]


def test_cold_prefixes_make_room_for_what_runs():
    engine = new_engine(n_batch=8, n_cells=64, n_cold_max=4)
    for i in range(3):
        seq = new_sequence(str(i), 10, 20)
        seq.tokens[:] = range(100 * i, 100 * i + 10)
        engine.add(seq)
        while engine.live:
            engine.step()
    big = new_sequence("big", 60, 64)
    big.tokens[:] = range(900, 960)
    engine.add(big)
    while engine.live:
        engine.step()
    assert len(big.tokens) == 64


def test_one_that_may_not_share_computes_its_whole_prompt():
    engine = new_engine(n_batch=64, n_cells=256, n_cold_max=2)
    engine.add(new_sequence("first", 50, 60))
    while engine.live:
        engine.step()
    before = engine.n_computed
    again = new_sequence("again", 50, 51)
    again.may_share = False
    engine.add(again)
    engine.step()
    assert engine.n_computed - before == 50


def test_what_leaves_the_cache_is_named_when_much_would_be_lost():
    """The tail of an old turn is not; a whole conversation that nobody else holds is."""
    engine = new_engine(n_batch=128, n_cells=512, n_cold_max=2)
    engine.add(new_sequence("turn", 100, 102))
    while engine.live:
        engine.step()
    following = new_sequence("following", 120, 122)
    following.tokens[98:] = range(500, 522)
    engine.add(following)
    effects = engine.scheduler.admit().effects
    engine.cells.apply(effects)
    assert [effect.n for effect in effects if isinstance(effect, Share)] == [98]
    assert [effect.tokens for effect in effects if isinstance(effect, Free)] == [()]
    while engine.live:
        engine.step()
    other = new_sequence("other", 10, 11)
    other.tokens[:] = range(800, 810)
    engine.add(other)
    effects = engine.scheduler.admit().effects
    assert [effect.tokens for effect in effects] == [tuple(following.tokens[:121])]


def test_running_streams_are_not_slowed_by_cold_cells():
    engine = new_engine(n_batch=64, n_cells=4096, n_cold_max=4)
    for i in range(4):
        seq = new_sequence(str(i), 300, 302)
        seq.tokens[:] = range(1000 * i, 1000 * i + 300)
        engine.add(seq)
        while engine.live:
            engine.step()
    other = new_sequence("other", 10, 20)
    other.tokens[:] = range(9000, 9010)
    engine.add(other)
    engine.step()
    n_used = len({cell for row in engine.cells.held.values() for cell in row})
    assert n_used == 10
