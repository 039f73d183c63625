"""Downloads that nobody looks at."""

from __future__ import annotations

import pytest

from gui.activity import ACTIVITY
from gui.job_watch import JobWatch, report
from gui.link import Link, Phase
from runner.config import Address
from runner.domain.job import Job, JobState
from runner.paths import find_paths

RUNNING = {
    "id": 4,
    "kind": "pull",
    "name": "a",
    "state": "running",
    "n_done": 3,
    "n_bytes": 4,
    "started": "2026-01-02T03:04:05.500000000Z",
}


@pytest.fixture(autouse=True)
def nothing_goes_on(application):
    yield
    ACTIVITY.set_downloads({})


def job(job_id, state=JobState.RUNNING, n_done=0, n_bytes=0):
    return Job(job_id, "pull", "a", state, n_done=n_done, n_bytes=n_bytes)


def test_only_what_runs_counts_and_all_of_it_together():
    done = job(3, JobState.DONE, 9, 9)
    report([job(1, n_done=20, n_bytes=100), job(2, n_done=60, n_bytes=100), done])
    assert ACTIVITY.download_percent == 40
    report([done, job(4, JobState.PAUSED, 5, 9)])
    assert ACTIVITY.download_percent is None


def test_a_job_of_unknown_size_is_at_its_beginning():
    report([job(1)])
    assert ACTIVITY.download_percent == 0


def test_a_download_is_seen_without_any_page_and_goes_with_the_daemon(link, daemon, until):
    daemon.jobs = [RUNNING]
    watch = JobWatch(link)
    until(lambda: ACTIVITY.download_percent == 75)
    daemon.jobs = []
    watch.look()
    until(lambda: ACTIVITY.download_percent is None)
    daemon.jobs = [RUNNING | {"n_done": 1}]
    watch.look()
    until(lambda: ACTIVITY.download_percent == 25)
    daemon.close()
    link.look()
    until(lambda: link.state.phase is Phase.DOWN)
    assert ACTIVITY.download_percent is None


def test_jobs_that_the_daemon_tells_of_are_seen_and_announced_when_done(application, daemon, until):
    heard = []
    ACTIVITY.announced.connect(lambda title, text: heard.append((title, text)))
    daemon.tells = True
    daemon.jobs = [RUNNING]
    link = Link(find_paths(), Address("127.0.0.1", daemon.port), starts=False)
    watch = JobWatch(link)
    link.watch()
    daemon.events.put(("snapshot", {"jobs": [RUNNING]}))
    until(lambda: ACTIVITY.download_percent == 75)
    until(lambda: not watch._pulse.isActive())  # it asks no more once it is told
    look = RUNNING | {"id": RUNNING["id"] + 1, "kind": "verify"}  # the library tells of it
    daemon.events.put(("job", look))
    daemon.events.put(("job", look | {"state": "done"}))
    daemon.events.put(("job", RUNNING | {"state": "done"}))
    until(lambda: heard)
    assert heard == [("A model is ready", "a")]
    assert ACTIVITY.download_percent is None
    link.close()
