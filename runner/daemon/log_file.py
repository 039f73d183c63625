"""The log of a daemon in the background, put aside when it gets long while the daemon runs.

Whoever starts a daemon puts a long log aside before (``client/launch.py``); but one that runs for
months would fill the disk.  Where output goes elsewhere, to a terminal or a journal, it is left
alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from runner.client.launch import put_aside

#: Seconds between two looks at its size.
_LOOK_S = 60.0
#: Descriptors of what the process prints.
_PRINTED = (1, 2)


@contextlib.asynccontextmanager
async def kept_short(log: Path) -> AsyncIterator[None]:
    """Look at the size of ``log`` now and then, for a block."""
    looking = asyncio.create_task(_keep_short(log))
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


def begin_anew(log: Path, descriptors: Sequence[int] = _PRINTED) -> bool:
    """Put ``log`` aside and go on in a new one, if it is long; return whether that was done.

    Args:
        log: Where it may be.
        descriptors: What writes into it; those that write elsewhere stay as they are.
    """
    own = [one for one in descriptors if _is_at(log, one)]
    if not own or not put_aside(log):
        return False
    with log.open("ab") as file:
        for one in own:
            os.dup2(file.fileno(), one)
    return True


async def _keep_short(log: Path) -> None:
    while True:
        await asyncio.sleep(_LOOK_S)
        with contextlib.suppress(OSError):  # no room for a new one: it goes on in the old one
            await asyncio.to_thread(begin_anew, log)


def _is_at(log: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), log.stat())
    except OSError:
        return False
