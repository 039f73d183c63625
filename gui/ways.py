"""Ways out of an error: the pages where something can be done about it, by the error's code.

Whatever shows an error shows them as buttons; the window follows ``GUIDE``.  A place is a page's
key, and behind a slash a part of that page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QObject, Signal

from gui.words import tr


@dataclass(frozen=True, slots=True)
class Way:
    """A button: its text in English, and the place that it leads to."""

    text: str
    place: str


_LOG = Way("See the log", "server/log")
_MEMORY = Way("See what is in memory", "machine")
_REQUESTS = Way("See the requests", "server/requests")
_SMALLER = Way("Find a smaller model", "discover")
_HUBS = Way("Search the hubs", "discover")
_OTHER = Way("Choose another model", "chat/models")
_PARAMETERS = Way("Change the parameters", "chat/parameters")
_TOKEN = Way("Give a token", "settings/downloads")
_PROXY = Way("Proxy and hubs", "settings/downloads")
_LIBRARY = Way("See the library", "library")
_ROOM = Way("Make room in the library", "library")
_FOLDER = Way("Where models are kept", "settings/app")
_ACCESS = Way("Keys and access", "settings/network")
_DEVICES = Way("See the devices", "machine")

#: By ``CorralError.code``; the way that helps most comes first.
WAYS: Mapping[str, tuple[Way, ...]] = {
    "daemon_unavailable": (_LOG,),
    "already_running": (_LOG,),
    "not_enough_memory": (_MEMORY, _PARAMETERS, _SMALLER),
    "worker_failed": (_LOG, _MEMORY),
    "device_failed": (_DEVICES,),
    "busy": (_REQUESTS,),
    "queue_full": (_REQUESTS,),
    "prompt_too_long": (_PARAMETERS,),
    "model_not_found": (_OTHER, _HUBS),
    "unsupported": (_OTHER,),
    "template_failed": (_LIBRARY, _OTHER),
    "disk_full": (_ROOM, _FOLDER),
    "access_denied": (_TOKEN,),
    "rate_limited": (_TOKEN,),
    "offline": (_PROXY,),
    "source_failed": (_PROXY,),
    "not_on_hub": (_HUBS,),
    "bad_model_file": (_LIBRARY, _HUBS),
    "unsupported_architecture": (_OTHER, _HUBS),
    "digest_mismatch": (_LIBRARY,),
    "store_failed": (_FOLDER, _LOG),
    "unauthorized": (_ACCESS,),
    "forbidden": (_ACCESS,),
}


class Guide(QObject):
    """There is one; used on the GUI's thread.

    Signals:
        led: The place that somebody wants to see.
    """

    led = Signal(str)


GUIDE = Guide()


def actions_for(code: object) -> list[tuple[str, Callable[[], object]]]:
    """Return the buttons for an error with this code: their texts, and what they do."""
    ways = WAYS.get(code, ()) if isinstance(code, str) else ()
    return [(tr(way.text), partial(GUIDE.led.emit, way.place)) for way in ways]
