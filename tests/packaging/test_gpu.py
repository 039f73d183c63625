"""Building for a card: what is missing is said first, and only pinned sources are built."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_spec = importlib.util.spec_from_file_location("gpu", ROOT / "packaging" / "gpu.py")
assert _spec is not None and _spec.loader is not None
gpu = importlib.util.module_from_spec(_spec)
sys.modules["gpu"] = gpu  # a dataclass looks its module up
_spec.loader.exec_module(gpu)


@pytest.mark.parametrize(
    ("name", "there", "system", "said"),
    [
        ("vulkan", {"glslc"}, "linux", ""),
        ("vulkan", set(), "linux", "glslc is not there: install the Vulkan SDK"),
        ("cuda", {"gcc"}, "linux", "nvcc is not there"),
        ("metal", {"xcrun"}, "linux", "on Apple's machines only"),
        ("metal", {"xcrun"}, "darwin", ""),
        ("cpu", set(), "linux", ""),
        ("", set(), "linux", "and none was given"),
        ("opencl", set(), "linux", "not 'opencl'"),
    ],
)
def test_what_is_missing_is_said_first(name, there, system, said):
    told = gpu.fault(name, lambda word: word if word in there else None, system)
    assert said in told and bool(told) == bool(said)


@pytest.mark.parametrize("name", gpu.BACKENDS)
def test_a_build_is_pinned_and_takes_the_place_of_the_one_before(name):
    words = gpu.command(name)
    assert words[words.index("--constraint") + 1] == "constraints.txt"
    assert "--build-constraint" in words and "--reinstall-package" in words
    flags = [word for word in words if word.startswith("cmake.args=")]
    assert flags == ([f"cmake.args={';'.join(gpu.BACKENDS[name].flags)}"] if name != "cpu" else [])


def test_the_guide_and_the_doctor_name_the_same_options():
    from runner.workers.graphics import _FLAGS

    guide = (ROOT / "docs" / "guides" / "gpu.md").read_text(encoding="utf-8")
    for backend in gpu.BACKENDS.values():
        for flag in backend.flags:
            assert flag.lower() in guide.lower()
    ours = {flag.lower() for backend in gpu.BACKENDS.values() for flag in backend.flags}
    assert {flag.lower() for flag in _FLAGS.values()} <= ours


def test_an_unknown_backend_builds_nothing(capsys):
    assert gpu.main(["opencl"]) == 1
    assert capsys.readouterr().err.startswith("error: BACKEND is one of cpu, cuda")
