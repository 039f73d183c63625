"""What a job was asked for, as the next daemon has it; how fast it is, by what it told lately."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from runner.domain.chat import Message
from runner.domain.create import CreateRequest
from runner.domain.job import Job, JobState
from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.errors import JobUnderWay
from runner.service.run import Pace, as_json, refuse_made, request_of
from runner.store.state import StoredJob

MODELS = tuple(map(ModelName.parse, ("a", "hf.co/owner/repo:Q4_0", "ms/o/r@v1")))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
files = st.dictionaries(texts, texts, max_size=2)
places = st.lists(texts.map(lambda text: Path("/", text)), max_size=2).map(tuple)
options = st.builds(
    Options,
    temperature=st.none() | st.floats(0, 2),
    stop=st.none() | st.lists(texts, max_size=2).map(tuple),
    logit_bias=st.none() | st.just(((7, -100.0), ("a", 2.5))),
    tensor_split=st.none() | st.just((0.5, 1.0)),
    use_mmap=st.none() | st.booleans(),
    speculate=st.none() | st.just("auto"),
)
requests = st.builds(
    CreateRequest,
    name=st.sampled_from(MODELS),
    bases=st.lists(st.sampled_from(MODELS), max_size=2).map(tuple),
    files=files,
    adapters=files,
    file_paths=places,
    draft_paths=places,
    template=st.none() | texts,
    options=options,
    messages=st.none() | st.just((Message("user", "a"), Message("assistant", "b"))),
    quantize=st.sampled_from(["", "Q4_K_M"]),
)


@given(request=requests)
def test_the_next_daemon_reads_what_this_one_was_asked_for(request):
    """Whatever was looked at meanwhile: it is the same, as JSON too."""
    asked = as_json(request)
    assert [one.key for one in (request.name, *request.bases)]  # remembered by a name once asked
    assert as_json(request) == asked
    stored = StoredJob(Job(1, "create", str(request.name)), request=asked)
    assert request_of(stored, "create", CreateRequest) == request
    assert request_of(stored, "quantize", CreateRequest) is None


gains = st.lists(st.integers(0, 1000), min_size=1, max_size=30)


@given(n_before=st.integers(1, 10**12), gains=gains)
def test_what_was_there_before_is_no_speed(n_before, gains):
    """A download that goes on tells nothing, then where it is, then what comes: that counts."""
    pace, n_done = Pace(), n_before
    assert pace.record(0.0, "a", 0) == 0
    assert pace.record(0.1, "a", n_before) == 0
    for number, gain in enumerate(gains, 2):
        n_done += gain
        assert pace.record(number / 10, "a", n_done) <= max(gains) * 10 + 1


@given(rate=st.integers(1, 10**9), n=st.integers(2, 40))
def test_a_steady_pace_is_told_as_it_is(rate, n):
    pace = Pace()
    for second in range(1, n + 1):
        told = pace.record(float(second), "a", second * rate)
    assert told == rate


def test_the_count_begins_anew_with_something_else_and_when_bytes_are_lost():
    pace = Pace()
    pace.record(0.0, "a", 5)
    assert pace.record(1.0, "a", 105) == 100
    assert pace.record(2.0, "b", 500) == 0
    assert pace.record(3.0, "b", 600) == 100
    assert pace.record(4.0, "b", 50) == 0


@pytest.mark.parametrize(
    ("job", "kind", "names"),
    [
        (Job(7, "quantize", "wide:q8_0, wide:q4_0", JobState.RUNNING), "create", "wide:Q4_0"),
        (Job(7, "quantize", "wide:q4_0", JobState.QUEUED), "quantize", "wide:q8_0, wide:q4_0"),
        (Job(7, "create", "mine:latest", JobState.PAUSED), "pull", "mine:latest"),
        (Job(7, "pull", "Mine:latest", JobState.RUNNING), "import", "mine:latest"),
        (Job(7, "bench", "mine:latest", JobState.RUNNING), "bench", "mine:latest"),
    ],
)
def test_what_a_job_will_give_or_is_at_is_refused_with_its_id(job, kind, names):
    with pytest.raises(JobUnderWay, match="job 7 is ") as caught:
        refuse_made([job], kind, names)
    assert "corral jobs cancel 7" in caught.value.hint


@pytest.mark.parametrize(
    ("job", "kind", "names"),
    [
        (Job(7, "create", "mine:latest", JobState.DONE), "create", "mine:latest"),
        (Job(7, "create", "mine:latest", JobState.FAILED), "pull", "mine:latest"),
        (Job(7, "pull", "mine:latest", JobState.PAUSED), "create", "mine:latest"),
        (Job(7, "bench", "mine:latest", JobState.RUNNING), "create", "mine:latest"),
        (Job(7, "create", "mine:latest", JobState.RUNNING), "create", "mine:other"),
    ],
)
def test_what_nobody_will_give_is_free(job, kind, names):
    refuse_made([job], kind, names)
