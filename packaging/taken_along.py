"""What a frozen bundle took along from the system that built it: what goes, and whose the rest is.

``packaging/bundle.py`` calls ``leave_out_gtk`` and ``copy_texts``.  Which libraries PyInstaller
takes depends on that system; their licences are asked of its package manager, dpkg.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Collection, Iterable, Mapping
from importlib.metadata import distribution
from pathlib import Path

#: Qt's bridge to GTK's look: the app has a look of its own, and GTK is two dozen libraries.
GTK = "libqgtk3.so"
#: Where Debian keeps the licences that the copyright files of packages only name.
COMMON = Path("/usr/share/common-licenses")
DOCS = Path("/usr/share/doc")

_LOADER = "COPYING.txt"  # of PyInstaller's own loader
_NEEDED = re.compile(r"\(NEEDED\).*\[(.+)\]")


def leave_out_gtk(internal: Path) -> list[str]:
    """Remove the bridge to GTK and what only that needs; returns the names of the files."""
    files = [path for path in internal.rglob("*.so*") if path.is_file() or path.is_symlink()]
    gone = only_for(GTK, {path.name: _needed(path) for path in files if not path.is_symlink()})
    for path in files:
        if path.name in gone:
            path.unlink()
    return sorted(gone)


def only_for(library: str, needs: Mapping[str, Collection[str]]) -> set[str]:
    """Return ``library`` and what nothing needs but it, directly or not; pure.

    Args:
        library: The name of a file; one that ``needs`` has not gives nothing.
        needs: Of each file, the names of those it is linked to.
    """
    if library not in needs:
        return set()
    below = _closure([library], needs)
    kept = _closure([name for name in needs if name not in below], needs)
    return below - kept


def _closure(names: Iterable[str], needs: Mapping[str, Collection[str]]) -> set[str]:
    """Return ``names`` and all that they need, of the files that are there."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        if (name := waiting.pop()) in needs and name not in found:
            found.add(name)
            waiting += needs[name]
    return found


def _needed(library: Path) -> list[str]:
    done = subprocess.run(
        ("readelf", "--dynamic", "--wide", library), capture_output=True, text=True, check=False
    )
    return _NEEDED.findall(done.stdout)


def copy_texts(internal: Path, source: Path, folder: Path) -> list[str]:
    """Copy the licences of what is no Python package; returns whose were not found.

    Args:
        internal: The bundle's folder of libraries.
        source: llama.cpp's.
        folder: Where the texts go, in a folder for each owner.
    """
    loose = {path.name for path in internal.glob("lib*.so*") if not path.is_symlink()}
    loose = {name for name in loose if not name.startswith("libpython")}
    owner = owners(loose)
    loader = [file for file in distribution("pyinstaller").files or () if file.name == _LOADER]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    texts = {
        "llama.cpp": [source / "LICENSE", *(source / "licenses").glob("*")],
        "python": [
            Path(sysconfig.get_path("stdlib")) / "LICENSE.txt",
            DOCS / version / "copyright",
        ],
        "pyinstaller": [Path(str(file.locate())) for file in loader],
        # Of Qt, and of those whose papers only name them.
        "common": list(COMMON.glob("*")),
        **{f"system/{package}": [DOCS / package / "copyright"] for package in owner.values()},
    }
    lost = [name for name, files in texts.items() if not _copy(files, folder / name)]
    return sorted([*lost, *(loose - set(owner))])


def owners(names: Collection[str]) -> dict[str, str]:
    """Return, of libraries that the system has, the Debian package that each is from."""
    if not names or not shutil.which("dpkg-query"):
        return {}
    patterns = [f"*/{name}" for name in sorted(names)]
    done = subprocess.run(
        ["dpkg-query", "--search", *patterns], capture_output=True, text=True, check=False
    )
    found: dict[str, str] = {}
    for line in done.stdout.splitlines():
        package, _, path = line.partition(": ")
        if package.startswith("diversion by"):
            continue
        found.setdefault(Path(path).name, package.partition(":")[0].partition(",")[0])
    return {name: package for name, package in found.items() if name in names}


def _copy(files: Iterable[Path], folder: Path) -> bool:
    """Copy those that are there; returns whether any is."""
    there = [file for file in files if file.is_file()]
    for file in there:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / file.name)
    return bool(there)


def tell(unknown: Collection[str]) -> None:
    """Say of which libraries no licence was found, on a system without dpkg of all."""
    if unknown:
        print(f"no licence was found for: {', '.join(sorted(unknown))}", file=sys.stderr)
