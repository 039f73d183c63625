"""What the first turn needs, made before there is one."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QApplication

from gui import icons
from gui.theme import THEME
from gui.widgets.turn_view import ICONS
from gui.widgets.warm import Warming


def test_warming_makes_what_a_turn_has_and_leaves_nothing_behind(application, until):
    THEME.apply("light")
    n_before = len(QApplication.allWidgets())
    warming = Warming(application)
    warming.start()
    until(lambda: warming.is_done and not warming._timer.isActive())
    hits = icons._icon.cache_info().hits
    for name in ICONS:
        icons.icon(name, "muted")
    assert icons._icon.cache_info().hits == hits + len(ICONS)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert len(QApplication.allWidgets()) <= n_before
    warming.deleteLater()
