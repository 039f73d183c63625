"""A planned step, computed: a batch of tokens, or a picture; and the words for when it is not."""

from __future__ import annotations

from runner.engine.backend import Backend
from runner.engine.plan import Plan
from runner.errors import WorkerError

#: Nothing is drawn after a picture.
_NO_ROW = -1


def computed(backend: Backend, plan: Plan) -> list[int]:
    """Compute a step; return the number of each chunk's last logits, as ``Backend.decode``.

    Raises:
        NoSlot: No room; nothing changed.
        DecodeFailed: The step could not be computed; ``clear`` before going on.
        WorkerError: A picture could not be looked at; nothing changed.
    """
    if plan.picture is None:
        return backend.decode(plan.chunks)
    backend.see(plan.chunks[0], plan.picture)
    return [_NO_ROW]


def no_room(n_tokens: int) -> WorkerError:
    """Return the error of the last sequence that still found no room."""
    return WorkerError(
        f"no room in the cache for {n_tokens} tokens",
        hint="shorten the prompt, or load the model with a larger num_ctx",
    )


def not_computed(error: Exception) -> WorkerError:
    """Return the error of the requests of a step that failed."""
    return WorkerError(
        f"the engine could not compute this step ({error})",
        hint="try again; if it happens again, restart the daemon",
    )
