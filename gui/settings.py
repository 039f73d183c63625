"""The app's own settings: how it looks and speaks, and where its window stood.

They are the app's alone; what the daemon does is set in the daemon.  The file is read once at start
and written in a thread, so the thread that draws touches no disk.
"""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user chose.

    Attributes:
        theme: ``light``, ``dark``, ``contrast``; empty: the system's.
        language: ``en``, ``zh``; empty: the system's.
        font_px: Size of plain text.
        family: Its font; empty: the system's.
        is_dense: Whether rows stand closer.
        notifies: Whether a finished download or answer is announced.
        has_begun: Whether the first run is over.
        knows_tray: Whether it was told that the app stays in the tray.
        model: The model that a new chat takes; empty: the first one.
        geometry: Place and size of the window, as Qt gives it, in hex.
    """

    theme: str = ""
    language: str = ""
    font_px: int = 14
    family: str = ""
    is_dense: bool = False
    notifies: bool = True
    has_begun: bool = False
    knows_tray: bool = False
    model: str = ""
    geometry: str = ""


class Settings(QObject):
    """Holds the choices and keeps them in a file."""

    changed = Signal(object)  # Choices

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._lock = threading.Lock()
        self.choices = read(path)

    @property
    def folder(self) -> Path:
        """Where the app keeps what is its own."""
        return self._path.parent

    def reset(self) -> None:
        """Forget every choice, as if the app were new."""
        self.change(**asdict(Choices()))

    def change(self, **values: Any) -> None:
        """Set some choices; they are written soon."""
        choices = replace(self.choices, **values)
        if choices == self.choices:
            return
        self.choices = choices
        # Not a daemon thread: the process waits until it is on disk.
        threading.Thread(target=self._write, args=(choices,), name="settings").start()
        self.changed.emit(choices)

    def _write(self, choices: Choices) -> None:
        with self._lock:
            if choices is not self.choices:  # a newer one comes
                return
            with contextlib.suppress(OSError):
                write(self._path, choices)


def read(path: Path) -> Choices:
    """Return the choices in a file; what cannot be read falls to the defaults."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return Choices()
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        return Choices()
    defaults = asdict(Choices())
    known = {
        f.name: value[f.name]
        for f in fields(Choices)
        if f.name in value and type(value[f.name]) is type(defaults[f.name])
    }
    return Choices(**known)


def write(path: Path, choices: Choices) -> None:
    """Write the choices at once; may raise ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(json.dumps({"format": FORMAT, **asdict(choices)}, indent=1))
    temporary.replace(path)
