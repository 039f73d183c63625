"""Which hub answers, and how soon: asked through the daemon with a search of one result.

Blocking: called on the link's threads.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from runner.client.client import Client
from runner.errors import CorralError

#: Hubs by the names of ``/api/search``, and what they are called.
HUBS = {"hf": "Hugging Face", "modelscope": "ModelScope"}
_WORDS = "qwen3"


@dataclass(frozen=True, slots=True)
class HubAnswer:
    """A hub and the seconds until it answered; ``None``: it did not."""

    hub: str
    seconds: float | None


def ask_hub(client: Client, hub: str) -> HubAnswer:
    """Return how soon a hub answers."""
    began = time.monotonic()
    try:
        found = client.search(_WORDS, hub=hub, limit=1)
    except CorralError:
        return HubAnswer(hub, None)
    return HubAnswer(hub, None if found.failures else time.monotonic() - began)
