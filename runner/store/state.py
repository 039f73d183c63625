"""``state.sqlite``: jobs that outlive the daemon.  One process opens it: the daemon.

A row is JSON, so that a field more in ``Job`` needs no migration; the file's ``user_version`` is
its format number.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from runner.domain.job import Job, JobState
from runner.errors import CorralError, StoreError
from runner.logs import pairs
from runner.store.disk import disk_full, in_words

logger = logging.getLogger(__name__)

FORMAT = 1
_SCHEMA = "CREATE TABLE jobs (job_id INTEGER PRIMARY KEY AUTOINCREMENT, record BLOB NOT NULL)"
#: ``SQLITE_IOERR_SHMSIZE``: the file beside it, in which a WAL's index lies, cannot grow.
_NO_ROOM_TO_SHARE = 4874
#: Jobs that are over and still remembered.
N_REMEMBERED = 100


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job and what it takes to end it.

    Attributes:
        job: As it was when its state changed last.
        keys: Of the files that are arriving for it (``arrival.py``).
        request: What it was asked to do, as JSON has it, where its name does not say that.
        can_stand_still: Whether it pauses in the middle of its work.
    """

    job: Job
    keys: tuple[str, ...] = ()
    request: Any = None
    can_stand_still: bool = False


_decoder = msgspec.json.Decoder(StoredJob)


class JobTable:
    """The jobs of one home.  Safe from any thread; blocks for a moment.

    Raises:
        DiskFull: There is no room to work with it.
        StoreError: The file is of another format, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._file = _open(path)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                _put_aside(path, error)
                self._file = _open(path)
        except sqlite3.Error as error:
            raise _in_words(f"cannot open {path}", path, error) from None
        except OSError as error:
            raise in_words(error, f"cannot open {path}", folder=path.parent) from None

    def load(self) -> list[StoredJob]:
        """Return all jobs, oldest first; one that cannot be read is left out."""
        with self._lock:
            rows = self._file.execute("SELECT job_id, record FROM jobs ORDER BY job_id").fetchall()
        found = []
        for job_id, record in rows:
            try:
                stored = _decoder.decode(record)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                logger.warning("job left out %s", pairs(job=job_id, reason=error))
                continue
            found.append(replace(stored, job=replace(stored.job, job_id=job_id)))
        return found

    def wanted_keys(self) -> set[str]:
        """Return the files that jobs of the last daemon may still go on with."""
        gone = (JobState.DONE, JobState.CANCELLED)
        return {key for one in self.load() if one.job.state not in gone for key in one.keys}

    def add(self, job: Job) -> Job:
        """Return a new job with an id that no other has; it is stored by ``put`` alone.

        So whoever asks for one and leaves, or finds that somebody else was faster, leaves nothing.

        Raises:
            DiskFull: There is no room for it.
            StoreError: The disk refuses.
        """
        values = (_encode(StoredJob(job)),)
        try:
            with self._lock, self._file as file:
                row = file.execute("INSERT INTO jobs (record) VALUES (?)", values)
                file.execute("DELETE FROM jobs WHERE job_id = ?", (row.lastrowid,))
                return replace(job, job_id=int(row.lastrowid or 0))
        except sqlite3.Error as error:
            raise _in_words("cannot note the job", self._path, error) from None

    def try_put(self, stored: StoredJob) -> None:
        """Store a job; a disk that refuses costs its place in the next daemon's list, no more."""
        try:
            self.put(stored)
        except Exception:
            logger.exception("job not stored id=%d", stored.job.job_id)

    def put(self, stored: StoredJob) -> None:
        """Store a job as it is now."""
        with self._lock, self._file as file:
            values = (stored.job.job_id, _encode(stored))
            file.execute("INSERT OR REPLACE INTO jobs (job_id, record) VALUES (?, ?)", values)

    def forget_old(self) -> None:
        """Forget all but the latest of the jobs that are over, unless the disk refuses."""
        over = [one.job.job_id for one in self.load() if one.job.state.is_over]
        old = [(one,) for one in over[:-N_REMEMBERED]]
        try:
            with self._lock, self._file as file:
                file.executemany("DELETE FROM jobs WHERE job_id = ?", old)
        except sqlite3.Error as error:
            logger.warning("old jobs stay %s", pairs(n=len(old), reason=error))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()


def _in_words(action: str, path: Path, error: sqlite3.Error) -> CorralError:
    """Return the error for people that says what SQLite's says."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code in (sqlite3.SQLITE_FULL, _NO_ROOM_TO_SHARE):
        return disk_full(action, path.parent, 0)
    return StoreError(f"{action}: {error}", hint=f"check the disk, and who owns {path}")


def _encode(stored: StoredJob) -> bytes:
    return msgspec.json.encode(stored)


def _open(path: Path) -> sqlite3.Connection:
    file = sqlite3.connect(path, check_same_thread=False)
    try:
        file.execute("PRAGMA journal_mode=WAL")
        (number,) = file.execute("PRAGMA user_version").fetchone()
        if number == 0:
            with file:
                file.execute(_SCHEMA)
                file.execute(f"PRAGMA user_version={FORMAT}")
        elif number != FORMAT:
            raise StoreError(
                f"{path} has format {number}; this program knows format {FORMAT}",
                hint="a newer Corral may have written it: update Corral, or move the file away",
            )
    except BaseException:
        file.close()
        raise
    return file


def _put_aside(path: Path, error: Exception) -> None:
    """Keep a damaged file for whoever wants to look at it, and let a new one begin."""
    aside = path.with_name(path.name + ".damaged")
    logger.warning("jobs are lost %s", pairs(path=path, reason=error, kept=aside))
    path.replace(aside)
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(OSError):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
