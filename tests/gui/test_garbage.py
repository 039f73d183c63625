"""Cyclic garbage: whose thread takes it away."""

import gc
import subprocess
import sys
import weakref

from PySide6.QtWidgets import QWidget

from gui.garbage import collect_due
from tests.real_daemon import ROOT

_PROGRAM = """
import gc, threading, weakref
from PySide6.QtCore import QCoreApplication, QTimer
from gui.garbage import collect_here
from gui.singletons import make_lasting

class Node:
    pass

make_lasting()
application = QCoreApplication([])
collect_here()
threads = set()

def make():
    for _ in range(20000):
        node = Node()
        node.itself = node
        weakref.finalize(node, lambda: threads.add(threading.current_thread().name))

thread = threading.Thread(target=make, name="other")
thread.start()
thread.join()
assert not threads and not gc.isenabled()
QTimer.singleShot(0, lambda: None)
QTimer.singleShot(200, application.quit)
application.exec()
print(sorted(threads))
"""


def test_a_cycle_made_by_another_thread_is_collected_by_the_event_loops():
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("['MainThread']\n", "")


def test_a_widget_in_a_cycle_goes_when_it_is_due(application):
    widget = QWidget()
    widget.itself = widget
    gone = weakref.ref(widget)
    del widget
    for _ in range(gc.get_threshold()[0] * 400):
        if gone() is None:
            break
        cell = []
        cell.append(cell)
        collect_due()
    assert gone() is None
