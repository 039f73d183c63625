"""The scheduler: bookkeeping checked against a naive model of the cache."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings, strategies as st

from runner.engine.scheduler import MARGIN, Plan, Scheduler
from runner.engine.sequence import Sequence
from tests.engine.sequences import new_sequence


@dataclass
class Cells:
    """A cache as a child would draw it: the tokens of each sequence, one after the other."""

    n_cells: int
    held: dict[int, list[int]] = field(default_factory=dict)

    def free(self, seq_id: int) -> None:
        del self.held[seq_id]

    def compute(self, plan: Plan) -> None:
        for chunk in plan.chunks:
            seq = chunk.seq
            held = self.held.setdefault(seq.seq_id, [])
            assert chunk.start == len(held), "positions have a gap, or another's cells are there"
            held += seq.tokens[chunk.start : chunk.start + chunk.n]
            assert held == seq.tokens[: len(held)]
            assert chunk.draw == (len(held) == len(seq.tokens))
        assert sum(map(len, self.held.values())) <= self.n_cells


@dataclass
class Engine:
    """A scheduler with its cells, driven the way ``loop.py`` drives it."""

    scheduler: Scheduler
    cells: Cells
    live: list[Sequence] = field(default_factory=list)
    n_steps: int = 0

    def add(self, seq: Sequence) -> None:
        self.live.append(seq)
        self.scheduler.add(seq)

    def remove(self, seq: Sequence) -> None:
        self.live.remove(seq)
        seq_id = self.scheduler.remove(seq)
        if seq_id >= 0:
            self.cells.held.pop(seq_id, None)  # admitted, but nothing of it computed yet

    def plan(self) -> Plan:
        """The next step, all that a step must be checked."""
        waiting = [seq for seq in self.live if seq.seq_id < 0]
        streaming = [seq for seq in self.scheduler.running if seq.n_pending == 1]
        before = {seq: seq.seq_id for seq in self.scheduler.running}
        plan = self.scheduler.step()
        for seq_id in plan.dropped:
            self.cells.held.pop(seq_id, None)
        dropped = {seq for seq, seq_id in before.items() if seq_id in plan.dropped}
        planned = [chunk.seq for chunk in plan.chunks]
        assert len(set(planned)) == len(planned), "one chunk a sequence"
        assert sum(chunk.n for chunk in plan.chunks) <= self.scheduler.n_batch
        assert all(chunk.n > 0 for chunk in plan.chunks)
        kept = [seq for seq in streaming if seq not in dropped]
        assert planned[: len(kept)] == kept, "every stream has its token, before any prompt"
        assert bool(plan.chunks) == bool(self.live), "work is done while there is work"
        assert not dropped or min(map(self.live.index, dropped)) > 0, "the oldest goes on"
        admitted = [seq for seq in waiting if seq.seq_id >= 0]
        assert waiting[: len(admitted)] == admitted or dropped, "first come, first served"
        return plan

    def step(self) -> list[Sequence]:
        """Compute a step and draw; return the sequences that reached their limit."""
        plan = self.plan()
        self.cells.compute(plan)
        self.scheduler.commit(plan)
        self.n_steps += 1
        ended = []
        for chunk in plan.chunks:
            if chunk.draw:
                chunk.seq.tokens.append(1000 + self.n_steps)
                if len(chunk.seq.tokens) >= chunk.seq.n_limit:
                    ended.append(chunk.seq)
        for seq in ended:
            self.remove(seq)
        self.scheduler.check()
        return ended


def new_engine(*, n_batch: int = 8, n_cells: int = 64, n_seq_max: int = 4) -> Engine:
    return Engine(Scheduler(n_batch, n_cells, n_seq_max), Cells(n_cells))


SIZES = st.fixed_dictionaries(
    {"n_batch": st.integers(4, 16), "n_cells": st.integers(16, 200), "n_seq_max": st.integers(1, 4)}
)
#: Prompt tokens, most tokens drawn, and the steps until the next one comes.
ARRIVALS = st.lists(
    st.tuples(st.integers(1, 60), st.integers(1, 60), st.integers(0, 8)), min_size=1, max_size=12
)
#: What else happens before a step: nothing, a request is given up, the cache refuses, or is lost.
EVENTS = st.lists(st.sampled_from(["", "", "", "", "abort", "refused", "lost"]), max_size=60)


def sequences(arrivals, n_cells: int) -> list[tuple[int, Sequence]]:
    step, made = 0, []
    for i, (n_prompt, n_more, pause) in enumerate(arrivals):
        n_prompt = min(n_prompt, n_cells - 1)
        made.append((step, new_sequence(str(i), n_prompt, min(n_cells, n_prompt + n_more))))
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
    assert not engine.cells.held
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
    assert not engine.cells.held


def refuse(engine: Engine) -> None:
    """The cache says that there is no room, whatever the scheduler believes."""
    plan = engine.plan()
    seq_id = engine.scheduler.back_off()
    if seq_id is None:
        engine.remove(plan.chunks[0].seq)
    else:
        engine.cells.held.pop(seq_id, None)


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


def test_a_sequence_that_does_not_fit_is_not_overtaken():
    engine = new_engine(n_batch=64, n_cells=200)
    for i, n_prompt in enumerate((90, 90, 1)):
        engine.add(new_sequence(str(i), n_prompt, n_prompt + MARGIN))
    engine.step()
    assert [seq.request_id for seq in engine.scheduler.running] == ["0"]


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
    assert engine.scheduler.preempt() is None
    assert engine.scheduler.back_off() is None
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
