"""Which pages the window has, in order: the one list that a new page is added to."""

from __future__ import annotations

from gui.pages import Page
from gui.views.chat_page import ChatPage


def pages() -> list[type[Page]]:
    """Return the pages, as the sidebar lists them."""
    return [ChatPage]
