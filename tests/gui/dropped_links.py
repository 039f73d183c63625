"""Links that are closed and forgotten while their threads end, each with somebody who listens.

A program of its own, because what goes wrong here ends the process: ``test_errands.py`` runs it.
"""

import threading
import time

from PySide6.QtWidgets import QApplication

from gui.job_watch import JobWatch
from gui.link import Link
from gui.singletons import make_lasting
from runner.domain.address import Address
from runner.paths import find_paths
from tests.gui.scripted import ScriptedDaemon

_N = 60
_LIFE_S = 0.01  # less or more than it takes to find its daemon


def make_and_drop(application: QApplication, daemon: ScriptedDaemon) -> None:
    link = Link(find_paths(), Address("127.0.0.1", daemon.port), starts=False)
    listener = JobWatch(link)
    link.watch()
    until = time.monotonic() + _LIFE_S
    while time.monotonic() < until:
        application.processEvents()
    for _ in range(3):
        link.call(lambda client: client.jobs(), lambda _: listener)
    link.close()


def main() -> None:
    application = QApplication([])
    make_lasting()
    daemon = ScriptedDaemon()
    for _ in range(_N):
        make_and_drop(application, daemon)
    while any(thread.name in ("link", "watch") for thread in threading.enumerate()):
        application.processEvents()
    application.processEvents()
    daemon.close()


if __name__ == "__main__":
    main()
