"""The prefix tree against a model so simple that it cannot be wrong: a list of cells a sequence.

Each sequence has an owner, and no owner may ever see what another has.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runner.engine.prefix import PrefixTree

owners = st.sampled_from(["", "a", "b"])
texts = st.lists(st.integers(0, 2), min_size=1, max_size=8)


def n_common(a, b):
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return n


class Cell:
    def __init__(self, token):
        self.token = token


class Naive(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.tree = PrefixTree()
        self.seqs = {}
        self.owners = {}
        self.n_ids = 0

    def longest(self, tokens, owner):
        lengths = [
            n_common([cell.token for cell in cells], tokens)
            for seq_id, cells in self.seqs.items()
            if self.owners[seq_id] == owner
        ]
        return max(lengths, default=0)

    @rule(tokens=texts, more=texts, n_most=st.integers(0, 16), owner=owners)
    def begin(self, tokens, more, n_most, owner):
        seq_id, self.n_ids = self.n_ids, self.n_ids + 1
        wanted = tokens + more
        n_most = min(n_most, len(wanted))
        match = self.tree.fork(seq_id, wanted, n_most, owner_id=owner)
        assert (match.n if match else 0) == min(self.longest(wanted, owner), n_most)
        assert match is None or self.owners[match.seq_id] == owner
        shared = self.seqs[match.seq_id][: match.n] if match else []
        assert [cell.token for cell in shared] == wanted[: len(shared)]
        own = [Cell(token) for token in wanted[len(shared) :]]
        if own:
            self.tree.extend(seq_id, [cell.token for cell in own], owner)
        self.seqs[seq_id] = shared + own
        self.owners[seq_id] = owner

    @precondition(lambda self: self.seqs)
    @rule(data=st.data(), tokens=texts)
    def go_on(self, data, tokens):
        seq_id = data.draw(st.sampled_from(sorted(self.seqs)))
        self.tree.extend(seq_id, tokens, self.owners[seq_id])
        self.seqs[seq_id] = self.seqs[seq_id] + [Cell(token) for token in tokens]

    @precondition(lambda self: self.seqs)
    @rule(data=st.data())
    def end(self, data):
        seq_id = data.draw(st.sampled_from(sorted(self.seqs)))
        cells = set(self.seqs.pop(seq_id))
        for others in self.seqs.values():
            cells -= set(others)
        assert self.tree.n_own(seq_id) == len(cells)
        self.tree.drop(seq_id)

    @rule(tokens=texts, owner=owners)
    def look(self, tokens, owner):
        match = self.tree.match(tokens, owner)
        assert (match.n if match else 0) == self.longest(tokens, owner)

    @rule(ids=st.sets(st.integers(0, 6)))
    def count(self, ids):
        held = {cell for seq_id in ids for cell in self.seqs.get(seq_id, [])}
        assert self.tree.n_held(ids) == len(held)

    @invariant()
    def the_same_cells_are_in_use(self):
        assert self.tree.n_cells == len({cell for cells in self.seqs.values() for cell in cells})

    @invariant()
    def every_sequence_has_its_tokens(self):
        for seq_id, cells in self.seqs.items():
            assert self.tree.tokens(seq_id) == [cell.token for cell in cells]


TestPrefixTree = Naive.TestCase
