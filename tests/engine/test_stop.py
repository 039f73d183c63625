"""Stop strings: as if one had the whole text at once, however it arrives."""

import pytest
from hypothesis import given, strategies as st

from runner.engine.stop import StopMatcher

#: Few letters, so that stop strings overlap, nest and repeat.
TEXTS = st.text("abc\n", max_size=30)
STOPS = st.lists(st.text("abc\n", max_size=5), max_size=4)
CUTS = st.lists(st.integers(0, 30), max_size=10)


def chunks(text: str, cuts: list[int]) -> list[str]:
    at = sorted(min(cut, len(text)) for cut in cuts)
    return [text[start:end] for start, end in zip([0, *at], [*at, len(text)], strict=True)]


def naive(text: str, stops: list[str]) -> tuple[str, str | None]:
    """What is let through, and the stop string, by looking at each beginning of the text."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if stop and text[:end].endswith(stop)]
        if found:
            hit = max(found, key=len)
            return text[: end - len(hit)], hit
    return text, None


def stream(text: str, stops: list[str], cuts: list[int]) -> tuple[list[str], StopMatcher]:
    matcher = StopMatcher(stops)
    outputs = []
    for chunk in chunks(text, cuts):
        outputs.append(matcher.feed(chunk))
        if matcher.hit is not None:
            return outputs, matcher
    outputs.append(matcher.flush())
    return outputs, matcher


@given(TEXTS, STOPS, CUTS)
def test_any_cut_gives_what_the_whole_text_gives(text, stops, cuts):
    outputs, matcher = stream(text, stops, cuts)
    assert ("".join(outputs), matcher.hit) == naive(text, stops)


@given(TEXTS, STOPS, CUTS)
def test_no_stop_string_gets_out_even_in_pieces(text, stops, cuts):
    outputs, _ = stream(text, stops, cuts)
    assert not any(stop in "".join(outputs) for stop in stops if stop)


@given(TEXTS, STOPS, CUTS)
def test_no_more_is_held_back_than_a_stop_string_could_need(text, stops, cuts):
    matcher = StopMatcher(stops)
    n_in = n_out = 0
    for chunk in chunks(text, cuts):
        n_in += len(chunk)
        n_out += len(matcher.feed(chunk))
        if matcher.hit is not None:
            return
        held = text[n_out:n_in]
        assert held == "" or any(stop != held and stop.startswith(held) for stop in stops)


@given(TEXTS, st.lists(st.text("abc\n", min_size=1, max_size=5), min_size=1), CUTS)
def test_what_was_held_back_comes_out_once_at_the_end(text, stops, cuts):
    _, matcher = stream(text, stops, cuts)
    assert matcher.flush() == ""


@pytest.mark.parametrize(
    ("stops", "fed", "outputs", "hit"),
    [
        (["</s>"], ["a<", "/", "s", ">b"], ["a", "", "", ""], "</s>"),
        (["</s>"], ["a<", "/", "x"], ["a", "", "</x"], None),
        (["aab"], ["a", "a", "a", "b"], ["", "", "a", ""], "aab"),
        (["User:", "\n\n"], ["Hi\n", "\nUser:"], ["Hi", ""], "\n\n"),
        (["ab", "abc"], ["xabc"], ["x"], "ab"),
        (["bcd", "c"], ["abcd"], ["ab"], "c"),
        (["bc", "c"], ["abc"], ["a"], "bc"),
        (["", "b"], ["ab"], ["a"], "b"),
        (["é😀"], ["xé", "😀y"], ["x", ""], "é😀"),
        ([], ["a", "b"], ["a", "b"], None),
    ],
)
def test_pieces_come_out_as_soon_as_they_are_certain(stops, fed, outputs, hit):
    matcher = StopMatcher(stops)
    assert [matcher.feed(chunk) for chunk in fed] == outputs
    assert matcher.hit == hit
