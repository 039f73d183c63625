"""Logging for daemon and workers: one line an event, ``key=value``; never prompt text or tokens."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the daemon alone follows its log; other processes start sooner without
    import asyncio

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING}
_LEVELS |= {"warning": logging.WARNING, "error": logging.ERROR}


class KeyValueFormatter(logging.Formatter):
    """``2026-01-02T03:04:05.678Z INFO workers.pool loaded model=smollm2:latest load_s=0.41``."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        room = record.name.removeprefix("runner.")
        line = f"{moment}.{int(record.msecs):03d}Z {record.levelname} {room} {record.getMessage()}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class Tail(logging.Handler):
    """Keeps the last lines for who asks, and hands on new ones to who follows.

    Lines may come from any thread; following is done on one event loop.
    """

    _N_KEPT = 2000
    _N_UNREAD = 1000  # lines a follower may be behind

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(KeyValueFormatter())
        self._lines: deque[str] = deque(maxlen=self._N_KEPT)
        self._followers: dict[asyncio.Queue[str | None], asyncio.AbstractEventLoop] = {}

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        self._lines.append(line)
        for queue, loop in list(self._followers.items()):
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._hand_on, queue, line)

    def last(self, n_lines: int) -> list[str]:
        """Return the last lines, at most ``n_lines``."""
        return list(self._lines)[-n_lines:] if n_lines > 0 else []

    async def follow(self, n_lines: int) -> AsyncGenerator[str, None]:
        """Yield the last lines and then each new one; ends when the reader is too far behind."""
        import asyncio

        queue: asyncio.Queue[str | None] = asyncio.Queue()
        for line in self.last(n_lines):
            queue.put_nowait(line)
        self._followers[queue] = asyncio.get_running_loop()
        try:
            while (line_or_end := await queue.get()) is not None:
                yield line_or_end
        finally:
            self._followers.pop(queue, None)

    def end(self) -> None:
        """Let every follower come to its end."""
        for queue in self._followers:
            queue.put_nowait(None)

    def _hand_on(self, queue: asyncio.Queue[str | None], line: str) -> None:
        if queue not in self._followers:
            return
        if queue.qsize() < self._N_UNREAD + self._N_KEPT:
            queue.put_nowait(line)
        else:
            del self._followers[queue]
            queue.put_nowait(None)


def set_level(level: str) -> None:
    """Log from this level on."""
    logging.getLogger().setLevel(_LEVELS.get(level.lower(), logging.INFO))


def configure(level: str) -> None:
    """Send this process's log to stderr; called once, by the process's main function."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(KeyValueFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)


def pairs(**values: object) -> str:
    """Return ``key=value`` pairs; values with spaces are quoted, floats keep three decimals."""
    return " ".join(f"{key}={_shown(value)}" for key, value in values.items())


def one_line(value: object, *, n_most: int = 200) -> str:
    """Return text from strangers such that it stays in its line of the log."""
    return repr(str(value))[:n_most]


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value)
    return repr(text) if not text or any(c.isspace() or c == '"' for c in text) else text
