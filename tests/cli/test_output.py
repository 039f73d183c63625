"""Where things are written and what a terminal is spared."""

import io
from itertools import chain

import pytest
from hypothesis import given, settings, strategies as st
from wcwidth import wcswidth

from runner.cli.output import Output, hanging_lines, table_lines
from runner.domain.progress import Progress
from runner.errors import DaemonError

cells = st.text("abc", min_size=1, max_size=25)
words = st.text(st.characters(codec="latin-1", exclude_characters="\n"), max_size=12)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.tuples(words, words, words), min_size=1, max_size=6))
def test_columns_stand_under_each_other_without_trailing_spaces(rows):
    heads = ("NAME", "SIZE", "ID")
    lines = table_lines(heads, rows)
    assert len(lines) == len(rows) + 1
    at = max(len(row[0]) for row in [heads, *rows]) + 4
    for row, line in zip([heads, *rows], lines, strict=True):
        assert line == line.rstrip()
        assert line.ljust(at)[at:].startswith(row[1].rstrip() if not row[2].strip() else row[1])


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=6), st.integers(0, 60))
def test_a_narrow_terminal_gets_the_same_cells_and_no_line_wider_than_it_must_be(rows, width):
    heads = ("NAME", "SIZE", "ID")
    lines = table_lines(heads, rows, width)
    assert sorted(" ".join(lines).split()) == sorted(" ".join([*heads, *chain(*rows)]).split())
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    if width:
        least = max(*widths, sum(widths) - max(widths) + 4)
        assert max(map(len, lines)) <= max(width, least)


def test_the_widest_column_has_its_own_lines_where_a_row_does_not_fit():
    rows = [("1", "a" * 30, "x"), ("22", "b", "y")]
    stacked = ["NAME", "  ID  X", "a" * 30, "  1   x", "b", "  22  y"]
    assert table_lines(("ID", "NAME", "X"), rows, 36) == stacked
    assert table_lines(("ID", "NAME", "X"), rows, 37)[1] == f"1   {'a' * 30}  x"
    assert table_lines(("ID", "NAME", "X"), rows, 80)[1] == f"1     {'a' * 30}    x"


words = st.text(alphabet="ab-我", min_size=1, max_size=30)
texts = st.lists(words, min_size=1, max_size=12).map(" ".join)


@given(rows=st.lists(st.tuples(st.sampled_from(["ok", "fail"]), texts), min_size=1, max_size=4))
def test_a_text_beside_other_columns_stays_below_its_own_beginning(rows):
    """No line is too wide, nothing is lost, and each row begins with its first cell."""
    lines = hanging_lines(rows, 40)
    assert all(wcswidth(line) <= 40 for line in lines)
    indent = max(len(state) for state, _ in rows) + 2
    assert "".join(line[indent:] for line in lines).replace(" ", "") == "".join(
        text for _, text in rows
    ).replace(" ", "")
    heads = [line[:indent].strip() for line in lines]
    assert [head for head in heads if head] == [state for state, _ in rows]
    assert hanging_lines(rows, 10_000) == [f"{state:{indent}}{text}" for state, text in rows]


def test_columns_stand_under_each_other_where_characters_are_wide_or_have_none():
    rows = [("\u5c0f\u660e\u7684\u7535\u8111", "1"), ("e\u0301t\u00e9", "2"), ("abc", "3")]
    assert table_lines(("NAME", "N"), rows) == [
        "NAME" + " " * 10 + "N",
        rows[0][0] + " " * 4 + "1",
        rows[1][0] + " " * 11 + "2",
        "abc" + " " * 11 + "3",
    ]


def test_a_table_without_rows_is_its_heads():
    assert table_lines(("NAME", "SIZE"), []) == ["NAME    SIZE"]


@settings(deadline=None)  # a busy machine is no failure
@given(st.text())
def test_a_terminal_gets_nothing_that_it_would_obey(text):
    out, err = Terminal(), Terminal()
    output = Output(out, err, {"NO_COLOR": "1"})
    output.text(text)
    output.fail(DaemonError(text, hint=text))
    for written in (out.getvalue(), err.getvalue()):
        assert not [c for c in written if (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160]


def test_a_pipe_gets_the_answer_as_it_is():
    out = io.StringIO()
    Output(out, io.StringIO(), {}).stream("\x1b[1m\x07\r\n")
    assert out.getvalue() == "\x1b[1m\x07\r\n"


@pytest.mark.parametrize(
    ("environ", "label"),
    [
        ({}, "\x1b[31merror:\x1b[0m no"),
        ({"NO_COLOR": "1"}, "error: no"),
        ({"TERM": "dumb"}, "error: no"),
    ],
)
def test_colours_follow_the_terminal_and_its_user(environ, label):
    err = Terminal()
    Output(io.StringIO(), err, environ).fail(DaemonError("no", hint="try\nagain"))
    assert err.getvalue() == f"{label}\n  try\n  again\n"


def test_without_a_terminal_each_phase_is_one_plain_line():
    err = io.StringIO()
    with Output(io.StringIO(), err, {}).progress() as bars:
        for n_done in range(5):
            bars.show(Progress("pulling a", n_done, 5, "sha256:a"))
        bars.show(Progress("success"))
    assert err.getvalue() == "pulling a\nsuccess\n"


def test_without_a_terminal_a_phase_that_goes_on_under_a_digest_is_one_line():
    err = io.StringIO()
    with Output(io.StringIO(), err, {}).progress() as bars:
        bars.show(Progress("verifying", 1, 5, ""))
        bars.show(Progress("verifying", 5, 5, "sha256:a"))
    assert err.getvalue() == "verifying\n"


def test_waiting_is_shown_on_terminals_alone_and_taken_away_once():
    for err, is_shown in ((Terminal(), True), (io.StringIO(), False)):
        with Output(io.StringIO(), err, {"TERM": "xterm"}).waiting("loading x") as notice:
            notice.end()
            notice.end()
        assert ("loading x…" in err.getvalue()) is is_shown
        assert err.getvalue().endswith("\x1b[?25h") is is_shown
