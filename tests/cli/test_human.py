"""Sizes, counts and times in words."""

import math

import pytest
from hypothesis import given, strategies as st

from runner.cli import human


@pytest.mark.parametrize(
    ("n_bytes", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (1_240_000, "1.2 MB"),
        (91_727_456, "91 MB"),
        (2_000_000_000, "2 GB"),
        (1_990_000_000, "1.9 GB"),
        (42_400_000_000, "42 GB"),
        (3_200_000_000_000, "3.2 TB"),
    ],
)
def test_sizes_are_decimal_and_short(n_bytes, words):
    assert human.size(n_bytes) == words


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (7, "7"),
        (12_345, "12K"),
        (134_515_008, "134.52M"),
        (7_000_000_000, "7B"),
        (7_620_000_000, "7.6B"),
    ],
)
def test_counts_of_weights_read_as_models_are_named(n, words):
    assert human.count(n) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (150, "2 minutes"),
        (3600, "About an hour"),
        (7200, "2 hours"),
        (47 * 3600, "47 hours"),
        (49 * 3600, "2 days"),
        (13 * 86400, "13 days"),
        (15 * 86400, "2 weeks"),
        (70 * 86400, "2 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_distances_have_one_unit(seconds, words):
    assert human.distance(seconds) == words


def test_moments_are_told_from_now():
    assert human.ago(0, 100.0) == "Never"
    assert human.ago(90.0, 100.0) == "10 seconds ago"
    assert human.until(math.inf, 100.0) == "Forever"
    assert human.until(99.0, 100.0) == "Stopping..."
    assert human.until(340.0, 100.0) == "4 minutes from now"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0000125, "12.5µs"),
        (0.0812, "81.2ms"),
        (3.2514, "3.251s"),
        (125.3, "2m5.3s"),
        (3725.04, "1h2m5.0s"),
    ],
)
def test_measured_times_have_about_four_digits(seconds, words):
    assert human.span(seconds) == words


@given(st.floats(0, 1e12))
def test_a_remaining_time_keeps_to_its_column(seconds):
    assert len(human.clock(seconds)) <= 6


@given(st.integers(0, 10**15))
def test_a_size_keeps_to_its_column(n_bytes):
    assert len(human.size(n_bytes)) <= 7
