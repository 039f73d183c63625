"""``corral jobs`` and the options of ``corral pull`` that go with it."""

from __future__ import annotations

import json

import pytest

JOB = {
    "id": 3,
    "kind": "pull",
    "name": "qwen3:4b",
    "state": "paused",
    "phase": "pulling abc",
    "n_done": 1_000_000_000,
    "n_bytes": 4_000_000_000,
    "rate_bps": 5_000_000,
    "eta_s": 600.0,
    "source": "hf.co",
    "error": {"code": "disk_full", "message": "5 bytes are free", "hint": "make room"},
    "started": "2026-01-02T03:04:05.000000000Z",
    "finished": None,
    "place": 0,
    "limit_bps": 0,
    "is_attended": False,
}


@pytest.fixture
def jobs(daemon):
    replies = {
        "/api/jobs": {"jobs": [JOB]},
        "/api/jobs/3": JOB | {"state": "cancelled"},
        "/api/jobs/3/pause": JOB,
        "/api/jobs/3/resume": JOB | {"state": "queued"},
        "/api/jobs/3/move": JOB,
        "/api/jobs/3/limit": JOB | {"limit_bps": 5_000_000},
        "/api/jobs/all/limit": {"jobs": []},
    }
    daemon.script.failures = {path: (200, reply) for path, reply in replies.items()}
    return daemon


def test_jobs_are_a_table_with_what_is_wrong_below(corral, jobs):
    done = corral("jobs")
    head, row = done.out.splitlines()
    heads = ["ID", "KIND", "NAME", "STATE", "DONE", "SIZE", "SPEED", "LEFT", "FROM"]
    assert head.split() == heads
    assert row.split()[:5] == ["3", "pull", "qwen3:4b", "paused", "25%"]
    assert "1 GB/4 GB" in row
    assert "10m00s" in row
    assert done.err == "job 3: 5 bytes are free; make room\n"


def test_jobs_are_json_when_asked(corral, jobs):
    (job,) = json.loads(corral("jobs", "--json").out)
    assert job["error"]["hint"] == "make room"
    assert (job["id"], job["started"]) == (3, "2026-01-02T03:04:05Z")


@pytest.mark.parametrize(
    ("words", "method", "path", "body", "told"),
    [
        (("pause", "3"), "POST", "/api/jobs/3/pause", {}, "is paused\n"),
        (("resume", "3"), "POST", "/api/jobs/3/resume", {}, "is queued\n"),
        (("cancel", "3"), "DELETE", "/api/jobs/3", None, "is cancelled\n"),
        (("move", "3", "0"), "POST", "/api/jobs/3/move", {"place": 0}, "is paused, at place 0\n"),
        (
            ("limit", "3", "5M"),
            "POST",
            "/api/jobs/3/limit",
            {"limit": "5M"},
            "is paused and has a limit of 5 MB/s\n",
        ),
        (
            ("limit", "all", "0"),
            "POST",
            "/api/jobs/all/limit",
            {"limit": "0"},
            "all jobs together have no limit of speed\n",
        ),
    ],
)
def test_a_job_is_steered(corral, jobs, words, method, path, body, told):
    done = corral("jobs", *words)
    assert done.returncode == 0, done.err
    assert done.err.endswith(told)
    (seen,) = [row for row in jobs.requests if row[1] == path]
    assert (seen[0], seen[3]) == (method, body)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("dance",), "does not know 'dance'"),
        (("pause",), "needs an id"),
        (("pause", "three"), "want a number for the id"),
        (("move", "3"), "needs an id and a place"),
        (("limit", "3", "fast"), "want bytes a second"),
    ],
)
def test_what_cannot_be_meant_is_told(corral, jobs, words, message):
    done = corral("jobs", *words)
    assert done.returncode == 2
    assert message in done.err


def test_a_pull_can_be_begun_and_left(corral, jobs):
    jobs.script.failures["/api/jobs"] = (201, JOB)
    done = corral("pull", "qwen3:4b", "--detach", "--limit", "5M")
    assert done.err == "job 3 pulls qwen3:4b; see it with: corral jobs\n"
    (body,) = jobs.bodies("/api/jobs")
    assert body == {"kind": "pull", "model": "qwen3:4b", "limit": "5M"}


def test_a_pull_tells_its_steps_as_json(corral, daemon):
    done = corral("pull", "qwen3", "--json", "--limit", "1M")
    steps = [json.loads(line) for line in done.out.splitlines()]
    assert steps[0] == {"phase": "pulling manifest"}
    assert steps[2]["n_done"] == steps[2]["n_bytes"] == 4_000_000
    assert steps[-1]["phase"] == "success"
    assert daemon.bodies("/api/pull")[0]["limit"] == "1M"


def test_a_limit_that_is_no_speed_is_refused_before_anything_is_asked(corral, daemon):
    done = corral("pull", "qwen3", "--limit", "fast")
    assert done.returncode == 2
    assert "--limit" in done.err
    assert daemon.bodies("/api/pull") == []
