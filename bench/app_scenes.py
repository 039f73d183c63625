"""One scene of ``bench/app.py`` in a process of its own: the real window over a scripted daemon.

python -m bench.app_scenes SCENE HOME        prints one line of JSON
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import psutil
from PySide6.QtCore import QCoreApplication, QEvent, QEventLoop, QObject, QTimer
from PySide6.QtWidgets import QAbstractScrollArea, QApplication

from gui.app import App
from gui.chats.storage import Chat, Storage
from gui.chats.tree import Turn
from gui.garbage import collect_here
from gui.singletons import make_lasting
from runner.paths import find_paths
from tests.gui.scripted import MODEL, RUNNING, ScriptedDaemon, end, said

MIB = 2**20
N_TOKENS, N_CHATS, N_MODELS, N_TURNS = 100_000, 10_000, 1_000, 300
IDLE_S = 20.0
#: Seconds after which a page that was opened has nothing left to do.
SETTLE_S = 1.0
#: Milliseconds between two beats that show how long a turn of the event loop takes.
BEAT_MS = 2
TEXT = (
    "A paragraph with **strong** words, `code` and a [link](https://example.org) that goes on for"
    " a while, so that it takes more than one line of the window.\n\n"
    "```python\ndef add(first, second):\n    return first + second\n```\n\n"
    "| name | size |\n|---|---|\n| one | 1 |\n| two | 2 |\n\n- first\n- second\n\n"
)


class FirstPaint(QObject):
    """Remembers when the window was drawn for the first time, and what was computed until then."""

    def __init__(self) -> None:
        super().__init__()
        self.at_s: float | None = None
        self.cpu_s = 0.0

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if self.at_s is None and event.type() is QEvent.Type.Paint:
            self.at_s = time.time()
            self.cpu_s = time.process_time()
        return False


class Beat(QObject):
    """How long the event loop is away between two beats, in milliseconds.

    Beside the time that passed, the time in which its thread computed: where other programs use the
    machine, that one is the app's own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gaps: list[float] = []
        self._computed: list[float] = []
        self._last = self._last_cpu = 0.0
        self._timer = QTimer(self)
        self._timer.setInterval(BEAT_MS)
        self._timer.timeout.connect(self._on_beat)

    def start(self) -> None:
        """Begin to listen."""
        self.gaps, self._computed = [], []
        self._last, self._last_cpu = time.perf_counter(), time.thread_time()
        self._timer.start()

    def stop(self) -> dict[str, float]:
        """Return the longest gaps."""
        self._timer.stop()
        found = sorted(self.gaps)
        return {
            "turns": len(found),
            "p99_ms": round(found[int(len(found) * 0.99)], 1),
            "longest_ms": round(found[-1], 1),
            "longest_cpu_ms": round(max(self._computed), 1),
        }

    def _on_beat(self) -> None:
        now, cpu = time.perf_counter(), time.thread_time()
        self.gaps.append((now - self._last) * 1000)
        self._computed.append((cpu - self._last_cpu) * 1000)
        self._last, self._last_cpu = now, cpu


def spin(condition: Callable[[], object], timeout_s: float = 300.0) -> None:
    """Run the event loop until the condition holds."""
    loop, look, late = QEventLoop(), QTimer(), QTimer()
    look.timeout.connect(lambda: loop.quit() if condition() else None)
    look.start(20)
    late.setSingleShot(True)
    late.timeout.connect(loop.quit)
    late.start(int(timeout_s * 1000))
    loop.exec()
    if not condition():
        raise SystemExit("it did not happen in time")


def rest(seconds: float) -> None:
    """Run the event loop for a while, with nothing else in it."""
    loop = QEventLoop()
    QTimer.singleShot(int(seconds * 1000), loop.quit)
    loop.exec()


def start(app: App, daemon: ScriptedDaemon) -> dict[str, Any]:
    """Seconds from the start of the process to the window's first picture."""
    paint = FirstPaint()
    app.window.installEventFilter(paint)
    app.start()
    spin(lambda: paint.at_s is not None)
    assert paint.at_s is not None
    visible_s = paint.at_s - psutil.Process().create_time()
    return {"visible_s": round(visible_s, 3), "cpu_s": round(paint.cpu_s, 3)}


def memory(app: App, daemon: ScriptedDaemon) -> dict[str, Any]:
    """MiB with a long chat open that was scrolled through, so that all of it was drawn."""
    app.start()
    page: Any = app.window.page("chat")
    spin(lambda: page.shelf.chats())
    page._open(page.shelf.chats()[0].id, 0)
    spin(lambda: len(page._conversation.tree) == N_TURNS)
    drawn(page)
    bar = page.transcript.verticalScrollBar()
    while bar.value() > 0:
        bar.setValue(bar.value() - page.transcript.height() // 2)
        drawn(page)
    rest(1)
    told = psutil.Process().memory_full_info()
    return {
        "turns": N_TURNS,
        "resident_mib": round(told.rss / MIB, 1),
        "private_mib": round(told.uss / MIB, 1),
    }


def idle(app: App, daemon: ScriptedDaemon) -> dict[str, Any]:
    """CPU seconds while the window is open and nothing happens."""
    daemon.tells = True
    daemon.events.put(("snapshot", {"jobs": [], "worker": {"models": [RUNNING]}}))
    app.start()
    spin(lambda: app.link.state.running)
    spin(lambda: app.link.is_quiet)
    rest(3)
    before, threads = psutil.Process().cpu_times(), psutil.Process().num_ctx_switches()
    time_before = time.monotonic()
    rest(IDLE_S)
    after, switches = psutil.Process().cpu_times(), psutil.Process().num_ctx_switches()
    used = after.user + after.system - before.user - before.system
    woken = switches.voluntary - threads.voluntary
    seconds = time.monotonic() - time_before
    return {"seconds": round(seconds, 1), "cpu_s": round(used, 3), "wakes": woken}


def answer(app: App, daemon: ScriptedDaemon) -> dict[str, Any]:
    """How long a turn of the event loop takes while a very long answer streams in."""

    def tokens(_: dict[str, Any]) -> Iterator[dict[str, Any]]:
        words = TEXT.replace("\n", " \n ").split(" ")
        for number in range(N_TOKENS):
            yield said(words[number % len(words)] + " ")
        yield end(eval_count=N_TOKENS)

    daemon.answer = tokens
    app.start()
    page: Any = app.window.page("chat")
    spin(lambda: page._models)
    rest(SETTLE_S)
    beat = Beat()
    before = psutil.Process().cpu_times()
    beat.start()
    page._conversation.send("Go on and on.")
    spin(lambda: not page._conversation.answering_id, 900)
    drawn(page)
    found = beat.stop()
    after = psutil.Process().cpu_times()
    used = after.user + after.system - before.user - before.system
    return {"tokens": N_TOKENS, **found, "cpu_s": round(used, 1)}


def scroll(app: App, daemon: ScriptedDaemon) -> dict[str, Any]:
    """How long one step of scrolling takes, in long lists."""
    daemon.models = [f"model-{number}:latest" for number in range(N_MODELS)]
    app.start()
    chats: Any = app.window.page("chat")
    spin(lambda: chats.side._model.rowCount() == N_CHATS, 600)
    found = {"chats": steps(chats.side.list)}
    library: Any = app.window.page("library")
    spin(lambda: library.table.rowCount() == N_MODELS)
    return {**found, "models": steps(library.grid)}


def steps(view: QAbstractScrollArea) -> dict[str, float]:
    """Scroll from end to end in 200 steps, each drawn."""
    rest(SETTLE_S)  # opening the page is no step
    bar, times, computed = view.verticalScrollBar(), [], []
    for number in range(200):
        began, cpu = time.perf_counter(), time.thread_time()
        bar.setValue(bar.maximum() * number // 199)
        view.viewport().repaint()
        QCoreApplication.processEvents()
        times.append((time.perf_counter() - began) * 1000)
        computed.append((time.thread_time() - cpu) * 1000)
    times.sort()
    return {
        "p50_ms": round(times[100], 2),
        "longest_ms": round(times[-1], 2),
        "longest_cpu_ms": round(max(computed), 2),
    }


def drawn(page: Any) -> None:
    """Wait until every turn in sight is drawn."""
    spin(lambda: page.transcript.is_settled, 900)


def fill(home: Path, scene: str) -> None:
    """Put chats where the app will look for them."""
    storage = Storage(home / "state" / "chats.sqlite")
    if scene == "memory":
        storage.save_chat(Chat(1, title="A long one", model=MODEL, changed_s=1.0))
        for number in range(1, N_TURNS + 1):
            role = "assistant" if number % 2 == 0 else "user"
            text = TEXT * 3 if role == "assistant" else "And then?"
            storage.save_turn(1, Turn(number, number - 1, role, text, created_s=1.0))
    if scene == "scroll":
        for number in range(1, N_CHATS + 1):
            storage.save_chat(Chat(number, title=f"Chat {number}", changed_s=float(number)))
    storage.close()


SCENES = {one.__name__: one for one in (start, memory, idle, answer, scroll)}


def main(scene: str, home: Path) -> None:
    """Play one scene."""
    make_lasting()
    daemon = ScriptedDaemon(poll_s=3600)  # its own looking around is not the app's
    os.environ |= {"CORRAL_HOME": str(home), "CORRAL_HOST": f"127.0.0.1:{daemon.port}"}
    application = QApplication(["corral"])
    app = App(application, find_paths())
    collect_here()
    told = SCENES[scene](app, daemon)
    print(json.dumps(told), flush=True)
    # What was measured is told; the chats need no orderly end.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
