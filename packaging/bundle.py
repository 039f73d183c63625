"""Makes the frozen bundle, and on Debian's kin a package of it: ``make package``.

    python packaging/bundle.py [--engine FOLDER] [--out FOLDER]

``dist/corral-VERSION-linux-x86_64.tar.gz`` runs where it is unpacked; the ``.deb`` is the same in
its places.  Both hold Python, Qt, the engine for every level of processor and the starter model.
``--engine`` names libraries that ``packaging/engine.py`` has built; without it they are built.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for place in (ROOT, ROOT / "packaging"):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

import deb  # noqa: E402
import engine  # noqa: E402
import run_paths  # noqa: E402
import taken_along  # noqa: E402
import third_party  # noqa: E402

from bench.build_llama_server import fetch  # noqa: E402
from runner import __version__  # noqa: E402


def freeze(work: Path) -> Path:
    """Run PyInstaller; returns the bundle's folder, still without an engine."""
    spec = ROOT / "packaging" / "corral.spec"
    command = (sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN")
    folders = ("--distpath", str(work / "frozen"), "--workpath", str(work / "pyinstaller"))
    subprocess.run((*command, *folders, str(spec)), check=True, cwd=ROOT)
    return work / "frozen" / "corral"


def put_engine(bundle: Path, libraries: Path) -> None:
    """Put the engine where its bindings look for it."""
    target = bundle / "_internal" / "llama_cpp" / "lib"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(libraries, target, symlinks=True)
    for loose in (bundle / "_internal").glob("lib*"):  # taken along for the build that was there
        if loose.name.startswith(("libggml", "libllama", "libmtmd")):
            loose.unlink()


def put_papers(bundle: Path, source: Path) -> None:
    """Put licences and the first page beside the program; ``source`` is llama.cpp's."""
    texts = bundle / "licenses"
    third_party.copy_texts(texts)
    taken_along.tell(taken_along.copy_texts(bundle / "_internal", source, texts))
    for name in ("LICENSE", "README.md", "README.zh-CN.md", "THIRD_PARTY.md", "CHANGELOG.md"):
        shutil.copyfile(ROOT / name, bundle / name)


def check(bundle: Path) -> None:
    """Let the bundle say its version and find its engine.

    Raises:
        RuntimeError: It cannot; the message is what it said.
    """
    for words in (("--version",), ("_devices",)):
        command = [str(bundle / "corral"), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode or (words == ("_devices",) and '"name": "CPU"' not in done.stdout):
            raise RuntimeError(f"corral {words[0]}: {done.stdout}{done.stderr}")


def pack(bundle: Path, out: Path) -> Path:
    """Return the archive of the bundle."""
    kind = f"{platform.system().lower()}-{platform.machine().lower()}"
    target = out / f"corral-{__version__}-{kind}.tar.gz"
    with tarfile.open(target, "w:gz", compresslevel=6) as archive:
        archive.add(bundle, "corral", filter=_nobody)
    return target


def _nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who built it."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def main(arguments: Sequence[str]) -> int:
    """Make what can be made here; returns the exit code."""
    parser = argparse.ArgumentParser(description="Make the frozen bundle and the Debian package.")
    parser.add_argument("--engine", type=Path, help="libraries, built already")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    asked = parser.parse_args(arguments)
    work, out = ROOT / "build" / "package", asked.out.absolute()
    work.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    try:
        source = fetch(work)
        libraries = asked.engine or engine.build(source, work)
        bundle = freeze(work)
        taken_along.leave_out_gtk(bundle / "_internal")
        put_engine(bundle, libraries)
        run_paths.leave_out_foreign(bundle)
        put_papers(bundle, source)
        check(bundle)
        print(pack(bundle, out))
        if shutil.which("dpkg-deb"):
            print(deb.build(bundle, work / "deb", out))
        else:
            print("no Debian package: dpkg-deb is not there", file=sys.stderr)
    except subprocess.CalledProcessError as error:
        print(f"error: {Path(str(error.cmd[0])).name} failed", file=sys.stderr)
        return 1
    except RuntimeError as error:
        print(f"error: the bundle does not run: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
