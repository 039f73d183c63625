"""Qt without a screen; what Qt warns of fails the test."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QCoreApplication, QEventLoop, QTimer, QtMsgType, qInstallMessageHandler
from PySide6.QtWidgets import QApplication

from gui.singletons import make_lasting

make_lasting()


@pytest.fixture(scope="session")
def application():
    """The one application of the process."""
    return QApplication.instance() or QApplication(["corral"])


@pytest.fixture(autouse=True)
def no_warnings():
    """Fail a test in which Qt warned."""
    told = []

    def note(kind, _, text):
        # The offscreen platform says this of every window with a least size.
        if kind != QtMsgType.QtDebugMsg and "propagateSizeHints" not in text:
            told.append(text)

    previous = qInstallMessageHandler(note)
    yield
    qInstallMessageHandler(previous)
    assert not told, told


@pytest.fixture
def until(application):
    """Run the event loop until a condition holds."""

    def wait(condition, timeout_ms=20_000):
        loop = QEventLoop()
        look = QTimer()
        look.timeout.connect(lambda: loop.quit() if condition() else None)
        look.start(5)
        late = QTimer()
        late.setSingleShot(True)
        late.timeout.connect(loop.quit)
        late.start(timeout_ms)
        loop.exec()
        assert condition(), "it did not happen in time"

    return wait


@pytest.fixture(autouse=True)
def drained():
    """Deliver what a test left behind before the next one begins."""
    yield
    if QCoreApplication.instance():
        QCoreApplication.processEvents()
