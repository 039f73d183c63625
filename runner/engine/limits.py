"""How long a sequence may get, and what stays when it may outgrow its context.  Pure."""

from __future__ import annotations

from dataclasses import dataclass

from runner.errors import InvalidRequest, PromptTooLong
from runner.protocol.messages import Generate

#: Contexts' worth of tokens after which even an answer that shifts has to end; as in Ollama.
_MOST_CONTEXTS = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """Fields of ``Sequence`` by the same names."""

    n_limit: int
    n_keep: int | None = None
    n_draw_max: int = 0


def n_ctx_of(request: Generate, n_ctx_max: int) -> int:
    """Return how many tokens a request's sequence may have, of those the backend allows."""
    return min(request.n_ctx or n_ctx_max, n_ctx_max)


def room_of(request: Generate, n_ctx: int) -> int:
    """Return how many tokens a cut conversation should leave for its answer: a quarter at most."""
    most = n_ctx // 4
    return most if request.max_tokens is None else min(request.max_tokens, most)


def limits_of(request: Generate, n_prompt: int, n_ctx_max: int) -> Limits:
    """Return the limits of a sequence whose prompt has ``n_prompt`` tokens.

    Args:
        request: What was asked for.
        n_prompt: Tokens of its prompt.
        n_ctx_max: Tokens that the backend allows one sequence.

    Raises:
        InvalidRequest: The prompt has no tokens.
        PromptTooLong: It leaves no room for an answer of one token.
    """
    n_ctx = n_ctx_of(request, n_ctx_max)
    if not n_prompt:
        raise InvalidRequest("the prompt is empty: it has no tokens")
    if n_prompt >= n_ctx:
        raise PromptTooLong(n_prompt, n_ctx)
    n_wanted = request.max_tokens
    if n_wanted is not None and n_prompt + n_wanted <= n_ctx:
        return Limits(n_prompt + n_wanted)
    if not request.shifts:
        return Limits(n_ctx)
    n_most = _MOST_CONTEXTS * n_ctx
    n_keep = n_prompt if request.n_keep < 0 else request.n_keep
    # The first token opens the text for most models.  Where more than half stayed, a full context
    # would have to be computed again every few tokens.
    return Limits(
        n_ctx,
        n_keep=max(1, min(n_keep, n_ctx // 2)),
        n_draw_max=n_most if n_wanted is None else min(n_wanted, n_most),
    )
