"""Real limits of memory for real workers: of address space, and of what a group may hold.

A daemon's workers take the limit that ``Limits`` has at the moment when they start: Python imports
``sitecustomize`` before anything of ours.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tests.real_daemon import ROOT

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

    def __init__(self, folder: Path, limit: str) -> None:
        self.folder = folder
        self._limit = folder / limit

    def allow(self, n_bytes: int) -> None:
        self._limit.write_text(str(n_bytes))

    def take(self, pid: int) -> None:
        (self.folder / "cgroup.procs").write_text(str(pid))


@contextlib.contextmanager
def group() -> Iterator[Group | None]:
    """A group without a limit yet; ``None`` where this process may make none."""
    name = f"corral-test-{os.getpid()}"
    for root, limit in (
        (Path("/sys/fs/cgroup"), "memory.max"),
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    ):
        folder = root / name
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            if (folder / limit).exists():
                yield Group(folder, limit)
                return
        finally:
            with contextlib.suppress(OSError):
                folder.rmdir()
    yield None
