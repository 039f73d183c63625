"""What a request hears of a step that could not be computed."""

from __future__ import annotations

from runner.engine.backend import NoMemory
from runner.errors import CorralError, NotEnoughMemory, WorkerError


def not_computed(error: Exception) -> CorralError:
    """Return the error of each request in the step; the daemon loads with less for one of memory.

    Args:
        error: What the backend raised.
    """
    if isinstance(error, NoMemory):
        return NotEnoughMemory(
            f"no memory to compute this step ({error})",
            hint="close other programs, ask for a smaller num_ctx, or use a smaller model",
        )
    return WorkerError(
        f"the engine could not compute this step ({error})",
        hint="try again; if it happens again, restart the daemon",
    )


def no_room(n_tokens: int) -> WorkerError:
    """Return the error of the last sequence that still found no room."""
    return WorkerError(
        f"no room in the cache for {n_tokens} tokens",
        hint="shorten the prompt, or load the model with a larger num_ctx",
    )
