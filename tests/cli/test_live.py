"""Bars and spinners: what they show, and that they leave the terminal as it was."""

import io

from hypothesis import given, strategies as st

from runner.cli.live import ASCII, UNICODE, Live, Track, Tracks, track_line
from runner.domain.progress import Progress

steps = st.builds(
    Progress,
    phase=st.sampled_from(["pulling manifest", "pulling 0123456789ab", "writing", "success"]),
    n_done=st.integers(0, 10**13),
    n_bytes=st.integers(0, 10**12),
    digest=st.sampled_from(["", "sha256:a", "sha256:b"]),
)


@given(st.lists(steps, max_size=20), st.integers(1, 200), st.sampled_from([UNICODE, ASCII]))
def test_no_picture_is_wider_than_the_terminal(seen, width, glyphs):
    tracks = Tracks()
    for number, step in enumerate(seen):
        tracks.record(step, float(number))
    for line in tracks.picture(99.0, width, glyphs):
        assert len(line) <= width
        assert line == line.rstrip()


def test_a_bar_shows_share_bytes_rate_and_time_left():
    track = Track("pulling 0123456789ab")
    track.record(1_000_000_000, 4_000_000_000, now=0.0)
    track.record(2_000_000_000, 4_000_000_000, now=4.0)
    line = track_line(track, 4.0, 90, ASCII)
    assert line.startswith("pulling 0123456789ab:  50% [####")
    assert line.split("]")[1].split() == ["2", "GB/4", "GB", "250", "MB/s", "8s"]


def test_what_was_there_before_is_no_speed():
    """A pull that goes on tells nothing, then where it is, then what comes."""
    track = Track("pulling 8c17ccd4dfc7")
    for now, n_done in ((0.0, 0), (0.1, 1_000_000_000), (1.1, 1_005_000_000)):
        track.record(n_done, 4_000_000_000, now)
    assert track.rate_bps == 5_000_000


def test_a_bar_says_where_the_bytes_come_from_beside_speed_and_time_left():
    """A change of the source is no line of its own: the bar goes on."""
    tracks = Tracks()
    for now, source in ((0.0, "hf.co"), (1.0, "hf.co"), (2.0, "modelscope.cn")):
        step = Progress("pulling a", int(now) * 10**6, 10**7, "sha256:a", source=source)
        tracks.record(step, now)
    (line,) = tracks.picture(2.0, 100, ASCII)
    assert line.split("]")[1].split() == ["2", "MB/10", "MB", "1", "MB/s", "8s", "modelscope.cn"]


def test_a_phase_is_over_when_the_next_begins():
    tracks = Tracks()
    tracks.record(Progress("pulling manifest"), 0.0)
    tracks.record(Progress("pulling a", 0, 10, "sha256:a"), 1.0)
    tracks.record(Progress("pulling b", 0, 10, "sha256:b"), 2.0)
    assert [t.is_over for t in tracks.lines.values()] == [True, False, False]
    tracks.record(Progress("pulling a", 10, 10, "sha256:a"), 3.0)
    tracks.record(Progress("writing manifest"), 4.0)
    tracks.record(Progress("success"), 5.0)
    assert [t.is_over for t in tracks.lines.values()] == [True] * 5
    assert list(tracks.lines)[-1] == "success"


def test_what_is_done_to_one_file_in_turn_has_a_line_each():
    """A repair reads a file, saves what is good of it, and fetches the rest."""
    tracks = Tracks()
    for phase in ("verifying", "saving what is good", "pulling a"):
        tracks.record(Progress(phase, 5, 10, "sha256:a"), 0.0)
    lines = tracks.picture(1.0, 100, ASCII)
    assert [line.partition(":")[0] for line in lines] == [
        "verifying",
        "saving what is good",
        "pulling a",
    ]


def test_the_last_phase_is_over_when_that_is_said():
    tracks = Tracks()
    for name in ("a", "b"):
        tracks.record(Progress(f"verifying {name}"), 0.0)
    tracks.finish()
    assert tracks.picture(1.0, 100, ASCII) == ["verifying a *", "verifying b *"]


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=30))
def test_a_rate_is_never_negative(counts):
    """A download that begins again goes backwards."""
    track = Track("x")
    for now, n_done in enumerate(counts):
        track.record(n_done, 10**9, float(now))
    assert track.rate_bps >= 0


def test_what_was_drawn_is_erased_and_the_cursor_comes_back():
    stream = io.StringIO()
    with Live(stream, lambda: ["one", "two"], keep=False):
        pass
    drawn = stream.getvalue()
    assert drawn.startswith("\x1b[?25l")
    assert drawn.endswith("\r\x1b[K\x1b[A\r\x1b[K\x1b[?25h")


def test_a_picture_that_is_kept_ends_with_a_new_line():
    stream = io.StringIO()
    with Live(stream, lambda: ["done"], keep=True):
        pass
    assert stream.getvalue().endswith("done\n\x1b[?25h")
