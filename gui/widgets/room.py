"""How large a window of its own may be: as its text needs, and not larger than the screen."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from gui.theme import THEME

#: Share of the screen that a dialog takes at most.
_MOST = 0.92


def take_room(window: QWidget, width: int, height: int) -> None:
    """Make ``window`` so large, in pixels beside the usual size of text, if the screen allows."""
    room = window.screen().availableGeometry()
    window.resize(
        min(THEME.scaled(width), int(room.width() * _MOST)),
        min(THEME.scaled(height), int(room.height() * _MOST)),
    )
