"""Which tokens lie in the cache, and who shares them: a radix tree, as bookkeeping only.

A node is a run of cells; the sequences that can see them are its holders.  A path from the root
spells what one sequence has in the cache:

    root ── "You are a helpful …" {0, 1, 2} ─┬─ "Why is the sky" {0}
            48 cells, held by all three      ├─ "Tell me a joke" {1}
                                             └─ "Tell me a" {2}        computed twice: 1 and 2
                                                                      ran at the same time

A new sequence that begins like one in the tree takes those cells over (``llama_memory_seq_cp``
copies no data, it adds a holder), also when the likeness ends inside a node, which is then split.
The tree is of cells, not of texts: the same tokens computed twice are two nodes.  Each ``key``,
which is the owner and the adapters he computes with, has a root of its own: nobody finds, or
shares, the cells of another.

Pure: no ctypes, no clock; called from the loop thread only.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence, Set
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class _Node:
    """A run of cells; children are further runs that follow it."""

    tokens: list[int]
    parent: _Node | None
    holders: set[int]
    children: list[_Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Match:
    """The longest beginning that the cache has: ``n`` tokens, visible to ``seq_id``."""

    seq_id: int
    n: int


class PrefixTree:
    """What every ``seq_id`` has in the cache."""

    def __init__(self) -> None:
        self._roots: dict[Hashable, _Node] = {}
        self._leaves: dict[int, _Node] = {}
        self.n_cells = 0  # in use, each counted once

    def n_held(self, seq_ids: Set[int]) -> int:
        """Cells that at least one of ``seq_ids`` holds."""
        n_cells, pending = 0, list(self._roots.values())
        while pending:
            for child in pending.pop().children:
                if not child.holders.isdisjoint(seq_ids):
                    n_cells += len(child.tokens)
                    pending.append(child)
        return n_cells

    def tokens(self, seq_id: int) -> list[int]:
        """Return what ``seq_id`` has in the cache."""
        runs: list[list[int]] = []
        node: _Node | None = self._leaves.get(seq_id)
        while node is not None:
            runs.append(node.tokens)
            node = node.parent
        return [token for run in reversed(runs) for token in run]

    def n_own(self, seq_id: int) -> int:
        """Cells that only ``seq_id`` holds: what dropping it would free."""
        n, node = 0, self._leaves.get(seq_id)
        while node is not None and node.parent is not None and len(node.holders) == 1:
            n += len(node.tokens)
            node = node.parent
        return n

    def match(self, tokens: list[int], key: Hashable) -> Match | None:
        """Return the longest beginning of ``tokens`` in the cache under its key, if any."""
        node, n = self._find(tokens, len(tokens), key)
        return Match(min(node.holders), n) if n else None

    def fork(
        self, seq_id: int, tokens: list[int], n_most: int, *, key: Hashable, n_least: int = 1
    ) -> Match | None:
        """Let ``seq_id``, new to the tree, share the longest beginning of ``tokens``.

        Args:
            seq_id: Has nothing in the cache yet.
            tokens: What it is going to have.
            n_most: Most tokens to share.
            key: Whose they are, and what they are computed with.
            n_least: Fewer are not worth it.

        Returns:
            From whom to copy and how many tokens; ``None`` when there is nothing to share.
        """
        assert seq_id not in self._leaves, f"seq_id {seq_id} is in the tree"
        node, n = self._find(tokens, n_most, key)
        if n < max(1, n_least):
            return None
        match = Match(min(node.holders), n)
        above = 0
        ancestor = node.parent
        while ancestor is not None:
            above += len(ancestor.tokens)
            ancestor = ancestor.parent
        if n - above < len(node.tokens):
            node = self._split(node, n - above)
        self._leaves[seq_id] = node
        holder = node
        while holder.parent is not None:
            holder.holders.add(seq_id)
            holder = holder.parent
        return match

    def extend(self, seq_id: int, tokens: Sequence[int], key: Hashable) -> None:
        """Record that ``seq_id`` has computed ``tokens``, under its key, after what it had."""
        self.n_cells += len(tokens)
        leaf = self._leaves.get(seq_id)
        if leaf is None:
            leaf = self._roots.setdefault(key, _Node([], None, set()))
        if leaf.parent is None or leaf.children or len(leaf.holders) > 1:
            child = _Node(list(tokens), leaf, {seq_id})
            leaf.children.append(child)
            self._leaves[seq_id] = child
        else:
            leaf.tokens += tokens

    def append(self, seq_id: int, token: int, key: Hashable) -> None:
        """Record one token more, as ``extend``; most calls find a leaf of its own."""
        leaf = self._leaves.get(seq_id)
        if leaf is None or leaf.parent is None or leaf.children or len(leaf.holders) > 1:
            self.extend(seq_id, [token], key)
        else:
            leaf.tokens.append(token)
            self.n_cells += 1

    def drop(self, seq_id: int) -> None:
        """Forget ``seq_id``; cells that nobody else holds are free."""
        node: _Node | None = self._leaves.pop(seq_id, None)
        while node is not None and node.parent is not None:
            node.holders.discard(seq_id)
            if not node.holders:
                node.parent.children.remove(node)
                self.n_cells -= len(node.tokens)
            node = node.parent
        if node is not None and not node.children:
            self._roots = {key: root for key, root in self._roots.items() if root is not node}

    def clear(self) -> None:
        """Forget everything."""
        self._roots.clear()
        self._leaves.clear()
        self.n_cells = 0

    def _find(self, tokens: list[int], n_most: int, key: Hashable) -> tuple[_Node, int]:
        """The node in which the longest beginning ends, and its length; any node for none."""
        best, n_best = self._roots.get(key) or _Node([], None, set()), 0
        pending = [(best, 0)]
        while pending:
            parent, n = pending.pop()
            for child in parent.children:
                n_same = _n_common(child.tokens, tokens, n, n_most)
                if n + n_same > n_best:
                    best, n_best = child, n + n_same
                if n_same == len(child.tokens):
                    pending.append((child, n + n_same))
        return best, n_best

    def _split(self, node: _Node, n: int) -> _Node:
        """Cut ``node`` after ``n`` tokens; returns the upper part, which keeps its place."""
        assert node.parent is not None, "the root has no tokens"
        upper = _Node(node.tokens[:n], node.parent, set(node.holders), [node])
        node.parent.children[node.parent.children.index(node)] = upper
        node.parent = upper
        del node.tokens[:n]
        return upper


def n_common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two texts have in common from their beginning."""
    first, second = (x if isinstance(x, list) else list(x) for x in (a, b))
    return _n_common(first, second, 0, len(second))


def _n_common(run: list[int], tokens: list[int], start: int, end: int) -> int:
    """How many tokens of ``run`` equal those of ``tokens`` from ``start``, before ``end``.

    The difference is found by halving: lists compare in C, a loop over them here would not.
    """
    n_most = min(len(run), end - start)
    if n_most <= 0 or run[0] != tokens[start]:
        return 0
    if run[:n_most] == tokens[start : start + n_most]:
        return n_most
    low, high = 1, n_most  # equal below low, different below high
    while high - low > 1:
        middle = (low + high) // 2
        if run[low:middle] == tokens[start + low : start + middle]:
            low = middle
        else:
            high = middle
    return low
