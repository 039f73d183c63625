"""What this machine's processes really take, beside what is estimated: learnt from real loads.

A small JSON file: ``{"format": 1, "factors": {"<digest>": 1.04}}``.  One that cannot be read, or is
of another version, is begun anew: nothing is lost that the next loads do not tell again.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from runner.errors import CorralError
from runner.store.disk import replace_file

logger = logging.getLogger(__name__)

_FORMAT = 1
#: Weight of the newest measurement.
_NEWEST = 0.3
#: What is beyond these was not measured well.  Less than estimated is no news: a cache is counted
#: by the system only where something was written into it.
_LOW, _HIGH = 1.0, 2.0
_MOST_MODELS = 256


class Calibration:
    """Factors by model; owns the file, which is written by ``save`` alone."""

    def __init__(self, path: Path | None = None) -> None:
        """Read what is known; without a path nothing is, and nothing is kept."""
        self._path = path
        self._factors = _read(path) if path else {}

    def factor(self, key: str) -> float:
        """Return by what to multiply the private memory that a model is estimated to need.

        What is known of other models says something of one that was never loaded.
        """
        if key in self._factors:
            return self._factors[key]
        known = sorted(self._factors.values())
        return max(1.0, known[len(known) // 2]) if known else 1.0

    def learn(self, key: str, measured: int, estimated: int) -> None:
        """Take note of a measurement, in bytes."""
        if measured <= 0 or estimated <= 0:
            return
        seen = min(_HIGH, max(_LOW, measured / estimated))
        before = self._factors.pop(key, seen)
        self._factors[key] = round(before + _NEWEST * (seen - before), 4)
        while len(self._factors) > _MOST_MODELS:
            del self._factors[next(iter(self._factors))]

    def save(self) -> None:
        """Write the file; blocks.  Failing is logged: models are loaded without it, too."""
        if self._path is None:
            return
        content = json.dumps({"format": _FORMAT, "factors": self._factors}).encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, content, scratch=self._path.parent, prefix=".memory-")
        except (OSError, CorralError) as error:
            logger.warning("what models need of memory was not kept: %s", error)


def _read(path: Path) -> dict[str, float]:
    try:
        known: Any = json.loads(path.read_bytes())
        factors = known["factors"] if known["format"] == _FORMAT else {}
        return {str(key): min(_HIGH, max(_LOW, float(factor))) for key, factor in factors.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        logger.warning("beginning anew what cannot be read: %s", path)
        return {}
