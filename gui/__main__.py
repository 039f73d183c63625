"""What ``corral-app`` and ``python -m gui`` run: the app, or a word about what it lacks."""

from __future__ import annotations

import re
import sys

#: What the extra ``gui`` of the package brings: by the names under which it is imported.
_EXTRA = {"PySide6", "shiboken6", "markdown_it", "pygments"}
#: What Qt needs of the system, as Debian and Ubuntu name it.
_SYSTEM = "libegl1 libgl1 libxkbcommon0 libdbus-1-3 libfontconfig1 libxcb-cursor0"


def entry() -> None:
    """Run the app; where what it is made of is not installed, say so and end with 1."""
    try:
        from gui.app import main
    except ImportError as error:
        if not (words := lacks(error)):
            raise
        print(f"error: {words}", file=sys.stderr)  # noqa: T201 - the reader is a person
        sys.exit(1)
    sys.exit(main(sys.argv))


def lacks(error: ImportError) -> str:
    """Return what is not installed and what helps; empty: the error says nothing of the kind."""
    if (error.name or "").partition(".")[0] in _EXTRA and isinstance(error, ModuleNotFoundError):
        return (
            f"the desktop app needs {error.name}, which is not installed\n"
            "  in a checkout: make gui; else install Corral with its extra: corral[gui]"
        )
    if library := re.match(r"(lib[\w.+-]+): cannot open shared object file", str(error)):
        return (
            f"the desktop app needs {library[1]} of this system, which is not there\n"
            f"  on Debian and Ubuntu: apt install {_SYSTEM}"
        )
    return ""


if __name__ == "__main__":
    entry()
