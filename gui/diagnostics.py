"""What a report of a fault needs, in one text: versions, the machine, settings, the daemon's log.

No prompt and no answer is in it, since no log has any; tokens and passwords are removed, and the
user's own folder is written ``~``.  Blocking: called on the link's threads.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

import PySide6

import runner
from gui.machine import measure
from runner.client.launch import last_lines
from runner.paths import Paths

_N_LINES = 1000
#: What may be secret: anything named like it, hubs' and owners' tokens, credentials in addresses.
_SECRETS = (
    re.compile(
        r"(?i)((?:token(?!s)|secret|passw|api[_-]?key|authorization|bearer)\w*['\"]?"
        r"[ \t]*[=: \t][ \t]*)(?:\"[^\"\n]*\"|'[^'\n]*'|(?!bearer\b)[^\s'\",}]+)"
    ),
    re.compile(r"\b()(?:hf_|ms-|sk-)[A-Za-z0-9_-]{8,}"),
    re.compile(r"(://)[^\s/@]+(?=@)"),
)


def redacted(text: str, home: str = "") -> str:
    """Return ``text`` without secrets, and with ``home`` written ``~``."""
    for pattern in _SECRETS:
        text = pattern.sub(r"\1[removed]", text)
    return text.replace(home, "~") if len(home) > 1 else text


def report(paths: Paths, version: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return the whole report.

    Args:
        paths: Where the daemon's log and settings are.
        version: The daemon's; empty while it is not known.
        environ: Where settings are looked for.
    """
    machine = measure()
    settings = sorted(
        f"{name}={value}"
        for name, value in environ.items()
        if name.startswith(("CORRAL_", "OLLAMA_", "HF_", "MODELSCOPE_", "QT_"))
    )
    sections = (
        (
            "Versions",
            f"app {runner.__version__}\ndaemon {version or 'unknown'}\n"
            f"python {platform.python_version()}\nqt {PySide6.__version__}",
        ),
        (
            "Machine",
            f"{machine.system}\n{machine.processor}\n{machine.n_cores} cores\n"
            f"{machine.n_memory} bytes of memory, {machine.n_available} available",
        ),
        ("Environment", "\n".join(settings)),
        ("config.toml", _text_of(paths.config_file)),
        ("Log", "\n".join(last_lines(paths.daemon_log, _N_LINES))),
    )
    text = "\n\n".join(f"== {title} ==\n{body or '(nothing)'}" for title, body in sections)
    return redacted(text, str(Path.home())) + "\n"


def write_report(path: Path, paths: Paths, version: str) -> None:
    """Write the report to a file.

    Raises:
        OSError: It cannot be written there.
    """
    path.write_text(report(paths, version), encoding="utf-8")


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
