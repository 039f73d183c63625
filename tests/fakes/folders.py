"""What the fake services say of the folder that the models are in."""

from __future__ import annotations

from dataclasses import dataclass, field

from runner.domain.job import Job
from runner.domain.storage import Folder, FolderPlan

FOLDER = Folder("/mnt/disk/models", "/home/me/models", "", True, 500_000_000_000, 90_000_000_000)
FOLDER_PLAN = FolderPlan(
    "/mnt/other", "/mnt/disk/models", n_models=2, n_bytes=900, n_left=800, n_free=700, n_there=1
)


@dataclass
class FakeFolders:
    """One folder, and another that is too small; remembers what it was asked."""

    asked: list[tuple[str, str]] = field(default_factory=list)
    error: Exception | None = None

    async def told(self) -> Folder:
        return FOLDER

    async def plan(self, text: str) -> FolderPlan:
        return self._answer("plan", text)

    async def use(self, text: str) -> FolderPlan:
        return self._answer("use", text)

    async def move(self, text: str) -> Job:
        self._answer("move", text)
        return Job(7, "move", text)

    def _answer(self, verb: str, text: str) -> FolderPlan:
        if self.error is not None:
            raise self.error
        self.asked.append((verb, text))
        return FOLDER_PLAN
