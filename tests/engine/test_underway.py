"""What becomes of requests while they are prepared."""

from __future__ import annotations

from hypothesis import given, strategies as st

from runner.engine.underway import Fate, Underway


@given(st.lists(st.tuples(st.sampled_from(["abort", "end"]), st.sampled_from("ab"))))
def test_an_end_that_was_said_is_not_said_again(calls):
    """And what happens to one request is nothing to the other."""
    underway = Underway()
    underway.add("a")
    for what, name in calls:
        getattr(underway, what)(name)
    fate = Fate.GOES_ON
    if ("abort", "a") in calls:
        fate = Fate.ABORTED
    if ("end", "a") in calls:
        fate = Fate.OVER
    assert len(underway) == 1
    assert underway.arrive("a") is fate
    assert len(underway) == 0


def test_one_that_is_not_here_cannot_be_ended():
    underway = Underway()
    assert not underway.end("a")
    underway.abort("a")
    underway.add("a")
    assert underway.end("a")
    assert underway.arrive("a") is Fate.OVER
    underway.add("a")
    assert underway.arrive("a") is Fate.GOES_ON
