"""Which pages the window has, in order: the one list that a new page is added to.

Only what the sidebar shows is known at the start; a page's own code is loaded when it is first
shown, so that the window is there soon.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gui.pages import Page


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the sidebar.

    Attributes:
        key: What the page is asked for by; the name of its icon too.
        title: English; shown through ``tr``.
        kind: Loads the page's code.
    """

    key: str
    title: str
    kind: Callable[[], type[Page]]


def pages() -> list[Entry]:
    """Return the pages, as the sidebar lists them."""
    return [
        Entry("chat", "Chat", _chat),
        Entry("discover", "Discover", _discover),
        Entry("downloads", "Downloads", _downloads),
        Entry("library", "Library", _library),
        Entry("server", "Server", _server),
        Entry("machine", "Machine", _machine),
        Entry("settings", "Settings", _settings),
    ]


def _chat() -> type[Page]:
    from gui.views.chat_page import ChatPage

    return ChatPage


def _discover() -> type[Page]:
    from gui.views.discover_page import DiscoverPage

    return DiscoverPage


def _downloads() -> type[Page]:
    from gui.views.downloads_page import DownloadsPage

    return DownloadsPage


def _library() -> type[Page]:
    from gui.views.library_page import LibraryPage

    return LibraryPage


def _server() -> type[Page]:
    from gui.views.server_page import ServerPage

    return ServerPage


def _machine() -> type[Page]:
    from gui.views.machine_page import MachinePage

    return MachinePage


def _settings() -> type[Page]:
    from gui.views.settings_page import SettingsPage

    return SettingsPage
