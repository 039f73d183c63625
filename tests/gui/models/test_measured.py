"""What was measured of a model, as bars and words."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, strategies as st

from gui.models.measured import (
    history_bars,
    moment,
    quality_bars,
    quality_text,
    speed_bars,
    speed_text,
)
from tests.fakes.making import BENCH, QUALITY


def test_a_model_that_nobody_measured_says_so():
    assert speed_text([]) == quality_text([]) == "Not measured yet."
    assert speed_bars([]) == history_bars([]) == quality_bars([]) == []


def test_the_latest_speed_is_told_by_how_it_was_measured():
    assert "2 threads, loaded in 0.5 s" in speed_text([BENCH])
    bars = speed_bars([BENCH])
    assert [bar.name for bar in bars] == ["1 at once, after 0 tokens", "4 at once, after 0 tokens"]
    assert [bar.text for bar in bars] == ["20.2", "60.0"]


@given(st.lists(st.integers(2001, 2099), max_size=12))
def test_the_history_runs_from_the_oldest_to_the_latest(years):
    reports = [replace(BENCH, time=f"{year}-01-02T03:04:05+00:00") for year in years]
    shown = [bar.name for bar in history_bars(reports)]
    wanted = [moment(one.time) for one in reversed(reports[:8])]
    assert shown == (wanted if len(reports) > 1 else [])


def test_a_report_without_points_is_left_out_of_the_history():
    assert history_bars([BENCH, replace(BENCH, rows=())]) == []


def test_quality_is_told_beside_that_of_the_source():
    text = quality_text([QUALITY])
    assert "Perplexity 12.50 over 510 tokens" in text
    assert "divergence from tiny:f16: 0.0100" in text and "96.0%" in text
    assert [bar.amount for bar in quality_bars([QUALITY])] == [12.5, 12.25]
    alone = replace(QUALITY, source="", source_perplexity=None, kld_mean=None, top_1=None)
    assert quality_text([alone]) == "Perplexity 12.50 over 510 tokens; lower is better"
    assert len(quality_bars([alone])) == 1
