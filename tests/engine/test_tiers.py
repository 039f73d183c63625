"""The host tier against a model so simple that it cannot be wrong: a list of texts."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runner.engine.tiers import HostTier, Saved
from runner.kv.packed import pack, unpack

N_BYTES_MAX = 40
OWNERS = st.sampled_from(["", "a"])
TEXTS = st.lists(st.integers(0, 1), min_size=1, max_size=7)


def n_common(a, b):
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return n


class Naive(RuleBasedStateMachine):
    """Entries as ``(owner, tokens, n_bytes)``, the least recently used first."""

    def __init__(self):
        super().__init__()
        self.tier = HostTier(N_BYTES_MAX)
        self.entries = []

    def n_bytes(self):
        return sum(n for _, _, n in self.entries)

    @rule(tokens=TEXTS, owner=OWNERS, n=st.integers(1, 50))
    def add(self, tokens, owner, n):
        driven_out = self.tier.add(Saved(pack(tokens), b"x" * n, owner))
        expected = []
        if n <= N_BYTES_MAX:
            self.entries = [
                (who, old, size)
                for who, old, size in self.entries
                if who != owner or old != tokens[: len(old)]
            ]
            while self.n_bytes() + n > N_BYTES_MAX:
                expected.append(self.entries.pop(0))
            self.entries.append((owner, tokens, n))
        assert [told(saved) for saved in driven_out] == expected

    @rule(tokens=TEXTS, owner=OWNERS)
    def match(self, tokens, owner):
        lengths = [n_common(old, tokens) for who, old, _ in self.entries if who == owner]
        found = self.tier.match(pack(tokens), owner)
        assert (found[1] if found else 0) == max(lengths, default=0)
        if found:
            assert found[0].owner_id == owner
            assert n_common(unpack(found[0].tokens), tokens) == found[1]

    @rule(tokens=TEXTS, owner=OWNERS)
    def find(self, tokens, owner):
        found = self.tier.find(pack(tokens), owner)
        expected = [e for e in self.entries if e[0] == owner and e[1][: len(tokens)] == tokens]
        assert (told(found) if found else None) == (expected[0] if expected else None)
        if expected:
            self.entries.remove(expected[0])
            self.entries.append(expected[0])

    @precondition(lambda self: self.entries)
    @rule(data=st.data())
    def remove(self, data):
        saved = data.draw(st.sampled_from(list(self.tier)))
        self.tier.remove(saved)
        self.entries.remove(told(saved))

    @rule(owner=st.none() | OWNERS)
    def clear(self, owner):
        self.tier.clear(owner)
        self.entries = [e for e in self.entries if owner is not None and e[0] != owner]

    @invariant()
    def both_have_the_same(self):
        assert [told(saved) for saved in self.tier] == self.entries[::-1]
        assert self.tier.n_bytes == self.n_bytes() <= N_BYTES_MAX
        assert len(self.tier) == len(self.entries)
        assert all(saved.created_s <= self.tier.used_s(saved) for saved in self.tier)


def told(saved):
    return saved.owner_id, unpack(saved.tokens), len(saved.blob)


TestHostTier = Naive.TestCase
