"""Reports: kept with the weights, in order, and never in the way of anything."""

from __future__ import annotations

import json

import pytest

from runner.domain.quality import BenchReport, QualityReport
from runner.errors import StoreError
from runner.store.reports import N_KEPT, Reports, folder_of, tidy
from tests.fakes.making import BENCH, QUALITY

KEY = "sha256:" + "ab" * 32


@pytest.fixture
def reports(tmp_path):
    return Reports(tmp_path / "models", "quality", QualityReport)


def file_of(reports, tmp_path):
    return folder_of(tmp_path / "models" / "reports", KEY) / "quality.json"


def test_what_was_added_comes_back_in_order(reports, tmp_path):
    assert reports.load(KEY) == ()
    reports.add(KEY, QUALITY)
    reports.add(KEY, QUALITY)
    assert reports.load(KEY) == (QUALITY, QUALITY)
    assert reports.load("sha256:" + "cd" * 32) == ()
    bench = Reports(tmp_path / "models", "bench", BenchReport)
    bench.add(KEY, BENCH)
    assert bench.load(KEY) == (BENCH,)
    stored = json.loads(file_of(reports, tmp_path).read_text())
    assert (stored["format"], stored["weights"]) == (1, KEY)


def test_the_oldest_go(reports):
    for _ in range(N_KEPT + 2):
        reports.add(KEY, QUALITY)
    assert len(reports.load(KEY)) == N_KEPT


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"format": 2, "reports": []}', "format 2"),
        (b'{"format": 1}', "damaged"),
        (b'{"format": 1, "reports": [{"time": 3}]}', "damaged"),
        (b"\xff", "damaged"),
        (b"[]", "format None"),
    ],
)
def test_a_file_that_is_not_known_is_left_as_it_is(reports, tmp_path, content, words):
    path = file_of(reports, tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=words):
        reports.load(KEY)
    with pytest.raises(StoreError, match=words):
        reports.add(KEY, QUALITY)
    assert path.read_bytes() == content


def test_reports_of_weights_that_are_gone_go_with_them(reports, tmp_path):
    other = "sha256:" + "cd" * 32
    reports.add(KEY, QUALITY)
    reports.add(other, QUALITY)
    tidy(tmp_path / "models", {KEY})
    assert reports.load(KEY) == (QUALITY,)
    assert not folder_of(tmp_path / "models" / "reports", other).exists()
