"""Whether the app starts when its user logs in: the desktop's own entry for it, made and removed.

Linux: an entry in ``autostart`` (freedesktop.org, Desktop Application Autostart Specification);
macOS: a launch agent; Windows: a value under the user's ``Run`` key.  Blocking: called on the
link's threads.
"""

from __future__ import annotations

import os
import plistlib
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from PySide6.QtCore import QSettings

from runner.errors import StoreError

_NAME = "corral"
_RUN = r"HKEY_CURRENT_USER\Software\Microsoft\Windows\CurrentVersion\Run"


def command() -> list[str]:
    """Return what starts this app again, without a window."""
    if getattr(sys, "frozen", False):
        return [sys.executable, "--hidden"]
    return [sys.executable, "-m", "gui", "--hidden"]


def entry_file(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Return where the entry is; on Windows it is in no file."""
    home = Path(environ.get("HOME") or Path.home())
    if platform == "darwin":
        return home / "Library" / "LaunchAgents" / "app.corral.plist"
    config = environ.get("XDG_CONFIG_HOME", "")
    base = Path(config) if Path(config).is_absolute() else home / ".config"
    return base / "autostart" / f"{_NAME}.desktop"


def is_on() -> bool:
    """Return whether the app starts at login."""
    if sys.platform == "win32":
        return bool(_registry().value(_NAME))
    return entry_file().is_file()


def turn(is_wanted: bool) -> bool:
    """Make the entry or take it away; returns whether there is one now.

    Raises:
        StoreError: It cannot be written.
    """
    if sys.platform == "win32":
        registry = _registry()
        if is_wanted:
            registry.setValue(_NAME, " ".join(f'"{word}"' for word in command()))
        else:
            registry.remove(_NAME)
        return is_wanted
    file = entry_file()
    try:
        if is_wanted:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_content(sys.platform))
        else:
            file.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {file}: {error.strerror}") from None
    return is_wanted


def _content(platform: str) -> bytes:
    if platform == "darwin":
        return plistlib.dumps(
            {"Label": "app.corral", "ProgramArguments": command(), "RunAtLoad": True}
        )
    words = " ".join(_quoted(word) for word in command())
    return (
        "[Desktop Entry]\nType=Application\nName=Corral\n"
        f"Comment=Run language models on this computer\nExec={words}\nIcon=corral\n"
        "Terminal=false\nX-GNOME-Autostart-enabled=true\n"
    ).encode()


def _quoted(word: str) -> str:
    """A word of ``Exec``: quoted like a shell's, and a percent sign stands for itself."""
    safe = word.replace("%", "%%")
    if shlex.quote(word) == word:
        return safe
    for special in ("\\", '"', "`", "$"):
        safe = safe.replace(special, f"\\{special}")
    # The file's own escapes come on top (Desktop Entry Specification, "The Exec key").
    return '"' + safe.replace("\\", "\\\\") + '"'


def _registry() -> QSettings:
    return QSettings(_RUN, QSettings.Format.NativeFormat)
