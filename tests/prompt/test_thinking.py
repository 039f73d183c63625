"""Thoughts and answer, told apart at any split."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from runner.domain.event import TextDelta, ThinkingDelta
from runner.domain.request import Constraint
from runner.prompt.marks import marked
from runner.prompt.thinking import (
    FAMILIES,
    Markers,
    ThinkingSplitter,
    markers_of,
    opened_by,
    settled,
)

THINK = FAMILIES[0]


def split(pieces, markers=THINK, *, is_open=False):
    splitter = ThinkingSplitter(markers, is_open=is_open)
    events = [event for piece in pieces for event in splitter.feed(piece)] + splitter.end()
    assert all(event.text for event in events)
    thinking = "".join(e.text for e in events if isinstance(e, ThinkingDelta))
    return thinking, "".join(e.text for e in events if isinstance(e, TextDelta))


#: Whether the prompt opened the block, what came, thoughts, answer.
ANSWERS = [
    (False, "<think>\nhm\n</think>\n\nYes", "hm", "Yes"),
    (False, "\n<think>hm</think>Yes", "hm", "Yes"),
    (True, "hm\n\nhm </think> Yes ", "hm\n\nhm", "Yes "),
    (True, "<think>\nhm</think>Yes", "hm", "Yes"),
    (True, "\n</think>\n\nYes", "", "Yes"),
    (False, "<think></think>", "", ""),
    (False, "<think>cut of", "cut of", ""),
    (False, "<think>cut </thi", "cut </thi", ""),
    (True, "", "", ""),
    (False, "", "", ""),
    (False, " \n", "", " \n"),
    (False, "Yes <think>no</think>", "", "Yes <think>no</think>"),
    (False, "<thinker>", "", "<thinker>"),
    (False, "<thi", "", "<thi"),
    (False, "</think>Yes", "", "</think>Yes"),
    (False, "<think>a < b </ c </think >d</think>e</think>", "a < b </ c </think >d", "e</think>"),
    (False, "<think>one</think>\n<think>two</think>\nYes", "onetwo", "Yes"),
    (False, "<think><think><think>a</think>b", "<think>a", "b"),
]


@pytest.mark.parametrize(("is_open", "text", "thinking", "answer"), ANSWERS)
@pytest.mark.parametrize("markers", FAMILIES, ids=lambda markers: markers.open)
def test_an_answer_means_the_same_however_it_is_cut(is_open, text, thinking, answer, markers):
    def spelt(words: str) -> str:
        return words.replace(THINK.open, markers.open).replace(THINK.close, markers.close)

    text, meant = spelt(text), (spelt(thinking), spelt(answer))
    if markers is not THINK and text.endswith(("<thi", "</thi")):
        return  # only the beginning of the first family's markers
    if markers.is_lone and not is_open and text.startswith(markers.close):
        meant = "", text.removeprefix(markers.close)
    assert split([text], markers, is_open=is_open) == meant
    assert split(list(text), markers, is_open=is_open) == meant
    for at in range(len(text)):
        assert split([text[:at], text[at:]], markers, is_open=is_open) == meant


WORDS = st.lists(
    st.sampled_from(
        ["<think>", "</think>", "<thi", "nk>", "</", "think>", " ", "\n", "a", "\u00e9"]
    ),
    max_size=12,
).map("".join)


@given(text=WORDS, is_open=st.booleans())
def test_whole_and_byte_by_byte_are_the_same(text, is_open):
    assert split([text], is_open=is_open) == split(list(text), is_open=is_open)


@given(st.text())
def test_an_answer_without_thoughts_comes_out_unchanged(text):
    if not text.lstrip().startswith("<think>"):
        assert split([text]) == ("", text)


def test_the_family_is_in_the_template():
    assert markers_of("x <think> y") is THINK
    assert markers_of("{{ m.content.split('</think>') }}") is THINK
    assert markers_of("[THINK]") == Markers("[THINK]", "[/THINK]")
    assert markers_of("{{ messages }}") is None


@pytest.mark.parametrize(
    ("tail", "is_open"),
    [
        ("<|im_start|>assistant\n<think>\n", True),
        ("<think>", True),
        ("<think>\n\n</think>\n\n", False),
        ("", False),
    ],
)
def test_the_end_of_the_prompt_says_whether_a_block_is_open(tail, is_open):
    assert opened_by(tail, THINK) is is_open


@pytest.mark.parametrize(
    ("after", "tail", "think", "waits", "opening"),
    [
        ("</think>", "assistant\n", None, "</think>", "<think>"),
        ("</think>", "assistant\n", True, "</think>", "<think>"),
        ("</think>", "assistant\n", "low", "</think>", "<think>"),
        ("</think>", "assistant\n", False, "", ""),
        ("</think>", "<think>\n", None, "</think>", ""),
        ("</think>", "<think>\n", False, "</think>", ""),
        ("<|end|>", "", False, "<|end|>", ""),
        ("", "", None, "", ""),
    ],
)
def test_a_constraint_waits_for_thoughts_that_are_open_and_leaves_room_for_others(
    after, tail, think, waits, opening
):
    found = settled(Constraint("json", after=after), tail, think)
    assert found == Constraint("json", after=waits, opening=opening)


def test_where_a_marker_is_a_token_its_characters_are_text():
    controls = ("<think>", "</think>")
    markers = THINK.spelt(controls)
    text = marked("<think>Is </think> a tag?</think>\nNo: <think>", (0, 25))
    assert split([text], markers) == split(list(text), markers)
    assert split([text], markers) == ("Is </think> a tag?", "No: <think>")
    assert split(["<think>x</think>"], markers) == ("", "<think>x</think>")
