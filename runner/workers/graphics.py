"""Which graphics cards this machine has, whatever the engine was built for, and how to build it."""

from __future__ import annotations

import contextlib
import importlib.util
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Collection, Sequence
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from pathlib import Path

#: PCI vendors that make graphics cards, in Linux's ``vendor`` files.
_VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
#: The kinds of device by whose name llama.cpp shows that it can use a vendor's cards.
_BACKENDS = {
    "NVIDIA": ("CUDA", "Vulkan"),
    "AMD": ("ROCm", "HIP", "Vulkan"),
    "Intel": ("SYCL", "Vulkan"),
    "Apple": ("Metal", "MTL"),
}
#: The files with which the engine can use them.
_FILES = {
    "NVIDIA": ("cuda", "vulkan"),
    "AMD": ("hip", "vulkan"),
    "Intel": ("sycl", "vulkan"),
    "Apple": ("metal",),
}
_FILE = re.compile(r"(?:lib)?ggml-([a-z]+)\.(?:so|dylib|dll)")
#: What ``make gpu`` calls the way for them.
_MADE_BY = {"NVIDIA": "cuda", "AMD": "vulkan", "Intel": "vulkan", "Apple": "metal"}
#: What builds the engine for them, best first.
_FLAGS = {
    "NVIDIA": "-DGGML_CUDA=on",
    "AMD": "-DGGML_VULKAN=on",
    "Intel": "-DGGML_VULKAN=on",
    "Apple": "-DGGML_METAL=on",
}
_NEEDS = {
    "NVIDIA": "the CUDA toolkit",
    "AMD": "the Vulkan SDK",
    "Intel": "the Vulkan SDK",
    "Apple": "the Xcode command line tools",
}


def vendors(drm: Path = Path("/sys/class/drm"), system: str = sys.platform) -> tuple[str, ...]:
    """Return who made this machine's graphics cards: ``NVIDIA``, ``AMD``, ``Intel``, ``Apple``."""
    found: set[str] = set()
    if system == "darwin" and platform.machine() == "arm64":
        found.add("Apple")
    for path in sorted(drm.glob("card*/device/vendor")) if drm.is_dir() else ():
        try:
            found.add(_VENDORS.get(path.read_text(encoding="ascii").strip(), ""))
        except (OSError, ValueError):
            continue
    if shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists():
        found.add("NVIDIA")
    return tuple(vendor for vendor in _FLAGS if vendor in found)


def built(folder: Path | None = None) -> frozenset[str]:
    """Return what the engine was built for, as its files say: ``{"cpu", "cuda"}``.

    Nothing is loaded for that, so that no driver of a card is, either.
    """
    if folder is None:
        spec = importlib.util.find_spec("llama_cpp")
        if spec is None or spec.origin is None:
            return frozenset()
        folder = Path(spec.origin).parent / "lib"
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return frozenset(found[1] for name in names if (found := _FILE.fullmatch(name)))


def usable(cards: Sequence[str], kinds: frozenset[str]) -> tuple[str, ...]:
    """Return the vendors in ``cards`` that an engine built for ``kinds`` can use; pure."""
    return tuple(vendor for vendor in cards if not kinds.isdisjoint(_FILES[vendor]))


def unused(cards: Sequence[str], devices: Collection[str]) -> tuple[str, ...]:
    """Return the vendors in ``cards`` that no device of the engine stands for; pure.

    Args:
        cards: As ``vendors`` returns them.
        devices: Names of the engine's devices: ``CPU``, ``CUDA0``.
    """
    return tuple(
        vendor
        for vendor in cards
        if not any(name.startswith(kind) for name in devices for kind in _BACKENDS[vendor])
    )


def build_command(vendor: str) -> str:
    """Return the command that builds the engine for a vendor's cards; pure.

    A frozen bundle cannot be built into: that goes in a checkout.
    """
    if getattr(sys, "frozen", False):
        return f"make gpu BACKEND={_MADE_BY[vendor]} (in a checkout of Corral)"
    return install_command(_FLAGS[vendor])


def install_command(flag: str = "", *, system: str = sys.platform) -> str:
    """Return the command that builds the engine again, into this Python and in this version; pure.

    Args:
        flag: CMake's, beside that with which all builds reach other machines' devices.
        system: Whose shell it is for; Windows' is PowerShell.
    """
    flags = f"{flag} -DGGML_RPC=ON".lstrip()
    package, version = "llama-cpp-python", ""
    with contextlib.suppress(PackageNotFoundError):
        version = f"=={metadata.version(package)}"
    install = (
        "-m pip install --force-reinstall --no-cache-dir --no-deps"
        f" --no-binary {package} {package}{version}"
    )
    if system == "win32":
        return f'$env:CMAKE_ARGS="{flags}"; & "{sys.executable}" {install}'
    python = shlex.quote(sys.executable)
    # What uv makes has no pip at first.
    pip_first = "" if importlib.util.find_spec("pip") else f"{python} -m ensurepip && "
    return f'{pip_first}CMAKE_ARGS="{flags}" {python} {install}'


def build_needs(vendor: str) -> str:
    """Return what must be installed before that."""
    return _NEEDS[vendor]
