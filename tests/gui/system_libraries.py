"""What Qt needs of the system, beside its own files: looked for before Qt is imported.

The wheel of Qt brings no graphics, keyboard, font and bus libraries; they are the system's, also
for the screen that is none.  A machine without them runs the other tests.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys

#: Library, and the package that has it on Debian and Ubuntu.
NEEDED = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libfontconfig.so.1": "libfontconfig1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libglib-2.0.so.0": "libglib2.0-0",
}


def reason_to_skip() -> str:
    """Return why Qt cannot be used here; empty: it can."""
    if importlib.util.find_spec("PySide6") is None:
        return "PySide6 is not installed; `make test` does it"
    if sys.platform != "linux":
        return ""
    missing = [name for name in NEEDED if not _is_there(name)]
    if not missing:
        return ""
    packages = " ".join(NEEDED[name] for name in missing)
    return f"Qt needs {', '.join(missing)} of the system; on Debian: apt install {packages}"


def _is_there(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


#: Why no test of the app can run here; empty: all can.
REASON = reason_to_skip()
