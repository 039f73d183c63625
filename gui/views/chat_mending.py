"""What buttons under an answer that failed do: another context, fewer turns, memory, the model."""

from __future__ import annotations

from collections.abc import Callable

from gui.chats.conversation import Conversation
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
    set_context: Callable[[int], object],
) -> Acts:
    """Return what can be done about an answer that failed, by ``Way.act``.

    Args:
        conversation: Its chat.
        turn_id: The answer.
        mender: Does what is not the chat's own.
        n_ctx: Tokens of the context that its model has in memory; 0: it is not there.
        set_context: Has its next answers given with so many tokens of context.
    """

    def again() -> None:
        if not conversation.answering_id:
            conversation.retry(turn_id)

    def with_context(n_tokens: int) -> None:
        set_context(n_tokens)
        again()

    def shorten() -> None:
        if not conversation.answering_id:
            conversation.retry(turn_id, truncates=True)

    name = conversation.tree[turn_id].model
    n_now = int(conversation.chat.options.get("num_ctx") or n_ctx or _USUAL)
    acts = {**mender.acts_for_model(name, again), "shorten": shorten}
    acts["more-context"] = lambda: with_context(max(n_now, n_ctx) * 2)
    if n_now > _FEWEST:
        acts["less-context"] = lambda: with_context(max(_FEWEST, n_now // 2))
    return acts
