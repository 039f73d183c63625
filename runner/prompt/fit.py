"""What a conversation that is too long may lose, when its sender allows it.  Pure.

The oldest exchanges go first, each as a whole: a user's turn with all that answers it, so that
roles still take turns and no tool's result stands without its call.  A system turn never goes, nor
the last user turn and what follows it.  What was dropped is counted, never silent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runner.domain.chat import Message


@dataclass(frozen=True, slots=True)
class Fitted:
    """A prompt's tokens, and how many turns were left out of it."""

    tokens: list[int]
    n_dropped: int


def fit(
    messages: Sequence[Message],
    to_tokens: Callable[[tuple[Message, ...]], list[int]],
    *,
    n_max: int,
    n_room: int = 0,
) -> Fitted:
    """Return the prompt with as few exchanges left out as possible.

    A conversation that fits is left alone.  From one that does not, as much is dropped as leaves
    ``n_room`` tokens for the answer too, where that is possible.  The result is longer than
    ``n_max`` when even what must stay does not fit.

    Args:
        messages: The conversation.
        to_tokens: Renders and tokenizes; fewer turns give fewer tokens.
        n_max: Most tokens of the prompt.
        n_room: Tokens to be left within ``n_max`` once something is dropped.

    Raises:
        Whatever ``to_tokens`` raises.
    """
    tokens = to_tokens(tuple(messages))
    groups = exchanges(messages)
    if len(tokens) <= n_max or not groups:
        return Fitted(tokens, 0)

    def without(n_groups: int) -> Fitted:
        dropped = {index for group in groups[:n_groups] for index in group}
        kept = tuple(turn for index, turn in enumerate(messages) if index not in dropped)
        return Fitted(to_tokens(kept), len(dropped))

    low, high = 1, len(groups)  # the least number that is enough lies between them
    best = without(high)
    while low < high:
        middle = (low + high) // 2
        tried = without(middle)
        if len(tried.tokens) <= n_max - n_room:
            best, high = tried, middle
        else:
            low = middle + 1
    return best


def exchanges(messages: Sequence[Message]) -> list[list[int]]:
    """Return what may go, oldest first: the indices of each exchange's turns."""
    users = [index for index, turn in enumerate(messages) if turn.role == "user"]
    n_free = users[-1] if users else max(0, len(messages) - 1)
    groups: list[list[int]] = []
    for index, turn in enumerate(messages[:n_free]):
        if turn.role == "system":
            continue
        if turn.role == "user" or not groups:
            groups.append([])
        groups[-1].append(index)
    return groups
