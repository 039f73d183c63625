"""Waits, limits and speeds: pure, on clocks of their own."""

from __future__ import annotations

import email.utils

import pytest
from hypothesis import given, strategies as st

from runner.domain.speed import parse_speed
from runner.hub.patience import Patience, retry_after_s
from runner.hub.throttle import Throttle


@given(n=st.integers(1, 10_000), luck=st.floats(0, 1))
def test_waits_grow_up_to_a_limit(n, luck):
    patience = Patience(first_s=0.5, most_s=30)
    assert 0.25 <= patience.wait_s(n, luck) <= 30
    assert patience.wait_s(n, luck) <= patience.wait_s(n + 1, luck)


@given(st.text(max_size=40))
def test_any_retry_after_is_a_wait_or_nothing(text):
    wait = retry_after_s(text, 0.0)
    assert wait is None or wait >= 0


def test_retry_after_may_be_seconds_or_a_date():
    date = email.utils.formatdate(1_700_000_090, usegmt=True)
    assert retry_after_s("7", 0.0) == 7
    assert retry_after_s(date, 1_700_000_000) == 90
    assert retry_after_s(date, 1_800_000_000) == 0
    assert retry_after_s(None, 0.0) is None
    assert retry_after_s("soon", 0.0) is None


@pytest.mark.parametrize(
    "text",
    [
        "Mon, 01 Jan 2020 00:00:00 +99999999999999999999",
        "Mon, 01 Jan 2020 00:00:00 -9999",
        "Mon, 01 Jan 99999 00:00:00 GMT",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 99 Foo 2020 99:99:99 GMT",
        "9" * 5000,
        "\u0663",
        "1e3",
        "\0",
    ],
)
def test_a_retry_after_of_no_use_is_no_error(text):
    wait = retry_after_s(text, 1_700_000_000.0)
    assert wait is None or 0 <= wait < 10**12


@given(
    rate=st.integers(1, 10**9),
    pieces=st.lists(st.integers(1, 10**7), min_size=1, max_size=50),
)
def test_a_limit_is_kept_over_any_pieces(rate, pieces):
    """Whoever waits as told gets no more than the rate and one burst allow."""
    now = 0.0
    throttle = Throttle(rate, clock=lambda: now)
    for n in pieces:
        now += throttle.take(n)
    assert sum(pieces) <= rate * (now + 0.25) * 1.000001 + 1


def test_a_limit_can_go_and_come():
    throttle = Throttle(10, clock=lambda: 0.0)
    assert throttle.take(100) > 9
    throttle.set_rate(0)
    assert throttle.take(10**9) == 0
    throttle.set_rate(100)
    assert throttle.take(100) == pytest.approx(1.0)
    assert throttle.piece_bytes(1 << 20) == 1024


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("5M", 5_000_000),
        ("500k", 500_000),
        ("1.5 MB/s", 1_500_000),
        ("2Mi", 2 << 20),
        ("1GiB", 1 << 30),
        ("1234", 1234),
        (0, 0),
        ("none", 0),
    ],
)
def test_a_speed_is_read_as_people_write_it(text, n):
    assert parse_speed(text) == n


@pytest.mark.parametrize("text", ["", "fast", "-5M", "5X", "5MM", "1e6", "\u0665M", "9" * 40])
def test_what_is_no_speed_is_refused(text):
    with pytest.raises(ValueError, match="want bytes a second"):
        parse_speed(text)
