"""What the server needs from the rest of the program, as it is handed in by the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aiohttp import web

from runner.domain.cache import CacheReport, Cleared
from runner.domain.create import CheckedModelfile, CreateRequest
from runner.domain.event import Event
from runner.domain.job import Job
from runner.domain.loading import LoadMoment
from runner.domain.memory import MemoryNeed
from runner.domain.model import Capability, ModelDetails, ModelInfo, RunningModel
from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.domain.progress import Progress
from runner.domain.prompt import Prompt
from runner.domain.request import EmbedRequest, InferenceRequest, KeepAlive, RerankRequest
from runner.domain.running import RunningRequest
from runner.domain.search import ModelCard, SearchResult
from runner.domain.storage import DiskUse, Folder, FolderPlan, Pruned, Repaired, Verified
from runner.domain.topic import Topic
from runner.domain.vectors import Embeddings, Ranking
from runner.server.front import Devices, Keys, LogLines, Machine, Secrets, SettingsKeeper
from runner.server.making import Making


class Inference(Protocol):
    """Answers from models, and their stay in memory; every call may raise ``CorralError``."""

    def infer(self, request: InferenceRequest) -> AsyncGenerator[Event, None]:
        """Answer one request; closing the generator aborts it in the engine."""
        ...

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Return a vector for each input."""
        ...

    async def rerank(self, request: RerankRequest) -> Ranking:
        """Return a score for each document."""
        ...

    async def load(
        self,
        name: ModelName,
        options: Options,
        keep_alive: float | None,
        needed: Capability | None = Capability.COMPLETION,
    ) -> float:
        """Make a model that can do what is needed resident; returns the seconds that took."""
        ...

    def load_apart(
        self, name: ModelName, options: Options, keep_alive: float | None, *, pins: bool | None
    ) -> AsyncGenerator[LoadMoment | RunningModel, None]:
        """Make a model resident, and tell how far that is, and at last what is there."""
        ...

    async def estimate(self, name: ModelName, options: Options) -> MemoryNeed:
        """Return what loading a model would take now."""
        ...

    async def unload(self, name: ModelName) -> bool:
        """End a model's stay in memory; returns whether it was there."""
        ...


class Prompts(Protocol):
    """Prompts without answers; every call may raise ``CorralError``."""

    async def render(self, request: InferenceRequest) -> Prompt:
        """Return the prompt that an answer to ``request`` would begin with."""
        ...

    async def tokenize(
        self,
        name: ModelName,
        text: str,
        *,
        parse_special: bool,
        keep_alive: KeepAlive | None = None,
    ) -> Prompt:
        """Return the tokens of ``text`` alone."""
        ...

    async def detokenize(
        self, name: ModelName, tokens: tuple[int, ...], *, keep_alive: KeepAlive | None = None
    ) -> Prompt:
        """Return the text of ``tokens``."""
        ...


class Blobs(Protocol):
    """Files by their digests; every call may raise ``CorralError``."""

    async def has(self, digest: str) -> bool:
        """Whether the blob is there."""
        ...

    async def receive(self, digest: str, chunks: AsyncIterator[bytes]) -> bool:
        """Take a blob in; returns whether it is new."""
        ...


class Models(Protocol):
    """The library; every call may raise ``CorralError``."""

    async def list_models(self) -> Sequence[ModelInfo]:
        """Return all models."""
        ...

    async def show(self, name: ModelName, *, whole: bool = False) -> ModelDetails:
        """Return all about one model; ``whole``: the long arrays of its files, too."""
        ...

    def running(self) -> Sequence[RunningModel]:
        """Return the models in memory."""
        ...

    def loading(self) -> Sequence[LoadMoment]:
        """Return how far each model is that is on its way into memory."""
        ...

    async def copy(self, source: ModelName, destination: ModelName) -> None:
        """Give a model a second name."""
        ...

    async def delete(self, name: ModelName) -> None:
        """Take a name away, and what nothing else uses."""
        ...


class Cache(Protocol):
    """The prompts that are kept."""

    async def report(self) -> CacheReport:
        """Return what there is."""
        ...

    async def clear(
        self,
        name: ModelName | None = None,
        *,
        owner_id: str | None = None,
        conversation_id: str | None = None,
    ) -> Cleared:
        """Remove what is kept: of one model, one owner, one conversation, or of all."""
        ...


class Pulls(Protocol):
    """Models that come; both may raise ``CorralError`` before or between their moments."""

    def pull(self, name: ModelName, limit_bps: int | None = None) -> AsyncGenerator[Progress, None]:
        """Download a model; closing the generator stops following."""
        ...

    async def pull_apart(self, name: ModelName, limit_bps: int | None = None) -> Job:
        """Begin to download a model, whether anybody follows or not."""
        ...

    def import_file(self, path: Path, name: ModelName | None) -> AsyncGenerator[Progress, None]:
        """Take a file of this machine into the library."""
        ...


class Creates(Protocol):
    """Models of one's own; both may raise ``CorralError``."""

    def create(self, request: CreateRequest) -> AsyncGenerator[Progress, None]:
        """Make one; closing the generator gives it up."""
        ...

    async def check(self, text: str) -> CheckedModelfile:
        """Say what there is to say about a Modelfile."""
        ...


class Storage(Protocol):
    """The library on the disk; every call may raise ``CorralError``."""

    async def disk_use(self) -> DiskUse:
        """Return what takes the room."""
        ...

    async def prune(self, *, is_dry: bool) -> Pruned:
        """Remove what nothing needs, or say what that is."""
        ...

    def verify(
        self, name: ModelName | None, *, is_deep: bool
    ) -> AsyncGenerator[Progress | Verified, None]:
        """Look at one model or all; what was found comes last."""
        ...

    def repair(self, name: ModelName) -> AsyncGenerator[Progress | Repaired, None]:
        """Mend a model; what was done comes last."""
        ...


class Folders(Protocol):
    """Which folder the library is in; all but the first may raise ``CorralError``."""

    async def told(self) -> Folder:
        """Return where it is."""
        ...

    async def plan(self, text: str) -> FolderPlan:
        """Return what it would take to be elsewhere; empty: in the usual folder."""
        ...

    async def use(self, text: str) -> FolderPlan:
        """Use what is in another folder."""
        ...

    async def move(self, text: str) -> Job:
        """Begin to move the library; return the job."""
        ...


class Searches(Protocol):
    """The hubs' own lists; may raise ``CorralError``."""

    async def search(self, words: str, *, hub: str, limit: int) -> SearchResult:
        """Return what the hubs have; those that could not be asked are named in the result."""
        ...

    async def card(self, text: str) -> ModelCard:
        """Return what the owner of a repository wrote about it."""
        ...


class Requests(Protocol):
    """The answers that are on their way."""

    async def list_requests(self) -> Sequence[RunningRequest]:
        """Return them, those that run first, then those that wait, who is next first."""
        ...

    def cancel(self, request_id: str) -> None:
        """End one; raises ``RequestNotFound``."""
        ...


class Changes(Protocol):
    """What changes, for whoever watches."""

    def watching(self) -> AbstractContextManager[asyncio.Queue[Job | Topic | None]]:
        """Give a queue of everything that changes; ``None`` in it is the end."""
        ...


class Jobs(Protocol):
    """Long jobs; calls with an id raise ``InvalidRequest`` when there is none of it."""

    @property
    def news(self) -> Changes:
        """What changes."""
        ...

    def list_jobs(self) -> list[Job]:
        """Return all jobs."""
        ...

    def get(self, job_id: int) -> Job:
        """Return one job."""
        ...

    def pause(self, job_id: int) -> Job:
        """Pause a job."""
        ...

    def resume(self, job_id: int) -> Job:
        """Let a job go on."""
        ...

    async def cancel(self, job_id: int) -> Job:
        """End a job, and remove what it has."""
        ...

    def move(self, job_id: int, place: int) -> Job:
        """Give a job another place in the queue."""
        ...

    def limit(self, job_id: int, limit_bps: int) -> Job:
        """Limit a job's speed."""
        ...

    def limit_all(self, limit_bps: int) -> None:
        """Limit the speed of all jobs together."""
        ...


@dataclass(frozen=True, slots=True)
class Needs:
    """All of them, for the handlers.

    Attributes:
        inference: Answers.
        prompts: Prompts without answers.
        blobs: Files by their digests.
        models: The library.
        cache: Kept prompts.
        pulls: Downloads and imports.
        creates: Models of one's own.
        making: Models written in other types, and measured.
        searches: The hubs' own lists.
        storage: The library on the disk.
        folders: Which folder that is.
        requests: The answers that are on their way.
        jobs: All that takes long.
        keys: The API keys.
        settings: How the daemon is set.
        secrets: Tokens of model hubs.
        devices: Devices of other machines.
        machine: Memory, devices and limits.
        logs: What the daemon logged.
        version: Our own version, for ``/api/version``.
        request_shutdown: Makes the daemon end in good order; returns at once.
    """

    inference: Inference
    prompts: Prompts
    blobs: Blobs
    models: Models
    cache: Cache
    pulls: Pulls
    creates: Creates
    making: Making
    searches: Searches
    storage: Storage
    folders: Folders
    requests: Requests
    jobs: Jobs
    keys: Keys
    settings: SettingsKeeper
    secrets: Secrets
    devices: Devices
    machine: Machine
    logs: LogLines
    version: str
    request_shutdown: Callable[[], None]


NEEDS = web.AppKey("needs", Needs)
