"""Ways out of an error, by its code: what a button does about it, or the page where one can.

Whatever shows an error shows them as buttons.  A place is a page's key, and behind a slash a part
of that page; the window follows ``GUIDE`` there.  What a button can do by itself depends on what
failed, so who shows the error hands it in, by ``Way.act``; ``mender.py`` has what many share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QObject, Signal

from gui.words import tr

#: What can be done about an error here, by ``Way.act``.
Acts = Mapping[str, Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Way:
    """A button.

    Attributes:
        text: What stands on it, in English.
        place: Where it leads; empty: nowhere.
        act: What it does where that can be done; else it leads to the place, or is not shown.
    """

    text: str
    place: str = ""
    act: str = ""


_START = Way("Start the daemon", act="start")
_MOVE = Way("Use another port for now", act="move")
_FREE = Way("Free memory and try again", act="free")
_LESS = Way("Try with a smaller context", act="less-context")
_MORE = Way("Try with a larger context", act="more-context")
_SHORTEN = Way("Leave out the oldest turns", act="shorten")
_GET = Way("Download it", act="get")
_WAIT = Way("Wait a moment and try again", act="wait")
_WITHOUT = Way("Go on without the device", act="without-device")
_FIELDS = Way("Change the parameters", act="parameters")
_TEMPLATE = Way("Mend its Modelfile", "library", act="template")
_REPAIR = Way("Repair its files", act="repair")
_OTHER_HUB = Way("Try the other hub", act="other-hub")
_LOG = Way("See the log", "server/log")
_MEMORY = Way("See what is in memory", "machine")
_REQUESTS = Way("See the requests", "server/requests")
_SMALLER = Way("Find a smaller model", "discover")
_HUBS = Way("Search the hubs", "discover")
_OTHER = Way("Choose another model", "chat/models", act="other-model")
_PARAMETERS = Way("Change the parameters", "chat/parameters")
_TOKEN = Way("Give a token", "settings/downloads", "token")
_PROXY = Way("Proxy and hubs", "settings/downloads")
_LIBRARY = Way("See the library", "library")
_CLEAN = Way("Free disk space…", act="clean")
_ROOM = Way("Make room in the library", "library")
_FOLDER = Way("Where models are kept", "settings/app")
_ACCESS = Way("Keys and access", "settings/network")
_DEVICES = Way("See the devices", "machine")
_JOBS = Way("See the downloads", "downloads")

#: By ``CorralError.code``; the way that helps most comes first.
WAYS: Mapping[str, tuple[Way, ...]] = {
    "daemon_unavailable": (_START, _LOG),
    "already_running": (_LOG,),
    "address_in_use": (_MOVE,),
    "not_enough_memory": (_FREE, _LESS, _MEMORY, _SMALLER),
    "worker_failed": (_LOG, _MEMORY),
    "device_failed": (_WITHOUT, _DEVICES),
    "busy": (_WAIT, _REQUESTS),
    "queue_full": (_WAIT, _REQUESTS),
    "store_busy": (_WAIT,),
    "rate_limit_exceeded": (_WAIT, _ACCESS),
    "invalid_request": (_FIELDS,),
    "job_under_way": (_JOBS,),
    "prompt_too_long": (_MORE, _SHORTEN, _PARAMETERS),
    "model_not_found": (_GET, _OTHER, _HUBS),
    "unsupported": (_OTHER,),
    "template_failed": (_TEMPLATE, _OTHER),
    "disk_full": (_CLEAN, _ROOM, _FOLDER),
    "access_denied": (_TOKEN,),
    "rate_limited": (_WAIT, _TOKEN, _OTHER_HUB),
    "offline": (_OTHER_HUB, _PROXY),
    "source_failed": (_OTHER_HUB, _PROXY),
    "not_on_hub": (_OTHER_HUB, _HUBS),
    "bad_model_file": (_REPAIR, _LIBRARY, _HUBS),
    "unsupported_architecture": (_OTHER, _HUBS),
    "digest_mismatch": (_REPAIR, _LIBRARY),
    "store_failed": (_FOLDER, _LOG),
    "unauthorized": (_ACCESS,),
    "forbidden": (_ACCESS,),
    "internal": (_LOG,),
}


class Guide(QObject):
    """There is one; used on the GUI's thread.

    Signals:
        led: The place that somebody wants to see.

    Attributes:
        acts: What can be done whatever failed; the window sets it.
    """

    led = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.acts: Acts = {}


GUIDE = Guide()


def actions_for(code: object, acts: Acts | None = None) -> list[tuple[str, Callable[[], object]]]:
    """Return the buttons for an error with this code: their texts, and what they do.

    Args:
        code: The error's.
        acts: What can be done about it here, by ``Way.act``.
    """
    ways = WAYS.get(code, ()) if isinstance(code, str) else ()
    able = {**GUIDE.acts, **(acts or {})}
    found: list[tuple[str, Callable[[], object]]] = []
    for way in ways:
        if (act := able.get(way.act)) is not None:
            found.append((tr(way.text), act))
        elif way.place:
            found.append((tr(way.text), partial(GUIDE.led.emit, way.place)))
    return found
