"""Icons that are drawn, in the colours of the theme."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QPushButton

from gui.icons import dress, icon, mark, names, tray_icon
from gui.theme import DARK, LIGHT, THEME


def colours_of(picture) -> set[str]:
    image = picture.toImage()
    return {
        QColor(image.pixel(x, y)).name()
        for x in range(image.width())
        for y in range(image.height())
        if QColor.fromRgba(image.pixel(x, y)).alpha() == 255
    }


@pytest.mark.parametrize("name", names())
def test_every_icon_is_drawn_in_the_colour_asked_for(application, name):
    THEME.apply("light")
    assert LIGHT.bad in colours_of(icon(name, "bad").pixmap(64, 64))


def test_a_dressed_button_follows_the_theme_and_takes_one_icon(application):
    THEME.apply("light")
    button = QPushButton()
    dress(button, "stop")
    dress(button, "plus")
    assert LIGHT.text in colours_of(button.icon().pixmap(64, 64))
    THEME.apply("dark")
    assert DARK.text in colours_of(button.icon().pixmap(64, 64))
    button.deleteLater()


def test_every_state_of_the_daemon_looks_different(application):
    looks = [mark(), *(tray_icon(state) for state in ("loading", "answering", "error"))]
    looks += [tray_icon("downloading", percent) for percent in (10, 50, 100)]
    pictures = [bytes(look.pixmap(64, 64).toImage().constBits()) for look in looks]
    assert len(set(pictures)) == len(pictures)
