"""Builds llama.cpp anew, for a graphics card: ``make gpu BACKEND=vulkan``.

The pinned source of llama-cpp-python, checked against its hash, with more options; it takes the
place of the build that ``.venv`` has.  What is missing on the machine is said before it begins.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Backend:
    """One way to build the engine.

    Attributes:
        flags: CMake's options, beside those of ``pyproject.toml``.
        compiler: A program that must be there; empty: none.
        comes_with: What brings that program.
    """

    flags: tuple[str, ...]
    compiler: str = ""
    comes_with: str = ""


#: llama.cpp's own names for them: ``docs/build.md`` in its source.
BACKENDS = {
    "cpu": Backend(()),
    "cuda": Backend(("-DGGML_CUDA=ON",), "nvcc", "the CUDA toolkit (Debian: nvidia-cuda-toolkit)"),
    "vulkan": Backend(
        ("-DGGML_VULKAN=ON",), "glslc", "the Vulkan SDK (Debian: libvulkan-dev glslc)"
    ),
    "rocm": Backend(("-DGGML_HIP=ON",), "hipcc", "ROCm (AMD's repository: rocm-hip-sdk)"),
    "metal": Backend(
        ("-DGGML_METAL=ON",), "xcrun", "the command line tools (xcode-select --install)"
    ),
}


def fault(
    name: str, which: Callable[[str], str | None] = shutil.which, system: str = sys.platform
) -> str:
    """Return why the engine cannot be built so on this machine; empty when it can."""
    backend = BACKENDS.get(name)
    if backend is None:
        given = f"not '{name}'" if name else "and none was given"
        return f"BACKEND is one of {', '.join(BACKENDS)}, {given}; say: make gpu BACKEND=vulkan"
    if name == "metal" and system != "darwin":
        return "Metal is on Apple's machines only"
    if backend.compiler and which(backend.compiler) is None:
        return f"{backend.compiler} is not there: install {backend.comes_with}"
    return ""


def command(name: str) -> list[str]:
    """Return the command that builds and installs the engine.

    uv keeps builds with different options apart, so going back to one costs no compilation.
    """
    settings = [f"cmake.args={';'.join(BACKENDS[name].flags)}"] if BACKENDS[name].flags else []
    pinned = ("--constraint", "constraints.txt", "--build-constraint", "constraints.txt")
    return [
        *(str(BIN / "uv"), "pip", "install", "--python", sys.executable, *pinned, "--no-deps"),
        *("--reinstall-package", "llama-cpp-python", "--no-binary", "llama-cpp-python"),
        *(word for setting in settings for word in ("--config-settings", setting)),
        "llama-cpp-python",
    ]


def main(arguments: Sequence[str]) -> int:
    """Build, and let the doctor say what came of it; returns the exit code."""
    name = arguments[0] if arguments else ""
    if reason := fault(name):
        print(f"error: {reason}", file=sys.stderr)
        return 1
    print(f"corral: building llama.cpp for {name}, which takes 5 to 30 minutes", file=sys.stderr)
    if code := subprocess.run(command(name), cwd=ROOT, env=os.environ).returncode:
        print("error: it was not built; the one before is still in place", file=sys.stderr)
        return code
    return subprocess.run([BIN / "corral", "doctor"], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
