"""Logging for daemon and workers: one line an event, ``key=value``; never prompt text or tokens."""

from __future__ import annotations

import logging
import sys
import time

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


def configure(level: str) -> None:
    """Send this process's log to stderr; called once, by the process's main function."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(KeyValueFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS.get(level.lower(), logging.INFO))


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
