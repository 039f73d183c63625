"""A scheduler driven the way ``loop.py`` drives it, against a cache as a child would draw it."""

from __future__ import annotations

from dataclasses import dataclass, field

from runner.engine.plan import Effect, Park, Plan, Share
from runner.engine.scheduler import Scheduler
from runner.engine.sequence import Sequence


class Cell:
    """One cell; sequences that share it have the same object."""

    def __init__(self, token: int) -> None:
        self.token = token


@dataclass
class Cells:
    """A cache as a child would draw it: a row of cells for each sequence, some of them shared."""

    n_cells: int
    saves: bool = True  # whether there is memory for those who give way
    held: dict[int, list[Cell]] = field(default_factory=dict)

    def apply(self, effects: list[Effect]) -> None:
        """Do what the scheduler decided."""
        for effect in effects:
            if isinstance(effect, Share):
                source = self.held[effect.source]
                assert effect.target not in self.held
                assert 0 < effect.n <= len(source)
                self.held[effect.target] = source[: effect.n]
            elif isinstance(effect, Park):
                row = self.held.pop(effect.seq_id)
                assert [cell.token for cell in row] == effect.seq.tokens[: effect.n]
                if self.saves:
                    effect.seq.saved, effect.seq.n_saved = b"state", effect.n
            else:
                row = self.held.pop(effect.seq_id, [])  # admitted, but nothing computed yet
                if effect.tokens:
                    assert [cell.token for cell in row] == list(effect.tokens)

    def compute(self, plan: Plan) -> None:
        """Fill the cells of a step."""
        for chunk in plan.chunks:
            seq = chunk.seq
            held = self.held.setdefault(seq.seq_id, [])
            assert chunk.start == len(held), "positions have a gap, or another's cells are there"
            held += map(Cell, seq.tokens[chunk.start : chunk.start + chunk.n])
            assert [cell.token for cell in held] == seq.tokens[: len(held)]
            assert chunk.draw == (len(held) == len(seq.tokens))
        assert len({cell for row in self.held.values() for cell in row}) <= self.n_cells


@dataclass
class Engine:
    """A scheduler with its cells, driven the way ``loop.py`` drives it."""

    scheduler: Scheduler
    cells: Cells
    live: list[Sequence] = field(default_factory=list)
    n_steps: int = 0
    n_computed: int = 0
    n_restored: int = 0  # tokens that came back without being computed

    @property
    def running(self) -> list[str]:
        """The names of those that run, in the order in which they were let in."""
        return [seq.request_id for seq in self.scheduler.running]

    def add(self, seq: Sequence) -> None:
        """Let a request come."""
        self.live.append(seq)
        self.scheduler.add(seq)

    def remove(self, seq: Sequence) -> None:
        """Let a request end."""
        self.live.remove(seq)
        self.cells.apply(self.scheduler.remove(seq))

    def plan(self) -> Plan:
        """The next step, all that a step must be checked."""
        before = {seq: seq.seq_id for seq in self.scheduler.running}
        streaming = [seq for seq in before if seq.n_pending == 1]
        admission = self.scheduler.admit()
        self.cells.apply(admission.effects)
        for seq in admission.admitted:
            self.take_back(seq)
        dropped = [seq for seq in before if seq not in self.scheduler.running]
        assert not dropped or self.scheduler.running, "somebody goes on"
        highest = min((s.rank for s in self.scheduler.running), default=0)
        first = min((s for s in before if s.rank == highest), key=lambda s: s.arrival, default=None)
        assert first not in dropped, "the oldest of the highest class goes on"
        plan = self.scheduler.step()
        self.cells.apply(plan.effects)
        planned = [chunk.seq for chunk in plan.chunks]
        assert len(set(planned)) == len(planned), "one chunk a sequence"
        assert sum(chunk.n for chunk in plan.chunks) <= self.scheduler.n_batch
        assert all(chunk.n > 0 for chunk in plan.chunks)
        kept = [seq for seq in streaming if seq in self.scheduler.running]
        kept = [seq for seq in kept if seq not in admission.admitted]  # out and in again
        assert [seq for seq in planned if seq in kept][: len(kept)] == kept, "no stream waits"
        n_streams = sum(seq.n_pending == 1 for seq in self.scheduler.running)
        assert all(seq.n_pending == 1 for seq in planned[:n_streams]), "streams before prompts"
        assert bool(plan.chunks) == bool(self.live), "work is done while there is work"
        return plan

    def take_back(self, seq: Sequence) -> None:
        """One that gave way gets its state, unless others have it in the cache."""
        n, seq.saved, seq.n_saved = seq.n_saved, b"", 0
        if not n or seq.n_computed:
            return
        self.cells.apply(self.scheduler.make_free(n))
        if n <= self.scheduler.n_free:
            self.scheduler.replace_beginning(seq, n)
            self.cells.held[seq.seq_id] = [Cell(token) for token in seq.tokens[:n]]
            self.n_restored += n

    def step(self) -> list[Sequence]:
        """Compute a step and draw; return the sequences that reached their limit."""
        plan = self.plan()
        self.cells.compute(plan)
        self.scheduler.commit(plan)
        self.n_steps += 1
        self.n_computed += sum(chunk.n for chunk in plan.chunks)
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


def new_engine(
    *,
    n_batch: int = 8,
    n_cells: int = 64,
    n_seq_max: int = 4,
    n_cold_max: int = 0,
    saves: bool = True,
) -> Engine:
    """A small engine without anything to do."""
    return Engine(Scheduler(n_batch, n_cells, n_seq_max, n_cold_max), Cells(n_cells, saves))
