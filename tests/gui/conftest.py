"""Qt without a screen: what it warns of fails the test; where it cannot run no test does."""

from __future__ import annotations

import gc
import os
import sys
import threading
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from runner.config import Address
from runner.paths import find_paths
from tests.gui.scripted import ScriptedDaemon
from tests.gui.system_libraries import REASON

if not REASON:
    from PySide6.QtCore import (
        QCoreApplication,
        QEventLoop,
        QTimer,
        QtMsgType,
        qInstallMessageHandler,
    )
    from PySide6.QtWidgets import QApplication

    from gui.app import App, _read_address
    from gui.chats.archive import Archive
    from gui.garbage import collect_due
    from gui.link import Link, Phase
    from gui.settings import read as read_choices
    from gui.singletons import make_lasting

    make_lasting()


class WithoutQt(pytest.Module):
    """A file of tests that cannot even be imported; reported by its name, with the reason."""

    def collect(self):
        pytest.skip(REASON, allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    return WithoutQt.from_parent(parent, path=module_path) if REASON else None


@pytest.fixture(scope="session")
def application():
    """The one application of the process."""
    return QApplication.instance() or QApplication(["corral"])


@pytest.fixture(autouse=True)
def no_warnings():
    """Fail a test in which Qt warned."""
    told = []

    def hear(kind, _, text):
        # The screen that is none says what it cannot do; that is no fault of ours.
        if kind != QtMsgType.QtDebugMsg and not text.startswith("This plugin does not support"):
            told.append(text)

    previous = qInstallMessageHandler(hear)
    yield
    qInstallMessageHandler(previous)
    assert not told, told


@pytest.fixture
def until(application):
    """Run the event loop until a condition holds."""

    def wait(condition, timeout_ms=60_000):
        held = []  # not asked again: what begins in the moment after it held undoes nothing

        def look():
            if not held and condition():
                held.append(True)
                loop.quit()

        loop = QEventLoop()
        often = QTimer()
        often.timeout.connect(look)
        often.start(5)
        late = QTimer()
        late.setSingleShot(True)
        late.timeout.connect(loop.quit)
        late.start(timeout_ms)
        loop.exec()
        assert held or condition(), "it did not happen in time"

    return wait


@pytest.fixture(autouse=True, scope="package")
def collected_here():
    """As in the app: no thread but this one destroys a widget, neither here nor in later tests."""
    gc.disable()
    yield
    gc.collect()
    gc.enable()


@pytest.fixture(autouse=True)
def drained():
    """Deliver what a test left behind before the next one begins."""
    yield
    if QCoreApplication.instance():
        QCoreApplication.processEvents()
    collect_due()


@pytest.fixture
def daemon():
    """A scripted daemon."""
    made = ScriptedDaemon()
    yield made
    made.close()


@pytest.fixture
def link(application, daemon, until):
    """A link to the scripted daemon, up."""
    made = Link(find_paths(), Address("127.0.0.1", daemon.port), starts=False)
    made.watch()
    try:
        until(lambda: made.state.phase is Phase.UP)
        yield made
    finally:
        made.close()
        until(lambda: made.is_quiet)


@pytest.fixture
def archive(application, tmp_path):
    """Chats on disk."""
    made = Archive(tmp_path / "chats.sqlite")
    yield made
    made.close()


@pytest.fixture(autouse=True)
def nothing_waits(request):
    """Fail a test in which the app's own code meets a socket, a file or SQLite on this thread.

    What blocks and is called on other threads is tested by itself, in tests marked ``blocking``.
    """
    WATCH.told.clear()
    WATCH.is_on = request.node.get_closest_marker("blocking") is None
    yield WATCH
    WATCH.is_on = False
    assert not WATCH.told, WATCH.told


#: Audit events of Python that may wait for a disk, another program or another machine.
MAY_WAIT = {
    *("open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.chmod"),
    *("socket.connect", "socket.getaddrinfo", "sqlite3.connect", "subprocess.Popen"),
}


#: What is read before there is a window: how it looks, and where the daemon answers.
AT_START = (
    set() if REASON else {App.__init__.__code__, _read_address.__code__, read_choices.__code__}
)
#: Where the app's code is.
APP = f"{Path(__file__).parents[2] / 'gui'}{os.sep}"


class _Watch:
    """Python's audit events of the GUI's thread that come from the app's code."""

    def __init__(self):
        self.is_on = False
        self.told = []

    def hear(self, event, args):
        if not self.is_on or event not in MAY_WAIT:
            return
        if threading.current_thread() is not threading.main_thread():
            return
        if str(args[0]).endswith((".py", ".pyc", ".so")):
            return  # an import, or what Qt's bindings read of the sources when there is one
        frame = sys._getframe(1)
        while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
            if frame.f_code.co_filename.startswith(APP):
                if frame.f_code not in AT_START:
                    self.told.append((event, str(args[0]), frame.f_code.co_qualname))
                return
            frame = frame.f_back


WATCH = _Watch()
sys.addaudithook(WATCH.hear)
