"""Which pages the window has, in order: the one list that a new page is added to."""

from __future__ import annotations

from gui.pages import Page
from gui.views.chat_page import ChatPage
from gui.views.discover_page import DiscoverPage
from gui.views.downloads_page import DownloadsPage
from gui.views.library_page import LibraryPage
from gui.views.machine_page import MachinePage
from gui.views.server_page import ServerPage
from gui.views.settings_page import SettingsPage


def pages() -> list[type[Page]]:
    """Return the pages, as the sidebar lists them."""
    return [
        ChatPage,
        DiscoverPage,
        DownloadsPage,
        LibraryPage,
        ServerPage,
        MachinePage,
        SettingsPage,
    ]
