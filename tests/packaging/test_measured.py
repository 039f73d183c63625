"""Figures in the docs are those of the results; a table is made of whatever results there are."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_spec = importlib.util.spec_from_file_location("measured", ROOT / "packaging" / "measured.py")
assert _spec is not None and _spec.loader is not None
measured = importlib.util.module_from_spec(_spec)

sys.modules["measured"] = measured  # a dataclass looks its module up
_spec.loader.exec_module(measured)


def test_the_figures_in_the_docs_are_current():
    assert measured.stale() == [], "run: make docs"


def test_every_result_against_another_server_has_its_rows():
    results = measured.read()
    compared = {name for name, one in results.items() if "llama-server" in str(one.get("servers"))}
    assert {row.source for row in measured.rows(results)} == compared


def test_a_row_tells_medians_and_the_interval():
    load = {
        "n_streams": 4,
        "n_requests": 4,
        "runs": {
            "corral": [{"tokens_per_s": x, "n_prompt": 80} for x in (90.0, 120.4, 130.0)],
            "llama-server": [{"tokens_per_s": x, "n_prompt": 80} for x in (99.0, 100.0, 101.0)],
        },
        "ratio": {"tokens_per_s": {"median": 1.204, "low": 0.9, "high": 1.3}},
    }
    (row,) = measured.rows({"serve": {"workloads": [load]}})
    assert (row.ours, row.theirs) == ("120 tokens/s", "100 tokens/s")
    assert row.ratio == "1.20 (0.90 to 1.30)"


def test_a_readme_without_a_place_for_the_table_is_refused(tmp_path):
    (tmp_path / "README.md").write_text("# no figures\n")
    with pytest.raises(ValueError, match=r"README\.md has no place"):
        measured.written(tmp_path / "README.md", {})


def test_only_the_table_of_a_readme_is_replaced(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{measured.BEGIN}\nold\n{measured.END}\nafter\n")
    text = measured.written(readme, {})
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
