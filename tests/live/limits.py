"""Real limits of memory for real workers: of address space, and of what a group may hold.

A daemon's workers take the limit that ``Limits`` has at the moment when they start: Python imports
``sitecustomize`` before anything of ours.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.real_daemon import ROOT, wait_for

_ROOT = Path("/sys/fs/cgroup")
_HOOK = """
import os, sys
from pathlib import Path

limit = Path(__file__).with_name("limit")
if "_worker" in sys.orig_argv and limit.exists():
    kind, _, value = limit.read_text().partition(" ")
    if kind == "address-space":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (int(value), int(value)))
    else:
        Path(value, "cgroup.procs").write_text(str(os.getpid()))
"""


class Limits:
    """What each worker gets that starts from now on."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(_HOOK)
        self._file = folder / "limit"
        self.env = {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}

    def address_space(self, n_bytes: int) -> None:
        self._file.write_text(f"address-space {n_bytes}")

    def group(self, group: Group) -> None:
        self._file.write_text(f"group {group.folder}")

    def none(self) -> None:
        self._file.unlink(missing_ok=True)


class Group:
    """A control group, of either version, whose processes may hold ``n_bytes`` together."""

    def __init__(self, folder: Path, files: tuple[str, str, str]) -> None:
        self.folder = folder
        self._limit, self._swap, self._used = (folder / file for file in files)

    def allow(self, n_bytes: int) -> None:
        """Set the limit, of memory and swap together."""
        with contextlib.suppress(OSError):  # the larger of the two is set first
            self._set_swap(n_bytes)
        self._limit.write_text(str(n_bytes))
        self._set_swap(n_bytes)

    def _set_swap(self, n_bytes: int) -> None:
        if self._swap.exists():
            self._swap.write_text("0" if self._swap.name == "memory.swap.max" else str(n_bytes))

    @property
    def n_used(self) -> int:
        return int(self._used.read_text())

    @contextlib.contextmanager
    def program_that_takes(self, n_bytes: int) -> Iterator[Taker]:
        taker = Taker(self, n_bytes)
        try:
            yield taker
        finally:
            taker.end()


class Taker:
    """A program in a group that takes memory when it is told to, and keeps it."""

    def __init__(self, group: Group, n_bytes: int) -> None:
        code = f"input(); taken = bytearray({n_bytes}); taken[::4096] = taken[::4096]; input()"
        self._process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
        (group.folder / "cgroup.procs").write_text(str(self._process.pid))

    def go(self) -> None:
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    @property
    def is_there(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()


@contextlib.contextmanager
def group() -> Iterator[Group | None]:
    """A group without a limit yet; ``None`` where this process may make none."""
    name = f"corral-test-{os.getpid()}"
    first = "memory.max", "memory.swap.max", "memory.current"
    second = tuple(f"memory.{n}_in_bytes" for n in ("limit", "memsw.limit", "usage"))
    for root, files in ((_ROOT, first), (_ROOT / "memory", second)):
        folder = root / name
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            if (folder / files[0]).exists():
                yield Group(folder, files)
                return
        finally:
            wait_for(lambda folder=folder: _is_removed(folder), "the group to be empty", 20)
    yield None


def _is_removed(folder: Path) -> bool:
    with contextlib.suppress(OSError):  # one of its processes has not quite ended
        folder.rmdir()
    return not folder.exists()
