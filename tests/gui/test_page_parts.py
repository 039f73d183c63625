"""The pages' parts without widgets: words for figures, snippets, kept searches, log, memory."""

from __future__ import annotations

import ast
import json
import math
import shlex
import threading
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from gui import figures, searches
from gui.diagnostics import redacted, report
from gui.local import LEVELS, disk_of, level_of, levelled
from gui.machine import History, ProcessorTime, Sample, measure, processor_time
from gui.searches import LastSearch
from gui.snippets import snippets
from runner.domain.search import FoundModel, FoundQuant, HubFailure, SearchResult
from runner.paths import find_paths


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (91_700_000, "92 MB"),
        (2_540_000_000, "2.5 GB"),
        (42_500_000_000, "42.5 GB"),
        (271_000_000_000, "271 GB"),
    ],
)
def test_a_size_has_about_three_digits(n, text):
    assert figures.size(n) == text


@given(st.integers(0, 10**15))
def test_a_size_is_short(n):
    assert len(figures.size(n)) <= 8


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (math.inf, ""), (0.2, "0 s"), (59, "59 s"), (61, "2 min"), (7500, "2 h 5 min")],
)
def test_a_time_that_is_left(seconds, text):
    assert figures.left(seconds) == text


@pytest.mark.parametrize(
    ("passed", "text"),
    [(5, "just now"), (300, "5 min ago"), (7200, "2 h ago"), (90_000, "yesterday")],
)
def test_a_moment_that_is_past(passed, text):
    assert figures.ago(1e9 - passed, 1e9) == text


def test_a_moment_that_never_was():
    assert figures.ago(0, 1e9) == "never"


@given(model=st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30))
def test_snippets_stay_programs_whatever_the_models_name(model):
    made = {one.heading: one.text for one in snippets("http://127.0.0.1:1", model)}
    for heading in ("Python", "Python (ollama)"):
        tree = ast.parse(made[heading])
        texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
        assert model in texts
    words = shlex.split(made["curl"].replace("\\\n", ""))
    assert json.loads(words[-1])["model"] == model


found = st.builds(
    LastSearch,
    st.text(max_size=5),
    st.sampled_from(["all", "hf"]),
    st.floats(0, 1e9),
    st.builds(
        SearchResult,
        st.lists(
            st.builds(
                FoundModel,
                st.text(max_size=5),
                st.text(max_size=5),
                st.integers(0, 9),
                st.integers(0, 9),
                st.text(max_size=5),
                st.booleans(),
                st.lists(
                    st.builds(
                        FoundQuant,
                        st.text(max_size=5),
                        st.integers(0, 9),
                        st.sampled_from([True, False, None]),
                    )
                ).map(tuple),
            )
        ).map(tuple),
        st.lists(st.builds(HubFailure, *[st.text(max_size=5)] * 4)).map(tuple),
    ),
)


@pytest.mark.blocking
@given(search=found)
def test_a_kept_search_comes_back_as_it_was(search, tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "discover.json"
    searches.keep(path, search)
    assert searches.last(path) == search


@pytest.mark.blocking
@given(st.binary(max_size=60))
def test_a_damaged_file_is_no_search(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("damaged") / "discover.json"
    path.write_bytes(content)
    assert searches.last(path) is None


@pytest.mark.parametrize(
    "value", [[], 3, {"format": 2}, {"format": 1}, {"format": 1, "result": []}]
)
@pytest.mark.blocking
def test_a_file_of_another_shape_is_no_search(tmp_path, value):
    path = tmp_path / "discover.json"
    path.write_text(json.dumps(value))
    assert searches.last(path) is None


LOG = [
    "2026-01-02T03:04:05.678Z DEBUG pool looked",
    "2026-01-02T03:04:06.678Z INFO pool loaded model=a",
    "2026-01-02T03:04:07.678Z ERROR pool broke",
    "Traceback (most recent call last):",
    "2026-01-02T03:04:08.678Z WARNING pool odd",
]


def test_a_level_keeps_worse_ones_and_the_lines_that_belong_to_them():
    assert levelled(LOG, "debug") == LOG
    assert levelled(LOG, "info") == LOG[1:]
    assert levelled(LOG, "warning") == LOG[2:]
    assert levelled(LOG, "error") == LOG[2:4]


@given(lines=st.lists(st.text(max_size=30)), level=st.sampled_from(LEVELS))
def test_any_line_can_be_filtered(lines, level):
    kept = levelled(lines, level)
    rest = iter(lines)
    assert all(line in rest for line in kept), "in their order, and none made up"
    assert all(
        line in kept
        for line in lines
        if LEVELS.index(level_of(line) or "debug") >= LEVELS.index(level)
    )


def test_the_disk_of_a_folder_that_is_not_there_yet_is_its_parents(tmp_path):
    disk = disk_of(tmp_path / "not" / "yet")
    assert disk is not None
    assert 0 <= disk.n_free <= disk.n_bytes


@given(st.lists(st.floats(0, 500), min_size=1, max_size=40))
def test_the_history_has_only_what_is_young_enough(steps):
    history, at = History(span_s=600.0), 0.0
    for step in steps:
        at += step
        history.add(Sample(at, 2, 1))
    samples = list(history)
    assert samples[-1].at_s == at
    assert all(sample.at_s >= at - 600 for sample in samples)
    assert at - samples[0].at_s <= history.shown_s <= 600


@pytest.mark.blocking
def test_a_machine_has_memory_and_cores():
    machine = measure()
    assert 0 < machine.n_available <= machine.n_memory
    assert machine.n_cores >= 1
    assert machine.system


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HF_TOKEN=hf_abcdefghij", "HF_TOKEN=[removed]"),
        ('token = "abc def"', "token = [removed]"),
        ("Authorization: Bearer xyz123", "Authorization: Bearer [removed]"),
        ("http://me:pw@proxy:80", "http://[removed]@proxy:80"),
        ("seen sk-abcdefgh12 here", "seen [removed] here"),
        ("/home/me/models", "~/models"),
        ("loaded model=a n_tokens=5", "loaded model=a n_tokens=5"),
    ],
)
def test_secrets_leave_a_report(text, expected):
    assert redacted(text, "/home/me") == expected


@pytest.mark.blocking
def test_a_report_has_versions_settings_and_log_but_no_token(tmp_path):
    environ = {"CORRAL_HOME": str(tmp_path), "HF_TOKEN": "hf_verysecret", "PATH": "/bin"}
    paths = find_paths(environ)
    paths.logs.mkdir()
    paths.daemon_log.write_text("2026 INFO pool loaded\n", encoding="utf-8")
    text = report(paths, "1.2", environ)
    assert "daemon 1.2" in text
    assert "INFO pool loaded" in text
    assert "verysecret" not in text
    assert "/bin" not in text
    assert str(Path.home()) not in text or str(Path.home()) == "/"


def test_the_share_of_the_processors_is_that_of_the_time_between_two_looks():
    """Whatever thread looks: each call of the link has one of its own."""
    before = ProcessorTime(10.0, 100.0)
    assert ProcessorTime(13.0, 104.0).share_since(before) == 0.75
    assert before.share_since(before) == 0.0
    assert ProcessorTime(9.0, 101.0).share_since(before) == 0.0  # clocks of processors differ
    found = []
    for _ in range(2):
        thread = threading.Thread(target=lambda: found.append(processor_time()))
        thread.start()
        thread.join()
    assert 0 < found[0].busy <= found[1].busy
    assert found[0].whole <= found[1].whole
