"""A planned step, computed: a batch of tokens, or a picture."""

from __future__ import annotations

from runner.engine.backend import Backend
from runner.engine.plan import Plan

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
