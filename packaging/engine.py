"""Builds the engine of a package: llama.cpp for every level of processor, chosen when it starts.

    python packaging/engine.py FOLDER [--source LLAMA_CPP]

The libraries go to ``FOLDER/lib``.  The source is that of the pinned llama-cpp-python, whose
bindings must fit; ``--source`` names one that is unpacked already.  About 10 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from bench.build_llama_server import fetch, own_flags  # noqa: E402

BIN = Path(sys.executable).parent

#: llama.cpp's ``docs/build.md``: one library for each kind of device, in a file of its own, and of
#: the processor's one for each level.  They find each other where they stand.
FLAGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=ON",
    "-DGGML_NATIVE=OFF",
    "-DGGML_BACKEND_DL=ON",
    "-DGGML_CPU_ALL_VARIANTS=ON",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_SERVER=OFF",
    "-DLLAMA_BUILD_TOOLS=ON",  # mtmd is one of them
    "-DCMAKE_INSTALL_RPATH=$ORIGIN",
    "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON",
)
#: What the compiler's own run-time libraries are called, which an older system may lack.
RUNTIMES = ("libgomp.so.1", "libstdc++.so.6", "libgcc_s.so.1")


def build(source: Path, folder: Path) -> Path:
    """Compile; returns the folder with the libraries.  What is there already is not made again."""
    tree = folder / "build"
    cmake = shutil.which("cmake", path=f"{BIN}{os.pathsep}{os.environ['PATH']}") or "cmake"
    environ = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    arguments = ["-S", str(source), "-B", str(tree), "-G", "Ninja", *FLAGS, *own_flags()]
    subprocess.run([cmake, *arguments], check=True, env=environ)
    subprocess.run((cmake, "--build", tree, "--target", "llama", "mtmd"), check=True, env=environ)
    return collect(tree / "bin", folder / "lib")


def collect(built: Path, target: Path) -> Path:
    """Copy the libraries without their symbols, and the compiler's beside them."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(
        built, target, symlinks=True, ignore=lambda _, names: [n for n in names if ".so" not in n]
    )
    for library in target.iterdir():
        if not library.is_symlink():
            subprocess.run(("strip", "--strip-unneeded", library), check=True)
    for name in RUNTIMES:
        if found := _of_compiler(name):
            shutil.copyfile(found, target / name)
    return target


def _of_compiler(name: str) -> Path | None:
    asked = (os.environ.get("CXX", "c++"), f"-print-file-name={name}")
    path = Path(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip())
    return path.resolve() if path.is_absolute() and path.exists() else None


def main(arguments: Sequence[str]) -> int:
    """Fetch and build; returns the exit code."""
    parser = argparse.ArgumentParser(description="Build llama.cpp for every level of processor.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--source", type=Path, help="llama.cpp, unpacked")
    asked = parser.parse_args(arguments)
    folder = asked.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        print(build(asked.source or fetch(folder), folder))
    except subprocess.CalledProcessError as error:
        print(f"error: {Path(str(error.cmd[0])).name} failed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
