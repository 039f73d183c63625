"""When each model was last asked something: learnt from the requests, kept in a small file.

``{"format": 1, "used": {"host/namespace/model/tag": 1763817600}}``, seconds since the epoch.  One
that cannot be read is begun anew: the next requests tell it again.  A daemon that is killed may
lose the last half minute.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from pathlib import Path
from typing import Any

from runner.domain.name import ModelName
from runner.errors import CorralError
from runner.store.disk import replace_file

logger = logging.getLogger(__name__)

_FORMAT = 1
#: Seconds between a use and its writing; what is used all the time is not written all the time.
_SOON_S = 30.0
#: Names that are kept; those used longest ago go.
_MOST = 2000


class LastUse:
    """Owns the file.  Used from the event loop's thread; ``of`` is safe from any."""

    def __init__(self, path: Path | None = None) -> None:
        """Read what is known; blocks.  Without a path nothing is kept."""
        self._path = path
        self._used = _read(path) if path else {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def of(self, name: ModelName) -> int:
        """Return when ``name`` was last used, in seconds since the epoch; 0: not known."""
        return self._used.get(_key(name), 0)

    def note(self, name: ModelName) -> None:
        """Take note that ``name`` is used now."""
        self._used[_key(name)] = int(time.time())
        self._write_later()

    def forget(self, name: ModelName) -> None:
        """The name is gone: another model that takes it was not used yet."""
        if self._used.pop(_key(name), None) is not None:
            self._write_later()

    async def close(self) -> None:
        """Write what is not written yet."""
        is_due = self._timer is not None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None:
            await self._writing
        if is_due:
            await self._write()

    def _write_later(self) -> None:
        if self._path is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SOON_S, self._begin)

    def _begin(self) -> None:
        if self._writing is not None and not self._writing.done():  # a disk that hangs
            self._timer = asyncio.get_running_loop().call_later(_SOON_S, self._begin)
            return
        self._timer = None
        self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        newest = sorted(self._used.items(), key=lambda one: -one[1])[:_MOST]
        self._used = dict(newest)
        await asyncio.to_thread(self._save, json.dumps({"format": _FORMAT, "used": self._used}))

    def _save(self, content: str) -> None:
        assert self._path is not None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, content.encode(), scratch=self._path.parent, prefix=".used-")
        except (OSError, CorralError) as error:
            logger.warning("when models were used was not kept: %s", error)


def _key(name: ModelName) -> str:
    return "/".join(name.key)


def _read(path: Path) -> dict[str, int]:
    try:
        known: Any = json.loads(path.read_bytes())
        used = known["used"] if known["format"] == _FORMAT else {}
        now = int(time.time())
        return {str(key): min(now, max(0, int(moment))) for key, moment in used.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        logger.warning("beginning anew what cannot be read: %s", path)
        return {}
