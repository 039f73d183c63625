"""Build ``llama-server`` from the very source that Corral's own llama.cpp was compiled from.

    python bench/build_llama_server.py FOLDER

The source distribution of llama-cpp-python, at the pinned version and checked against its hash,
carries llama.cpp whole; it is built with the options of ``pyproject.toml`` and the server beside
them.  About five minutes on 2 cores.  The last line printed is the path of the binary.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PACKAGE = "llama-cpp-python"

#: The server, without what a benchmark on loopback has no use for.
SERVER_FLAGS = ("-DLLAMA_BUILD_SERVER=ON", "-DLLAMA_CURL=OFF", "-DLLAMA_OPENSSL=OFF")


def fetch(folder: Path) -> Path:
    """Download and unpack the pinned source distribution; returns llama.cpp's folder."""
    pins = folder / "pinned.txt"
    found = subprocess.run(
        [sys.executable, ROOT / "packaging" / "pinned.py", PACKAGE],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    pins.write_text(found.stdout, encoding="utf-8")
    # The build backend is here already (dependency group `build`), so nothing is installed for
    # what pip does with a source distribution it only downloads: ask for its metadata.
    download = ("download", "--quiet", "--no-deps", "--no-binary", PACKAGE, "--no-build-isolation")
    subprocess.run(
        [sys.executable, "-m", "pip", *download, "--require-hashes", "-r", pins, "-d", folder],
        check=True,
    )
    archive = next(folder.glob("llama_cpp_python-*.tar.gz"))
    with tarfile.open(archive) as source:
        source.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz") / "vendor" / "llama.cpp"


def own_flags() -> list[str]:
    """Return the CMake options that Corral's llama.cpp is compiled with."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    variables = project["tool"]["uv"]["extra-build-variables"][PACKAGE]
    return str(variables["CMAKE_ARGS"]).split()


def build(source: Path) -> Path:
    """Compile the server; returns the binary."""
    target = source / "build"
    flags = ("-DCMAKE_BUILD_TYPE=Release", *own_flags(), *SERVER_FLAGS)
    cmake = BIN / "cmake"
    environ = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    generate = ("-S", str(source), "-B", str(target), "-G", "Ninja", *flags)
    subprocess.run([cmake, *generate], check=True, env=environ)
    subprocess.run((cmake, "--build", target, "--target", "llama-server"), check=True, env=environ)
    return target / "bin" / "llama-server"


def main(arguments: list[str]) -> int:
    """Fetch and build; returns the exit code."""
    if len(arguments) != 1:
        print(f"usage: {Path(sys.argv[0]).name} FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        print(build(fetch(folder)))
    except subprocess.CalledProcessError as error:
        print(f"error: {Path(str(error.cmd[0])).name} failed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
