"""The pins: read, printed and checked without a network."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

ROOT = Path(__file__).parents[2]
HASH = "0123456789abcdef" * 4

_spec = importlib.util.spec_from_file_location("pinned", ROOT / "packaging" / "pinned.py")
assert _spec is not None and _spec.loader is not None
pinned = importlib.util.module_from_spec(_spec)
sys.modules["pinned"] = pinned  # dataclasses look their module up
_spec.loader.exec_module(pinned)

names = st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,3})?", fullmatch=True)
versions = st.from_regex(r"[0-9]{1,2}(\.[0-9]{1,2}){0,2}", fullmatch=True)


def block(name: str, version: str, marker: str = "", n_hashes: int = 2) -> str:
    head = f"{name}=={version}" + (f" ; {marker}" if marker else "")
    return " \\\n    ".join([head, *[f"--hash=sha256:{HASH}"] * n_hashes]) + "\n"


def faults(text: str, wanted=frozenset(), installed=()) -> list[str]:
    return pinned.faults(pinned.parse_pins(text), text, set(wanted), dict(installed))


@given(st.lists(st.tuples(names, versions, st.integers(0, 3)), max_size=6))
def test_a_file_of_pins_is_read_whole(wanted):
    text = "".join(block(name, version, n_hashes=n) for name, version, n in wanted)
    pins = pinned.parse_pins("# a comment\n\n" + text)
    assert [(pin.name, pin.version, pin.n_hashes) for pin in pins] == wanted
    assert "".join(pin.text for pin in pins) == text


def test_a_package_with_a_version_for_each_python_gives_both():
    older = block("numpy", "1.0", "python_full_version < '3.12'")
    newer = block("numpy", "2.0", "python_full_version >= '3.12'")
    pins = pinned.parse_pins(older + block("uv", "3") + newer)
    assert pinned.lines_of(pins, ["NumPy"]) == older + newer
    assert not faults(older + newer, {"numpy"}, {"numpy": "1.0"})


@pytest.mark.parametrize("line", ["numpy>=2", "-r other.txt", "uv @ file:///uv.whl", "--no-index"])
def test_what_is_not_an_exact_pin_is_refused(line):
    with pytest.raises(ValueError, match="not an exact pin"):
        pinned.parse_pins(line + "\n")


def test_each_fault_is_named():
    text = block("bare", "1", n_hashes=0) + block("old", "1") + "# from https://somewhere\n"
    assert faults(text, {"old", "absent"}, {"old": "2", "stray": "5", "pip": "1"}) == [
        "absent is in pyproject.toml, but not pinned",
        "bare==1 has no hash",
        "a download address stands in the file; pins and hashes must be enough",
        "old 2 is installed, but 1 is pinned",
        "stray 5 is installed, but nothing is pinned",
    ]


def test_a_missing_pin_is_said_by_name():
    with pytest.raises(KeyError, match="nothing-here"):
        pinned.lines_of([], ["Nothing_Here"])


def test_all_that_the_project_names_is_asked_for():
    project = tomllib.loads(
        """
        build-system.requires = ["hatchling>=1"]
        project.dependencies = ["Jinja2", "msgspec[toml]>=0.1; python_version > '3'"]
        project.optional-dependencies.gui = ["PySide6-Essentials>=6"]
        dependency-groups.test = ["pytest", {include-group = "check"}]
        """
    )
    assert pinned.asked_for(project) == {
        "hatchling",
        "jinja2",
        "msgspec",
        "pyside6-essentials",
        "pytest",
    }
