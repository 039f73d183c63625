"""What the pool says when it cannot give a model, in words."""

from __future__ import annotations

from runner.errors import CapacityError, CorralError, NotEnoughMemory, QueueFull


def is_want_of_memory(error: CorralError) -> bool:
    """Whether a smaller load may work: there was no memory, or the process died of something."""
    return isinstance(error, NotEnoughMemory) or getattr(error, "is_crash", False)


def again(error: CorralError) -> CorralError:
    """An error of its own for each that hears it: each raise adds to a traceback."""
    return type(error)(error.message, hint=error.hint)


def closing() -> CapacityError:
    """The error of who comes while the daemon ends."""
    return CapacityError("the daemon is shutting down", hint="try again in a moment")


def queue_full(n_waiting: int) -> QueueFull:
    """The error of who would be one too many beside those that wait."""
    error = QueueFull(
        "server busy, please try again.  maximum pending requests exceeded "
        f"({n_waiting} are waiting)",
        hint=f"this request would have been number {n_waiting + 1};"
        " CORRAL_MAX_QUEUE sets how many may wait",
    )
    error.position = n_waiting + 1
    return error
