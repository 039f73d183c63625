"""Who is next: the order in which sequences are let in, and in which prompts get their tokens.

Who waits is let in by these rules, the first one first:

1. Classes: ``interactive`` before ``api`` before ``batch``, strictly.
2. Within a class, one that has been overtaken ``MAX_OVERTAKEN`` times: whatever the other rules
   say, nobody waits for ever.  Only the first that a client has waiting counts, so that a client
   with a hundred of them gets one turn by this rule, not a hundred.
3. One that was running and had to give way.
4. The client that was served least.  Each client has an account of the tokens computed for it
   ("virtual token counter": Sheng et al., Fairness in Serving Large Language Models, 2024).  A
   client that comes, or comes back, starts level with the least served one that is there: time
   in which it asked for nothing saves nothing up.  Accounts less than ``QUANTUM`` tokens apart
   count as equal.
5. First come, first served.

The prompt tokens of a step are dealt by class, too.  Within a class each client's shortest prompt
comes before any client's second, shorter ones first, so that a long prompt holds no short one up;
but a quarter goes to the oldest prompt, so that short ones without end do not hold it up either.

Pure: no clock, no llama.cpp; ``scheduler.py`` owns one and says what fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from runner.domain.request import Priority
from runner.engine.sequence import Account, Sequence

#: Times that the first of a client may be overtaken by later ones of its class.
MAX_OVERTAKEN = 16
#: Tokens of service below which clients count as equally served: about one short answer.
QUANTUM = 512
#: Accounts kept; beyond them those of clients without a request are forgotten.
_MAX_ACCOUNTS = 1000
#: The oldest prompt's part of the prompt tokens in a step.
_OLDEST_SHARE = 4

#: Classes as numbers, 0 goes first.
RANKS = {priority: rank for rank, priority in enumerate(Priority)}


class Queue:
    """The waiting sequences, and the accounts of all that have not ended."""

    def __init__(self) -> None:
        self._waiting: list[Sequence] = []
        self._accounts: dict[tuple[int, str], Account] = {}
        self._n_arrived = 0
        self._n_live = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._waiting)

    def __contains__(self, seq: Sequence) -> bool:
        return seq in self._waiting

    def add(self, seq: Sequence) -> None:
        """Take in a new sequence."""
        self._n_arrived += 1
        self._n_live += 1
        seq.arrival = self._n_arrived
        seq.rank = RANKS[seq.terms.priority]
        seq.account = self._account(seq.rank, seq.terms.client_id)
        seq.account.n_live += 1
        self._waiting.append(seq)

    def put_back(self, seq: Sequence) -> None:
        """Take in again one that was running and has to give way."""
        seq.n_preempted += 1
        seq.n_overtaken = 0
        self._waiting.append(seq)

    def let_in(self, seq: Sequence) -> None:
        """``seq`` waits no more; the first ones of other clients that it overtook take note."""
        self._waiting.remove(seq)
        for other in self._first_ones(seq.rank):
            other.n_overtaken += other.arrival < seq.arrival

    def end(self, seq: Sequence) -> None:
        """Forget a sequence, waiting or not; its client's account stays while anyone is there."""
        if seq in self._waiting:
            self._waiting.remove(seq)
        assert seq.account is not None, "it was never added"
        seq.account.n_live -= 1
        self._n_live -= 1
        if not self._n_live:
            self._accounts.clear()

    def in_order(self) -> list[Sequence]:
        """Return the waiting sequences, who is next first."""
        overdue = {seq for seq in self._waiting if self.is_overdue(seq)}

        def key(seq: Sequence) -> tuple[int, bool, bool, int, int]:
            n_served = seq.account.n_served if seq.account else 0
            is_new = not seq.n_preempted
            return seq.rank, seq not in overdue, is_new, n_served // QUANTUM, seq.arrival

        return sorted(self._waiting, key=key)

    def is_overdue(self, seq: Sequence) -> bool:
        """Whether nobody of its class may overtake it any more."""
        return seq.n_overtaken >= MAX_OVERTAKEN

    def check(self) -> None:
        """Assert the bookkeeping's invariants."""
        assert len(set(self._waiting)) == len(self._waiting), "one waits twice"
        assert sum(account.n_live for account in self._accounts.values()) == self._n_live
        assert len(self._waiting) <= self._n_live
        for seq in self._waiting:
            assert seq.seq_id == -1
            assert not seq.n_computed
            assert seq.n_overtaken <= MAX_OVERTAKEN + len(self._waiting)
            assert bool(seq.saved) == bool(seq.n_saved)

    def _account(self, rank: int, client_id: str) -> Account:
        """The client's account, level with the least served client that is there."""
        if len(self._accounts) >= _MAX_ACCOUNTS:
            self._accounts = {key: a for key, a in self._accounts.items() if a.n_live}
        account = self._accounts.setdefault((rank, client_id), Account())
        if not account.n_live:
            there = [a.n_served for (r, _), a in self._accounts.items() if r == rank and a.n_live]
            account.n_served = max(account.n_served, min(there, default=0))
        return account

    def _first_ones(self, rank: int) -> Iterable[Sequence]:
        """The oldest one that each client of a class has waiting."""
        first: dict[int, Sequence] = {}
        for seq in self._waiting:
            if seq.rank == rank:
                known = first.setdefault(id(seq.account), seq)
                if seq.arrival < known.arrival:
                    first[id(seq.account)] = seq
        return first.values()


def youngest_of_lowest(seqs: Iterable[Sequence]) -> list[Sequence]:
    """Return ``seqs`` in the order in which they give way."""
    return sorted(seqs, key=lambda seq: (seq.rank, seq.arrival), reverse=True)


def deal(prompts: list[Sequence], n_tokens: int) -> list[tuple[Sequence, int]]:
    """Share ``n_tokens`` out to unfinished prompts; those that get none are left out."""
    if not prompts:
        return []
    if len(prompts) == 1:
        n = min(prompts[0].n_pending, n_tokens)
        return [(prompts[0], n)] if n else []
    by_size = sorted(prompts, key=lambda seq: (seq.n_pending, seq.arrival))
    turns: dict[int, int] = {}  # of each client
    ordered: list[tuple[int, int, Sequence]] = []
    for seq in by_size:
        turn = turns[id(seq.account)] = turns.get(id(seq.account), -1) + 1
        ordered.append((seq.rank, turn, seq))
    ordered.sort(key=lambda row: row[:2])  # stable: shorter ones stay before longer ones
    oldest = min(prompts, key=lambda seq: (seq.rank, seq.arrival))
    n_sure = min(oldest.n_pending, n_tokens // _OLDEST_SHARE)
    n_left = n_tokens - n_sure
    shares = []
    for _, _, seq in ordered:
        n_base = n_sure if seq is oldest else 0
        n = min(seq.n_pending - n_base, n_left)
        n_left -= n
        if n + n_base:
            shares.append((seq, n + n_base))
    return shares
