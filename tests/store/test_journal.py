"""A journal cut anywhere, or damaged anywhere, never says that something is there that is not."""

from __future__ import annotations

from hypothesis import given, strategies as st

from runner.store import journal
from runner.store.journal import Arrived, Head

HEAD = Head("sha256:" + "a" * 64, 1000, 64, "boot-1")
N_PARTS = 16
HEX = "0123456789abcdef" * 4

events = st.lists(
    st.one_of(
        st.tuples(st.just("note"), st.integers(0, N_PARTS - 1), st.integers(1, 63)),
        st.tuples(st.just("whole"), st.integers(0, N_PARTS - 1), st.just(0)),
        st.tuples(st.just("forget"), st.integers(0, N_PARTS - 1), st.just(0)),
        st.tuples(st.just("sync"), st.just(0), st.just(0)),
    ),
    max_size=30,
)


def size(part):
    return min(64, 1000 - 64 * part)


def written(story):
    """The journal of a story, and what was there after each of its lines."""
    content = journal.begin(HEAD, Arrived())
    states = [(len(content), Arrived())]
    for kind, part, n in story:
        there = Arrived(dict(states[-1][1].parts), dict(states[-1][1].digests))
        if kind == "note":
            if part in there.digests or n <= there.parts.get(part, 0) or n >= size(part):
                continue
            there.parts[part] = n
            content += journal.note(part, n)
        elif kind == "whole":
            there.parts[part] = size(part)
            there.digests[part] = HEX
            content += journal.note_whole(part, HEX)
        elif kind == "forget":
            there.parts.pop(part, None)
            there.digests.pop(part, None)
            content += journal.forget(part)
        else:
            content += journal.synced(len(content))
        states.append((len(content), there))
    return content, states


@given(story=events, cut=st.integers(0, 5000))
def test_a_journal_cut_anywhere_says_what_its_whole_lines_say(story, cut):
    content, states = written(story)
    cut = min(cut, len(content))
    whole = [there for end, there in states if end <= cut]
    assert journal.replay(content[:cut], HEAD) == (whole[-1] if whole else Arrived())


@given(story=events, at=st.integers(0, 5000), bit=st.integers(0, 7))
def test_a_damaged_line_ends_the_journal(story, at, bit):
    content, states = written(story)
    at %= len(content)
    damaged = bytearray(content)
    damaged[at] ^= 1 << bit
    assert journal.replay(bytes(damaged), HEAD) in [Arrived(), *(there for _, there in states)]


@given(story=events)
def test_after_a_crash_of_the_system_only_what_was_synced_holds(story):
    content, states = written(story)
    other = Head(HEAD.key, HEAD.n_bytes, HEAD.part_bytes, "boot-2")
    found = journal.replay(content, other)
    final = states[-1][1]
    for part, n in found.parts.items():
        assert n <= final.parts.get(part, 0)
    if not any(kind == "sync" for kind, _, _ in story):
        assert found.parts == {}


@given(st.binary(max_size=400))
def test_any_bytes_are_a_journal_that_says_nothing(content):
    assert journal.replay(content, HEAD) == Arrived()


@given(story=events)
def test_a_journal_begun_anew_says_the_same(story):
    _, states = written(story)
    there = states[-1][1]
    assert journal.replay(journal.begin(HEAD, there), HEAD) == there


def test_a_journal_of_another_file_says_nothing():
    content = journal.begin(HEAD, Arrived({0: 5}))
    for other in (
        Head("sha256:" + "b" * 64, 1000, 64, "boot-1"),
        Head(HEAD.key, 999, 64, "boot-1"),
        Head(HEAD.key, 1000, 32, "boot-1"),
    ):
        assert journal.replay(content, other) == Arrived()
