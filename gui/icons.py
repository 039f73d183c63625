"""The app's icons, drawn as lines on a grid of 24 and tinted by the theme.

``icon`` returns one in a colour of the palette; ``dress`` gives it to a button and keeps it in step
with the theme.  ``tray_icon`` draws the mark of the app with what the daemon does.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from PySide6.QtCore import QByteArray, QObject, QRectF, QSize, Qt, Slot
from PySide6.QtGui import QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QAbstractButton

from gui.theme import DARK, LIGHT, THEME, Colours

#: Pixels of an icon beside text of the usual size.
_BESIDE_TEXT = 16
#: Pixels that each icon is drawn at: one for each size and scale that a screen asks for.
_SIZES = (16, 20, 24, 32, 40, 48, 64)

_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="{colour}"'
    ' stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round">{shape}</svg>'
)

#: What each icon is made of, in SVG; a full shape names its own ``fill``.
_SHAPES = {
    "chat": '<path d="M4 5.5h16a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1h-8.5L7 20.5v-4H4a1 1 0 0 1-1-1v-9'
    'a1 1 0 0 1 1-1z"/>',
    "discover": '<circle cx="12" cy="12" r="9"/><path d="M15.5 8.5l-2 5-5 2 2-5z"/>',
    "downloads": '<path d="M12 3.5v11M7.5 10.5l4.5 4.5 4.5-4.5M4 20h16"/>',
    "library": '<path d="M4 4.5h4v15H4zM8 4.5h4v15H8zM13.2 5.6l3.8-1.1 4 14.4-3.8 1.1z"/>',
    "server": '<rect x="3.5" y="4" width="17" height="7" rx="1.5"/>'
    '<rect x="3.5" y="13" width="17" height="7" rx="1.5"/>'
    '<path d="M7 7.5h.01M7 16.5h.01M11 7.5h6M11 16.5h6"/>',
    "machine": '<rect x="6" y="6" width="12" height="12" rx="1.5"/>'
    '<rect x="9.5" y="9.5" width="5" height="5" rx=".5"/>'
    '<path d="M9 3v3M15 3v3M9 18v3M15 18v3M3 9h3M3 15h3M18 9h3M18 15h3"/>',
    "settings": '<path d="M4 7h9M17 7h3M4 12h3M11 12h9M4 17h11M19 17h1"/>'
    '<circle cx="15" cy="7" r="2"/><circle cx="9" cy="12" r="2"/><circle cx="17" cy="17" r="2"/>',
    "sliders": '<path d="M6 4v6M6 14v6M12 4v3M12 11v9M18 4v9M18 17v3"/>'
    '<circle cx="6" cy="12" r="2"/><circle cx="12" cy="9" r="2"/><circle cx="18" cy="15" r="2"/>',
    "plus": '<path d="M12 5v14M5 12h14"/>',
    "minus": '<path d="M5 12h14"/>',
    "search": '<circle cx="10.5" cy="10.5" r="6.5"/><path d="M15.5 15.5L20.5 20.5"/>',
    "stop": '<rect x="6.5" y="6.5" width="11" height="11" rx="2" fill="{colour}"/>',
    "send": '<path d="M12 19.5V5M6 11l6-6 6 6"/>',
    "copy": '<rect x="8.5" y="8.5" width="12" height="12" rx="2"/>'
    '<path d="M15.5 8.5v-3a2 2 0 0 0-2-2h-8a2 2 0 0 0-2 2v8a2 2 0 0 0 2 2h3"/>',
    "retry": '<path d="M19.5 12a7.5 7.5 0 1 1-2.2-5.3L20 9.2M20 4.5v4.7h-4.7"/>',
    "edit": '<path d="M4 20l1-4.5L16 4.5a2 2 0 0 1 2.8 0l.7.7a2 2 0 0 1 0 2.8L8.5 19z'
    'M14 6.5l3.5 3.5"/>',
    "pin": '<path d="M9 4h6l-.7 6 3.2 3.5h-11L9.7 10zM12 13.5V20.5"/>',
    "trash": '<path d="M4.5 6.5h15M9.5 6V4h5v2M6.5 6.5l.8 13.5h9.4l.8-13.5M10 10.5v6M14 10.5v6"/>',
    "chevron-left": '<path d="M14.5 6l-6 6 6 6"/>',
    "chevron-right": '<path d="M9.5 6l6 6-6 6"/>',
    "chevron-up": '<path d="M6 14.5l6-6 6 6"/>',
    "chevron-down": '<path d="M6 9.5l6 6 6-6"/>',
    "warning": '<path d="M12 4L2.8 19.5h18.4zM12 10v4.5M12 17h.01"/>',
    "check": '<path d="M5 12.5l4.5 4.5L19 7.5"/>',
    "close": '<path d="M6 6l12 12M18 6L6 18"/>',
    "more": '<circle cx="5.5" cy="12" r="1" fill="{colour}"/>'
    '<circle cx="12" cy="12" r="1" fill="{colour}"/>'
    '<circle cx="18.5" cy="12" r="1" fill="{colour}"/>',
    "attach": '<path d="M19.5 11.5l-7.6 7.6a5 5 0 0 1-7-7l8-8a3.3 3.3 0 0 1 4.7 4.7l-7.9 7.9'
    'a1.6 1.6 0 0 1-2.3-2.3l7-7"/>',
    "play": '<path d="M8 5.5l10.5 6.5L8 18.5z"/>',
    "pause": '<path d="M8.5 5.5v13M15.5 5.5v13"/>',
    "open": '<path d="M13.5 4.5h6v6M19.5 4.5l-9 9M17 13.5v5a1 1 0 0 1-1 1H5.5a1 1 0 0 1-1-1V8'
    'a1 1 0 0 1 1-1h5"/>',
    "folder": '<path d="M3.5 6.5a1 1 0 0 1 1-1H9l2 2.5h8.5a1 1 0 0 1 1 1v9.5a1 1 0 0 1-1 1h-15'
    'a1 1 0 0 1-1-1z"/>',
    "hidden": '<path d="M3 12c2.2-4 5.2-6 9-6s6.8 2 9 6c-2.2 4-5.2 6-9 6s-6.8-2-9-6zM4 20L20 4"/>',
    "tray": '<path d="M3.5 9.5h17M3.5 15.5h17M7 5v14.5M12 5v14.5M17 5v14.5"/>',
}


class _Iconed(Protocol):
    """Anything with an icon: a button, an action."""

    def setIcon(self, icon: QIcon, /) -> None: ...


def names() -> tuple[str, ...]:
    """Return the names that ``icon`` knows."""
    return tuple(_SHAPES)


def icon(name: str, role: str = "text") -> QIcon:
    """Return an icon.

    Args:
        name: Which one.
        role: The field of ``Colours`` that it is drawn in; its disabled form is ``muted``.
    """
    return _icon(name, getattr(THEME.colours, role), THEME.colours.muted)


def pixmap(name: str, n_px: int, role: str = "text") -> QPixmap:
    """Return an icon as a picture of ``n_px`` by ``n_px``."""
    return _drawn(_SVG.format(shape=_SHAPES[name], colour="{colour}"), n_px, _colour(role))


def dress(target: _Iconed, name: str, role: str = "text") -> None:
    """Give ``target``, a widget or an action, an icon that follows the theme."""
    assert isinstance(target, QObject)
    for old in target.findChildren(_Follower):
        old.setParent(None)
        old.deleteLater()
    _Follower(target, name, role)


class _Follower(QObject):
    """Lives and dies with the widget whose icon it draws anew."""

    def __init__(self, target: QObject, name: str, role: str) -> None:
        super().__init__(target)
        self._look = name, role
        self._draw()
        THEME.changed.connect(self._draw)

    @Slot()
    def _draw(self) -> None:
        target = self.parent()
        if target is not None:
            target.setIcon(icon(*self._look))  # type: ignore[attr-defined]
        if isinstance(target, QAbstractButton):  # as large as the text beside it
            target.setIconSize(QSize(THEME.scaled(_BESIDE_TEXT), THEME.scaled(_BESIDE_TEXT)))


@lru_cache(maxsize=512)
def _icon(name: str, colour: str, disabled: str) -> QIcon:
    made = QIcon()
    svg = _SVG.format(shape=_SHAPES[name], colour="{colour}")
    for n_px in _SIZES:
        made.addPixmap(_drawn(svg, n_px, colour))
        made.addPixmap(_drawn(svg, n_px, disabled), QIcon.Mode.Disabled)
    return made


def _colour(role: str) -> str:
    return str(getattr(THEME.colours, role))


def _drawn(svg: str, n_px: int, colour: str) -> QPixmap:
    picture = QPixmap(n_px, n_px)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    renderer = QSvgRenderer(QByteArray(svg.replace("{colour}", colour).encode()))
    renderer.render(painter, QRectF(0, 0, n_px, n_px))
    painter.end()
    return picture


#: The app's mark: a fence, on a rounded ground.  ``{badge}`` is what the daemon does.
_MARK = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">'
    '<rect x="2" y="2" width="60" height="60" rx="15" fill="{ground}"/>'
    '<g stroke="{line}" stroke-width="5" stroke-linecap="round" fill="none">'
    '<path d="M19 15v34M32 15v34M45 15v34M11 25h42M11 40h42"/></g>{badge}</svg>'
)


def mark() -> QIcon:
    """Return the app's own icon."""
    return _mark("idle", -1)


def tray_icon(state: str, percent: int = -1) -> QIcon:
    """Return the mark with a badge.

    Args:
        state: ``idle``, ``loading``, ``answering``, ``downloading`` or ``error``.
        percent: How far a download is; -1: not known.
    """
    return _mark(state, percent // 5 * 5)  # a step that the eye can tell


@lru_cache(maxsize=64)
def _mark(state: str, percent: int) -> QIcon:
    svg = _MARK.format(ground=LIGHT.accent, line="#ffffff", badge=_badge(state, percent, DARK))
    made = QIcon()
    for n_px in (16, 22, 24, 32, 48, 64, 128):
        made.addPixmap(_drawn(svg, n_px, ""))
    return made


def _badge(state: str, percent: int, colours: Colours) -> str:
    """A disc in the corner; a download fills it as it proceeds."""
    fills = {
        "loading": colours.warn,
        "answering": "#ffffff",
        "downloading": "#8ab4f8",
        "error": colours.bad,
    }
    if state not in fills:
        return ""
    disc = f'<circle cx="47" cy="47" r="15" fill="{LIGHT.text}"/>'
    if state == "downloading" and percent >= 0:
        around = 2 * 3.14159 * 6
        filled = around * min(percent, 100) / 100
        return (
            f'{disc}<circle cx="47" cy="47" r="6" fill="none" stroke="{fills[state]}"'
            f' stroke-width="12" stroke-dasharray="{filled:.2f} {around:.2f}"'
            ' transform="rotate(-90 47 47)"/>'
        )
    return f'{disc}<circle cx="47" cy="47" r="9.5" fill="{fills[state]}"/>'
