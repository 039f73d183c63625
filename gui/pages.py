"""What a page is, and what it is built from; ``contents.py`` lists the pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtWidgets import QWidget

from gui.chats.archive import Archive
from gui.link import Link
from gui.settings import Settings


@dataclass(frozen=True, slots=True)
class House:
    """What every page is built from.

    Attributes:
        link: The daemon.
        settings: The app's own settings.
        go: Shows another page, by its ``key``, or a part of it: ``settings/network``.
        archive: Where chats are kept; the chat's page needs it.
    """

    link: Link
    settings: Settings
    go: Callable[[str], None]
    archive: Archive | None = None


class Page(QWidget):
    """A page of the window; built when it is first shown."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self.house = house
        self.setObjectName("page")

    def entered(self) -> None:
        """The page comes into sight: the time to ask the daemon anew."""

    def show_part(self, part: str) -> None:
        """Bring a part of the page into sight, by its name; unknown ones change nothing."""

    def retranslate(self) -> None:
        """The language changed: write every text anew."""

    def leaving(self) -> None:
        """The app is about to end: hand over what is not kept yet."""
