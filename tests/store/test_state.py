"""Jobs are there after the daemon's end, and a damaged file costs no more than the jobs."""

from __future__ import annotations

import sqlite3

import pytest

from runner.domain.job import Job, JobError, JobState
from runner.errors import DiskFull, StoreError
from runner.store.state import JobTable, StoredJob


def keep(table, job):
    """Store a new job, as the job service does."""
    job = table.add(job)
    table.put(StoredJob(job))


def test_a_job_comes_back_as_it_was(tmp_path):
    path = tmp_path / "state" / "state.sqlite"
    table = JobTable(path)
    job = table.add(Job(0, "pull", "smollm2:latest"))
    error = JobError("disk_full", "5 bytes are free")
    stored = StoredJob(Job(job.job_id, "pull", "x", JobState.PAUSED, error=error), ("sha256:1",))
    table.put(stored)
    table.close()
    again = JobTable(path)
    assert again.load() == [stored]
    assert again.add(Job(0, "pull", "y")).job_id > job.job_id
    again.close()


def test_the_oldest_that_are_over_are_forgotten(tmp_path):
    table = JobTable(tmp_path / "state.sqlite")
    keep(table, Job(0, "pull", "waiting"))
    for number in range(120):
        keep(table, Job(0, "pull", str(number), JobState.DONE))
    table.forget_old()
    names = [one.job.name for one in table.load()]
    assert names == ["waiting", *map(str, range(20, 120))]
    table.close()


def test_a_disk_without_room_is_named_and_costs_no_job(tmp_path):
    """A job more is refused, and the others can be read and forgotten."""
    table = JobTable(tmp_path / "state.sqlite")
    for number in range(120):
        keep(table, Job(0, "pull", str(number), JobState.DONE))
    (n_pages,) = table._file.execute("PRAGMA page_count").fetchone()
    table._file.execute(f"PRAGMA max_page_count={n_pages}")
    with pytest.raises(DiskFull, match=r"cannot note the job: .* bytes are free"):
        for _ in range(1000):
            keep(table, Job(0, "pull", "x" * 500))
    table.forget_old()
    assert "0" not in {one.job.name for one in table.load()}
    table.close()


def test_a_newer_format_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "state.sqlite"
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version=9")
    file.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="format 9"):
        JobTable(path)
    assert path.read_bytes() == before or path.stat().st_size == len(before)


def test_a_damaged_file_is_put_aside(tmp_path):
    path = tmp_path / "state.sqlite"
    path.write_bytes(b"no database at all " * 100)
    table = JobTable(path)
    assert table.load() == []
    table.close()
    assert (tmp_path / "state.sqlite.damaged").exists()


def test_a_record_that_cannot_be_read_is_left_out(tmp_path):
    path = tmp_path / "state.sqlite"
    table = JobTable(path)
    keep(table, Job(0, "pull", "good"))
    table._file.execute("INSERT INTO jobs (record) VALUES ('{}')")
    assert [one.job.name for one in table.load()] == ["good"]
    table.close()
