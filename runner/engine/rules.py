"""Which tokens may come next in one answer, whatever their probabilities.

Joins what can forbid a token: bans, banned strings, an answer that must not end yet, a constraint,
and thoughts that have to end.  Tokens are chosen among those that are left, so the answer's
distribution is the model's own under that condition.  No llama.cpp, no text: ids and masks.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import Protocol

import numpy as np
import numpy.typing as npt

from runner.engine.pieces import Completions, Tokens
from runner.errors import InvalidRequest

Mask = npt.NDArray[np.bool_]


class Matcher(Protocol):
    """A constraint on its way through one answer.

    Attributes:
        is_complete: Nothing can follow any more.
        is_costly: Asking for one token is much cheaper than asking for all.
    """

    @property
    def is_complete(self) -> bool: ...

    @property
    def is_costly(self) -> bool: ...

    def allows(self, token: int) -> bool:
        """Return whether ``token`` may come next."""
        ...

    def mask(self) -> Mask:
        """Return for each token whether it may come next; valid until the next call."""
        ...

    def accept(self, token: int) -> None:
        """Go on after an allowed token."""
        ...

    def forced(self) -> Seq[int]:
        """Return the tokens that can only come next, and go on after them."""
        ...

    def close(self) -> None:
        """Free what it holds; called once."""
        ...


class Bound(Protocol):
    """What may end the thoughts of one answer; the sequence tells it of every token."""

    @property
    def must(self) -> int | None:
        """The only token that may come next; ``None``: it is not for this to say."""
        ...


class Rules:
    """What may come next in one answer.

    Args:
        n_vocab: Tokens of the model.
        ends: Those that end an answer.
        n_least: Tokens before the model may end the answer.
        never: Tokens that never come.
        banned: Follows the strings that must not appear.
        matcher: The constraint.
        may_force: Whether tokens without an alternative may be taken as they are.
        budget: Bounds the thoughts: where it says what must come, nothing else has a say.
    """

    def __init__(
        self,
        n_vocab: int,
        ends: Tokens,
        *,
        n_least: int = 0,
        never: Tokens | None = None,
        banned: Completions | None = None,
        matcher: Matcher | None = None,
        may_force: bool = True,
        budget: Bound | None = None,
    ) -> None:
        self._n_vocab = n_vocab
        self._ends = ends
        self._ending = frozenset(ends.tolist())  # quicker to ask about one
        self._n_least = n_least
        self._never = never if never is not None and never.size else None
        self._banned = banned
        self._matcher = matcher
        self._may_force = may_force and self._never is None and banned is None
        self._budget = budget
        self._n_taken = 0
        #: Whether every token may come at any time.
        self.are_none = (
            matcher is None
            and self._never is None
            and banned is None
            and budget is None
            and n_least <= 0
        )

    @property
    def is_free(self) -> bool:
        """Whether every token may come next."""
        return (
            self._matcher is None
            and self._never is None
            and self._must is None
            and self._n_taken >= self._n_least
            and (self._banned is None or not self._banned.now().size)
        )

    @property
    def is_costly(self) -> bool:
        """Whether to ask for the drawn token first."""
        return self._matcher is not None and self._matcher.is_costly

    @property
    def is_complete(self) -> bool:
        """Whether the constraint lets nothing follow."""
        return self._matcher is not None and self._matcher.is_complete

    def ban(self, logits: npt.NDArray[np.float32]) -> bool:
        """Make impossible what must not come next, in place; whether that is all of the rules.

        It is not where a constraint says what may come, or where nothing could be left: then
        ``mask`` has to be asked, and ``logits`` are as they were.
        """
        if self._must is not None:
            return False
        forbidden = self._forbidden()
        if self._matcher is not None or sum(map(len, forbidden)) >= self._n_vocab:
            return False
        for tokens in forbidden:
            logits[tokens] = -np.inf
        return True

    def allows(self, token: int) -> bool:
        """Return whether ``token`` may come next."""
        if self._must is not None:
            return token == self._must
        if self._n_taken < self._n_least and token in self._ending:
            return False
        if self._never is not None and token in self._never:
            return False
        if self._banned is not None and token in self._banned.now():
            return False
        return self._matcher is None or self._matcher.allows(token)

    def mask(self) -> Mask:
        """Return for each token whether it may come next; never all false.

        The end of an answer that a constraint leaves no other way is allowed, whatever else
        says that it must not end yet.

        Raises:
            InvalidRequest: No token is left.
        """
        if self._must is not None:
            only = np.zeros(self._n_vocab, np.bool_)
            only[self._must] = True
            return only
        mask = self._matcher.mask() if self._matcher else np.ones(self._n_vocab, np.bool_)
        ends = self._ends[mask[self._ends]] if self._matcher else self._ends[:0]
        for tokens in self._forbidden():
            mask[tokens] = False
        if mask.any():
            return mask
        if not ends.size:
            raise InvalidRequest(
                "no token is left to go on with: what must come and what must not exclude each "
                "other here",
                hint="loosen the format, the grammar or the bans",
            )
        mask[ends] = True
        return mask

    def accept(self, token: int) -> Seq[int]:
        """Go on after ``token``; return the tokens that can only follow."""
        forced: Seq[int] = ()
        if self._matcher is not None and not self._matcher.is_complete:
            self._matcher.accept(token)
            if self._may_force:
                forced = self._matcher.forced()
        self._n_taken += 1 + len(forced)
        if self._banned is not None:
            for each in (token, *forced):
                self._banned.take(each)
        return forced

    def close(self) -> None:
        """Free the constraint."""
        if self._matcher is not None:
            self._matcher.close()

    @property
    def _must(self) -> int | None:
        """The token that ends thoughts, where they have to end."""
        return self._budget.must if self._budget is not None else None

    def _forbidden(self) -> list[Tokens]:
        found = []
        if self._never is not None:
            found.append(self._never)
        if self._n_taken < self._n_least:
            found.append(self._ends)
        if self._banned is not None:
            found.append(self._banned.now())
        return found
