"""Pictures of every page from a live daemon, in both themes and both languages.

    python tests/screenshots.py [FOLDER [SCENE ...]]        docs/images unless named, all scenes

The daemon is a real one with a home of its own, the starter model and some tiny ones; the hubs are
the loopback ones of the tests, so nothing leaves this machine.  Qt draws without a screen.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication, QPlainTextEdit

from gui.chats.archive import Archive
from gui.contents import pages
from gui.link import Link, Phase
from gui.settings import Settings
from gui.singletons import make_lasting
from gui.theme import THEME
from gui.views.chat_page import ChatPage
from gui.views.main_window import MainWindow
from gui.words import WORDS
from runner.config import parse_address
from runner.paths import find_paths
from tests.fakes.hub import FakeHub
from tests.fakes.models import tiny_model
from tests.real_daemon import RealDaemon

SIZE = (1180, 780)
THEMES, LANGUAGES = ("light", "dark"), ("en", "zh")
GIGABYTE = 10**9
#: Repositories of the loopback hub: likes, downloads, licence, gated, sizes of quantizations.
REPOSITORIES = (
    ("meadow/Aster-4B-Instruct-GGUF", 1840, 912_000, "apache-2.0", False, (1.7, 2.5, 2.9, 4.3)),
    ("meadow/Aster-14B-GGUF", 620, 88_300, "apache-2.0", False, (5.8, 9.0, 10.5, 15.7)),
    ("lowland/Aster-Coder-7B-GGUF", 415, 61_000, "mit", False, (3.0, 4.7, 5.4, 8.1)),
    ("highpass/Aster-70B-Chat-GGUF", 1022, 240_500, "llama3.1", True, (26.4, 42.5, 49.9, 75.0)),
    ("smallholding/Aster-0.6B-GGUF", 96, 20_400, "apache-2.0", False, (0.3, 0.4, 0.5, 0.7)),
    ("lowland/Aster-VL-3B-GGUF", 77, 9_100, "cc-by-nc-4.0", True, (1.4, 2.1, 2.4, 3.6)),
)
#: What their owners say of them.
TAGS = {
    "lowland/Aster-Coder-7B-GGUF": ("en", "zh", "tool-use"),
    "lowland/Aster-VL-3B-GGUF": ("en", "fr", "image-text-to-text"),
}
#: Tabs and states of a page that have a picture of their own, after the first one.
TABS = {
    "chat": ("first",),
    "discover": ("card",),
    "settings": ("models", "network", "downloads", "privacy"),
    "server": ("snippets", "log", "others"),
}
SCENES = [
    *(page.key for page in pages()),
    *(f"{key}-{part}" for key, parts in TABS.items() for part in parts),
]
QUESTION = "Write a Python function that adds two numbers, and say how it works."
#: What the owners of the loopback hub's models wrote about them.
CARD = """---
license: apache-2.0
---

<h1 align="center">Aster</h1>

Small models that run on **your own computer**, in several sizes.

| file | bits a weight | for |
|---|---|---|
| `Q4_K_M` | 4.8 | most computers |
| `Q8_0` | 8.5 | the best answers |

```sh
corral run hf.co/meadow/Aster-4B-Instruct-GGUF
```

- speaks English and Chinese
- made for this picture; there is no such model
"""
QUANTS = ("Q2_K", "Q4_K_M", "Q5_K_M", "Q8_0")


def main(folder: Path, wanted: Sequence[str] = ()) -> None:
    """Make all pictures, or those of some scenes."""
    make_lasting()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, a_home(Path(temporary)) as daemon:
        os.environ |= {"CORRAL_HOME": str(daemon.home), "CORRAL_HOST": daemon.address}
        application = QApplication.instance() or QApplication(["corral"])
        link = Link(find_paths(), parse_address(daemon.address), starts=False)
        settings = Settings(daemon.home / "state" / "app.json")
        settings.change(has_begun=True, model="smollm2:latest")
        link.watch()
        spin(lambda: link.state.phase is Phase.UP)
        THEME.apply("light")
        archive = Archive(daemon.home / "state" / "chats.sqlite")
        window = MainWindow(link, settings, archive)
        window.resize(*SIZE)
        window.show()
        with somebody_asks(daemon):
            shoot(window, folder, wanted or SCENES)
        window.close()
        window.leaving()
        archive.close()
        link.close()
        application.processEvents()


@contextlib.contextmanager
def a_home(root: Path) -> Iterator[RealDaemon]:
    """A daemon with some models."""
    with FakeHub() as hub:
        for repo, likes, downloads, licence, gated, sizes in REPOSITORIES:
            files = {f"model-{quant}.gguf": b"GGUF" for quant in QUANTS}
            told = dict(zip(files, (int(size * GIGABYTE) for size in sizes), strict=True))
            hub.add(
                repo,
                {**files, "README.md": CARD.encode()},
                license=licence,
                gated=gated,
                n_likes=likes,
                n_downloads=downloads,
                sizes=told,
                tags=TAGS.get(repo, ("en",)),
            )
        os.environ |= hub.environ()  # the app itself asks which hub answers faster
        environ = {**hub.environ(), "CORRAL_LOG_LEVEL": "info", "CORRAL_KEEP_ALIVE": "30m"}
        with RealDaemon(root / "home", **environ) as daemon:
            daemon.ask("POST", "/api/pull", {"model": "smollm2"})
            tiny = tiny_model(root / "tiny.gguf", n_ctx_train=65536)
            for name in ("tiny:latest", "notes/summary:q8_0", "hf.co/lowland/sprout-gguf:Q4_K_M"):
                daemon.take_in(tiny, name)
            daemon.ask("POST", "/api/generate", {"model": "smollm2", "prompt": ""})
            # In the background a daemon writes its log to this file.
            log = daemon.home / "logs" / "daemon.log"
            log.parent.mkdir(exist_ok=True)
            log.symlink_to(daemon.home / "daemon.out")
            yield daemon


@contextlib.contextmanager
def somebody_asks(daemon: RealDaemon) -> Iterator[None]:
    """Two long answers, for the page that shows what is being answered."""
    over = threading.Event()

    def ask(model: str) -> None:
        body = {"model": model, "prompt": "Once upon a time", "options": {"num_predict": 60000}}
        with daemon.stream("/api/generate", body) as answer:
            while not over.is_set() and answer.line():
                pass

    threads = [threading.Thread(target=ask, args=("tiny",), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(10)


def shoot(window: MainWindow, folder: Path, wanted: Sequence[str]) -> None:
    """Go through the scenes in both themes and both languages."""
    for language in LANGUAGES:
        WORDS.use(language)
        for theme in THEMES:
            THEME.apply(theme)
            for scene in wanted:
                key, _, part = scene.partition("-")
                page = window.page(key)
                prepare(key, part, page)
                settle(window)
                name = f"{scene}-{theme}-{language}.png"
                window.grab().save(str(folder / name))
                print(name, file=sys.stderr)


def prepare(key: str, part: str, page: object) -> None:
    """Bring a page into a state worth a picture."""
    if key == "chat":
        first_run(page) if part else chat(page)
        return
    if key == "discover":
        page.words.setText("Aster")
        page.search()
        page.pane.tabs.setCurrentIndex(1 if part else 0)
        if part:
            spin(lambda: page.pane.card.content.is_shown and page.pane.card.text.is_drawn)
        return
    if key == "machine" and len(page.history) < 8:
        end = time.monotonic() + 16
        spin(lambda: time.monotonic() > end)
    if key in TABS:
        page.tabs.setCurrentIndex(TABS[key].index(part) + 1 if part else 0)


def first_run(page: ChatPage) -> None:
    """What somebody sees who has no model yet."""
    page.begin(is_temporary=False)
    end = time.monotonic() + 1  # what is on its way would undo it
    spin(lambda: time.monotonic() > end and page.house.link.is_quiet)
    page._take_models([])
    spin(lambda: page.middle.is_first and len(page.middle.first._answers) == 2)


def chat(page: ChatPage) -> None:
    """Ask the starter model something, once."""
    page.entered()
    spin(lambda: page._models)
    if chats := page.shelf.chats():
        page._open(chats[0].id, 0)
        spin(lambda: len(page._conversation.tree))
    talk = page._conversation
    if not len(talk.tree):
        talk.set_fields(model="smollm2:latest", options={"temperature": 0, "num_predict": 300})
        talk.send(QUESTION)
    spin(lambda: not talk.answering_id and page.transcript.is_settled, 300)


def settle(window: MainWindow) -> None:
    """Wait until nothing is being asked any more and the page is drawn."""
    quiet_since = time.monotonic()

    def is_quiet() -> bool:
        nonlocal quiet_since
        if not window.link.is_quiet:
            quiet_since = time.monotonic()
        return time.monotonic() - quiet_since > 0.4

    spin(is_quiet)
    for reader in window.findChildren(QPlainTextEdit):
        reader.clearFocus()


def spin(condition: object, timeout_s: float = 60.0) -> None:
    """Run the event loop until the condition holds."""
    loop = QEventLoop()
    look = QTimer()
    look.timeout.connect(lambda: loop.quit() if condition() else None)
    look.start(20)
    QTimer.singleShot(int(timeout_s * 1000), loop.quit)
    loop.exec()
    assert condition(), "it did not happen in time"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images", sys.argv[2:])
