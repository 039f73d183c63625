"""The last search of the hubs, kept in a file for when no hub answers.

Blocking file work: called on the link's threads only.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner.domain.model import Capability
from runner.domain.search import FoundModel, FoundQuant, HubFailure, SearchResult

FORMAT = 1


@dataclass(frozen=True, slots=True)
class LastSearch:
    """A search and what came of it; ``made_at`` in seconds since the epoch."""

    words: str
    hub: str
    made_at: float
    result: SearchResult


def keep(path: Path, search: LastSearch) -> None:
    """Write the search down; a full or read-only disk only means that it is not kept."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.new")
        new.write_text(json.dumps({"format": FORMAT, **asdict(search)}), encoding="utf-8")
        new.replace(path)


def last(path: Path) -> LastSearch | None:
    """Return the search that was kept; ``None`` when there is none that can be read."""
    try:
        value = json.loads(path.read_bytes())
        if value["format"] != FORMAT:
            return None
        models = tuple(_model(one) for one in value["result"]["models"])
        failures = tuple(HubFailure(**one) for one in value["result"]["failures"])
        made_at = min(float(value["made_at"]), time.time())
        result = SearchResult(models, failures)
        return LastSearch(str(value["words"]), str(value["hub"]), made_at, result)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _model(value: dict[str, Any]) -> FoundModel:
    told = {
        "quants": tuple(FoundQuant(**each) for each in value["quants"]),
        "languages": tuple(value.get("languages", ())),
        "abilities": tuple(Capability(one) for one in value.get("abilities", ())),
    }
    return FoundModel(**{**value, **told})
