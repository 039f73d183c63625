"""What a worker died of: want of memory, or something else.  Pure, but for one count it reads."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable
from pathlib import Path

_VMSTAT = Path("/proc/vmstat")

#: How llama.cpp, C++, Python, the threads' library and the C library say that there is no memory.
_WANT_OF_MEMORY = re.compile(
    r"(failed|unable|cannot) to allocate|out of memory|insufficient memory|MemoryError"
    r"|cannot allocate|bad_alloc|Thread creation failed|can't start new thread"
    r"|failed to map segment",
    re.IGNORECASE,
)
#: Windows ends a process so: STATUS_NO_MEMORY and STATUS_COMMITMENT_LIMIT of ``ntstatus.h``.
_WINDOWS_CODES = frozenset({0xC0000017, 0xC000012D})
#: Windows has no such signal.
_SIGKILL = int(getattr(signal, "SIGKILL", 9))
#: Exit codes that a program chooses; Windows has larger ones for what it was ended for.
_LAST_OWN_CODE = 255


def was_struck_down(code: int) -> bool:
    """Whether a process did not end itself: by a signal, or by what Windows has in their place.

    One that nobody here sent is nearly always the system's, for want of memory, or a fault of a
    device's driver: less may help against both.
    """
    return code < 0 or code > _LAST_OWN_CODE


def is_fault(code: int) -> bool:
    """Whether a process was struck down for what it did itself, and not from outside."""
    return was_struck_down(code) and code not in (-_SIGKILL, -signal.SIGTERM)


def says_want_of_memory(text: str) -> bool:
    """Whether a line of a log, or an error's message, says that there was no memory."""
    return _WANT_OF_MEMORY.search(text) is not None


def n_oom_kills(path: Path = _VMSTAT) -> int | None:
    """Return how many processes the system has killed for want of memory since it started.

    Those killed for the limit of a container are among them.  ``None``: it does not say.

    Source: ``oom_kill`` of Linux's ``mm/oom_kill.c``, which is counted before the signal is sent.
    """
    try:
        for line in path.read_text(encoding="ascii").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    except (OSError, ValueError):
        pass
    return None


def died_of_want(
    code: int, log_tail: Iterable[str], n_before: int | None, n_after: int | None
) -> bool:
    """Whether a process died because it found no memory; pure.

    Args:
        code: Its exit code; a negative one is the signal's number.
        log_tail: What it said last.
        n_before: ``n_oom_kills`` when it started.
        n_after: The same when it had died.
    """
    if code == 0:
        return False
    if code == -_SIGKILL and (n_before is None or n_after is None or n_after > n_before):
        return True
    return code in _WINDOWS_CODES or any(map(says_want_of_memory, log_tail))
