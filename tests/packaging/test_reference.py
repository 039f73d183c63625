"""The reference pages are those that the code makes, and say something of everything."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from runner.cli.main import COMMANDS
from runner.config import SETTING_SPECS
from runner.server.app import ROUTES

ROOT = Path(__file__).parents[2]

_spec = importlib.util.spec_from_file_location("reference", ROOT / "packaging" / "reference.py")
assert _spec is not None and _spec.loader is not None
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)


def test_the_pages_are_current():
    assert reference.stale() == [], "run: make docs"


def test_every_error_has_a_step_and_no_step_is_about_another():
    codes = {cls.code for cls in reference._tree(reference.CorralError)}
    assert codes - set(reference.STEPS) == set(), "say in STEPS what helps against these"
    assert set(reference.STEPS) <= codes


def test_every_error_is_in_the_guide_to_what_does_not_work():
    codes = {cls.code for cls in reference._tree(reference.CorralError)}
    guide = (ROOT / "docs" / "guides" / "troubleshooting.md").read_text(encoding="utf-8")
    assert {code for code in codes if f"`{code}`" not in guide} == set()


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (reference.settings_page, [spec.env for spec in SETTING_SPECS.values()]),
        (reference.cli_page, [f"## `corral {name}`" for name in COMMANDS]),
        (reference.api_page, [route.path.replace(":.+", "") for t in ROUTES for route in t]),
    ],
    ids=["settings", "commands", "calls"],
)
def test_nothing_is_left_out(page, words):
    text = page()
    assert [word for word in words if word not in text] == []


def test_a_stale_page_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    (tmp_path / "cli.md").write_text("of last year")
    assert reference.main(["--check"]) == 1
    assert "docs/reference/cli.md is stale" in capsys.readouterr().err


def test_a_pipe_in_a_cell_does_not_end_it():
    for page in reference.PAGES.values():
        tables = [line for line in page().splitlines() if line.startswith("| ")]
        widths = {line.replace("\\|", "").count("|") for line in tables}
        assert widths <= {3, 5, 6}, widths
