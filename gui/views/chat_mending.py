"""What buttons under an answer that failed do: another context, fewer turns, memory, the model."""

from __future__ import annotations

from collections.abc import Callable

from gui.chats.conversation import Conversation
from gui.chats.tree import Turn
from gui.mender import Mender
from gui.ways import Acts

#: Tokens of a context where nobody said how many, and the fewest that are worth a try.
_USUAL, _FEWEST = 4096, 512


def acts_for(
    conversation: Conversation,
    turn_id: int,
    *,
    mender: Mender,
    n_ctx: int,
    is_in_sight: Callable[[], bool],
    set_context: Callable[[int], object],
    show_parameters: Callable[[], object],
) -> Acts:
    """Return what can be done about an answer that failed, by ``Way.act``.

    Args:
        conversation: Its chat.
        turn_id: The answer.
        mender: Does what is not the chat's own.
        n_ctx: Tokens of the context that its model has in memory; 0: it is not there.
        is_in_sight: Whether the chat is still the one that is open.
        set_context: Has its next answers given with so many tokens of context.
        show_parameters: Brings the chat's parameters into sight.
    """
    turn, leaf_id = conversation.tree[turn_id], conversation.tree.leaf_id

    def again() -> None:
        """Ask once more, unless something else is in sight by now: it would lead away from it."""
        is_as_it_was = is_in_sight() and conversation.tree.leaf_id == leaf_id
        if is_as_it_was and not conversation.answering_id:
            conversation.retry(turn_id)

    def with_context(n_tokens: int) -> None:
        set_context(n_tokens)
        again()

    def shorten() -> None:
        if not conversation.answering_id:
            conversation.retry(turn_id, truncates=True)

    n_now = int(conversation.chat.options.get("num_ctx") or n_ctx or _USUAL)
    acts = {**mender.acts_for_model(turn.model, words_of(turn), again), "shorten": shorten}
    acts["parameters"] = show_parameters
    acts["more-context"] = lambda: with_context(max(n_now, n_ctx) * 2)
    if n_now > _FEWEST:
        acts["less-context"] = lambda: with_context(max(_FEWEST, n_now // 2))
    return acts


def words_of(turn: Turn) -> str:
    """Return what the error of an answer said."""
    error = turn.figures.get("error") or {}
    return f"{error.get('message', '')} {error.get('hint', '')}"
