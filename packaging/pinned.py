"""What ``constraints.txt`` pins: print the lines of some packages, or check the whole file.

    python packaging/pinned.py uv           the requirement lines of uv, hashes included
    python packaging/pinned.py --check      does the file hold all that pyproject.toml asks for?

Runs before anything is installed, so it needs the standard library alone.  The check is offline:
it compares the file with ``pyproject.toml`` and with what is installed beside the interpreter.
"""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: Installed without a pin: ourselves, and what comes with a new virtual environment.
UNPINNED = {"corral", "pip", "setuptools"}

HOW_TO_MEND = "run: make constraints"


@dataclass(frozen=True, slots=True)
class Pin:
    """One version of one package, as ``constraints.txt`` has it.

    Attributes:
        name: Normalized: lower case, runs of ``-_.`` are one ``-``.
        version: After the ``==``.
        marker: Where it holds; empty: everywhere.
        n_hashes: SHA-256 sums of its files.
        text: Its lines, ending in a newline.
    """

    name: str
    version: str
    marker: str
    n_hashes: int
    text: str


def normalize(name: str) -> str:
    """Return ``name`` as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_pins(text: str) -> list[Pin]:
    """Return the pins in ``text``, in its order.

    Raises:
        ValueError: A line is neither a comment nor an exact pin; the message shows it.
    """
    pins = []
    for block in re.findall(r"(?:.*\\\n)*.*\n?", text):
        words = block.replace("\\\n", " ").partition("#")[0]
        if not words.strip():
            continue
        requirement, *hashes = words.split("--hash=sha256:")
        head, _, marker = requirement.partition(";")
        name, exact, version = head.partition("==")
        if not exact or not re.fullmatch(r"[A-Za-z0-9._-]+", name.strip()):
            raise ValueError(f"not an exact pin: {words.strip()[:80]}")
        text = block if block.endswith("\n") else block + "\n"
        pins.append(
            Pin(normalize(name.strip()), version.strip(), marker.strip(), len(hashes), text)
        )
    return pins


def lines_of(pins: list[Pin], names: list[str]) -> str:
    """Return the lines of the packages named, for ``pip install --require-hashes -r``.

    Raises:
        KeyError: One has no pin.
    """
    wanted = [normalize(name) for name in names]
    for name in wanted:
        if not any(pin.name == name for pin in pins):
            raise KeyError(name)
    return "".join(pin.text for pin in pins if pin.name in wanted)


def asked_for(project: dict[str, object]) -> set[str]:
    """Return what ``pyproject.toml`` names: dependencies, extras, groups, build backend."""
    tables: dict[str, object] = {
        **_table(project, "dependency-groups"),
        **_table(_table(project, "project"), "optional-dependencies"),
        "dependencies": _table(project, "project").get("dependencies"),
        "requires": _table(project, "build-system").get("requires"),
    }
    names = set()
    for requirements in tables.values():
        for requirement in requirements if isinstance(requirements, list) else []:
            if isinstance(requirement, str):  # else a table: another group, included
                names.add(normalize(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]))
    return names


def _table(project: dict[str, object], key: str) -> dict[str, object]:
    found = project.get(key)
    return found if isinstance(found, dict) else {}


def faults(pins: list[Pin], text: str, wanted: set[str], installed: dict[str, str]) -> list[str]:
    """Return what is wrong with the constraints, one sentence each.

    Args:
        pins: What ``text`` was parsed to.
        text: The file.
        wanted: Packages that must be pinned.
        installed: Version of each package that is installed.
    """
    versions: dict[str, set[str]] = {}
    for pin in pins:
        versions.setdefault(pin.name, set()).add(pin.version)
    found = [
        f"{name} is in pyproject.toml, but not pinned" for name in sorted(wanted - {*versions})
    ]
    found += [f"{pin.name}=={pin.version} has no hash" for pin in pins if not pin.n_hashes]
    if "://" in text or "--index" in text or "--find-links" in text:
        found.append("a download address stands in the file; pins and hashes must be enough")
    for name, version in sorted(installed.items()):
        if name not in UNPINNED and version not in versions.get(name, set()):
            pinned = ", ".join(sorted(versions.get(name, set()))) or "nothing"
            found.append(f"{name} {version} is installed, but {pinned} is pinned")
    return found


def main(arguments: list[str]) -> int:
    """Print or check; returns the exit code."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    try:
        pins = parse_pins(text)
        if arguments != ["--check"]:
            sys.stdout.write(lines_of(pins, arguments))
            return 0
    except (ValueError, KeyError) as error:
        print(f"constraints.txt: {error}; {HOW_TO_MEND}", file=sys.stderr)
        return 1
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    installed = {normalize(item.name): item.version for item in distributions()}
    found = faults(pins, text, asked_for(project), installed)
    for fault in found:
        print(f"constraints.txt: {fault}", file=sys.stderr)
    if found:
        print(HOW_TO_MEND, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
