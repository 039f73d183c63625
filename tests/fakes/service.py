"""A service without models: it says what it was told to say, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from runner.domain.cache import CachedPrompt, CacheReport, CacheTier, Cleared, Hit
from runner.domain.create import CheckedModelfile, CreateRequest, ModelfileFinding
from runner.domain.event import Event, Finished, FinishReason, TextDelta, Timings, Usage
from runner.domain.job import Job
from runner.domain.loading import LoadMoment, LoadStage
from runner.domain.memory import DeviceNeed, MemoryNeed
from runner.domain.model import Capability, ModelDetails, ModelInfo, RunningModel
from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.domain.progress import Progress
from runner.domain.prompt import Prompt
from runner.domain.request import EmbedRequest, InferenceRequest, Priority, RerankRequest
from runner.domain.running import RequestState, RunningRequest
from runner.domain.search import ModelCard, SearchResult
from runner.domain.storage import (
    DiskUse,
    Fault,
    ModelUse,
    Pruned,
    Removable,
    Repaired,
    Verified,
)
from runner.domain.vectors import Embeddings, Ranking
from runner.errors import (
    ModelNotFound,
    RequestNotFound,
)

FINISHED = Finished(
    reason=FinishReason.STOP,
    usage=Usage(n_prompt=11, n_cached=4, n_generated=3),
    timings=Timings(total_s=1.5, load_s=0.25, prompt_s=0.5, decode_s=0.75),
    context=(1, 2, 3),
    hit=Hit.DISK,
)
HELLO: tuple[Event, ...] = (TextDelta("Hel"), TextDelta("lo"), FINISHED)


def model_info(name: str = "smollm2", *, modified_at: float = 1_700_000_000.5) -> ModelInfo:
    """A line of the library."""
    return ModelInfo(
        name=ModelName.parse(name),
        digest="ab" * 32,
        n_bytes=91_000_000,
        modified_at=modified_at,
        architecture="llama",
        n_params=134_515_008,
        quantization="Q4_1",
        n_ctx_train=8192,
        n_embd=576,
        capabilities=(Capability.COMPLETION,),
    )


@dataclass
class FakeInference:
    """Answers with ``script``: events are sent, an exception is raised, a gate is waited for."""

    script: Sequence[Event | Exception | asyncio.Event] = HELLO
    known: frozenset[ModelName] = frozenset({ModelName.parse("smollm2")})
    requests: list[InferenceRequest] = field(default_factory=list)
    embeds: list[EmbedRequest] = field(default_factory=list)
    reranks: list[RerankRequest] = field(default_factory=list)
    loads: list[tuple[ModelName, Options, float | None]] = field(default_factory=list)
    unloads: list[ModelName] = field(default_factory=list)
    resident: set[ModelName] = field(default_factory=set)
    asked: asyncio.Event = field(default_factory=asyncio.Event)  # set by the first request
    closed: asyncio.Event = field(default_factory=asyncio.Event)  # set when an answer is over

    async def infer(self, request: InferenceRequest) -> AsyncGenerator[Event, None]:
        self.requests.append(request)
        self.asked.set()
        try:
            if request.model not in self.known:
                raise ModelNotFound(str(request.model))
            for step in self.script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    yield step
        finally:
            self.closed.set()

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Vectors that tell the input's place; the last input, when there are several, was cut."""
        self.embeds.append(request)
        if request.model not in self.known:
            raise ModelNotFound(str(request.model))
        if isinstance(self.script[0], Exception):
            raise self.script[0]
        n = len(request.inputs)
        is_pooled = request.pooling != "none"
        rows = [struct.pack("<2f", index, -0.5) * (1 if is_pooled else 2) for index in range(n)]
        cut = (n - 1,) if n > 1 else ()
        return Embeddings(tuple(rows), 2, (3,) * n, cut, FINISHED.timings, is_pooled=is_pooled)

    async def rerank(self, request: RerankRequest) -> Ranking:
        """Scores that grow with a document's length."""
        self.reranks.append(request)
        if request.model not in self.known:
            raise ModelNotFound(str(request.model))
        scores = tuple(float(len(document)) for document in request.documents)
        return Ranking(scores, (3,) * len(scores), (), FINISHED.timings)

    async def load(
        self,
        name: ModelName,
        options: Options,
        keep_alive: float | None,
        needed: Capability | None = Capability.COMPLETION,
    ) -> float:
        if name not in self.known:
            raise ModelNotFound(str(name))
        self.loads.append((name, options, keep_alive))
        self.resident.add(name)
        return 0.25

    async def load_apart(
        self, name: ModelName, options: Options, keep_alive: float | None, *, pins: bool | None
    ) -> AsyncGenerator[LoadMoment | RunningModel, None]:
        """Two moments and the end; ``note`` tells what was asked."""
        await self.load(name, options, keep_alive)
        info = model_info()
        yield LoadMoment(info, LoadStage.MAPPING, 0.0)
        yield LoadMoment(info, LoadStage.UPLOAD, 0.5)
        yield RunningModel(
            info=info,
            n_resident=1000,
            n_vram=0,
            n_ctx=2048,
            expires_at=0.0,
            pid=1,
            n_active=0,
            n_steps=0,
            n_tokens=0,
            load_s=1.25,
            is_pinned=bool(pins),
            note=f"keep_alive {keep_alive}",
        )

    async def estimate(self, name: ModelName, options: Options) -> MemoryNeed:
        if name not in self.known:
            raise ModelNotFound(str(name))
        return MemoryNeed(
            n_weights=100,
            n_kv=20,
            n_compute=3,
            n_output=1,
            n_projector=0,
            n_draft=0,
            n_needed=124,
            n_accelerator=0,
            n_free=100,
            n_ctx=1024,
            n_cells=1024,
            n_ctx_asked=options.num_ctx or 0,
            fits=False,
            advice=("use a smaller quantization: Q4_K_M or below",),
            n_layers=4,
            placed=(DeviceNeed("CUDA0", 3, 50, 80),),
            note="3 of 4 layers fit on CUDA0",
        )

    async def unload(self, name: ModelName) -> bool:
        self.unloads.append(name)
        was_there = name in self.resident
        self.resident.discard(name)
        return was_there


@dataclass
class FakePrompts:
    """Every character is a token, and a rendered prompt the words of its turns."""

    known: frozenset[ModelName] = frozenset({ModelName.parse("smollm2")})
    requests: list[InferenceRequest] = field(default_factory=list)

    async def render(self, request: InferenceRequest) -> Prompt:
        self.requests.append(request)
        turns = request.messages
        text = request.prompt if turns is None else " ".join(turn.content for turn in turns)
        return await self.tokenize(request.model, text or "", parse_special=True)

    async def tokenize(self, name, text, *, parse_special, keep_alive=None) -> Prompt:
        if name not in self.known:
            raise ModelNotFound(str(name))
        return Prompt(text, tuple(map(ord, text)), 4096)

    async def detokenize(self, name, tokens, *, keep_alive=None) -> Prompt:
        return await self.tokenize(name, "".join(map(chr, tokens)), parse_special=False)


@dataclass
class FakeBlobs:
    """Files in memory."""

    files: dict[str, bytes] = field(default_factory=dict)

    async def has(self, digest: str) -> bool:
        return digest in self.files

    async def receive(self, digest, chunks) -> bool:
        is_new = digest not in self.files
        self.files[digest] = b"".join([chunk async for chunk in chunks])
        return is_new


@dataclass
class FakeModels:
    """A library in memory."""

    library: dict[ModelName, ModelInfo] = field(default_factory=dict)
    error: Exception | None = None  # raised by every call

    def __post_init__(self) -> None:
        if not self.library:
            info = model_info()
            self.library = {info.name: info}

    async def list_models(self) -> Sequence[ModelInfo]:
        if self.error:
            raise self.error
        return list(self.library.values())

    async def show(self, name: ModelName, *, whole: bool = False) -> ModelDetails:
        info = self._find(name)
        return ModelDetails(
            info=info,
            template="{{ messages }}",
            system="Be brief.",
            license="Apache-2.0",
            options=Options(temperature=0.2, stop=("<|im_end|>", 'a "quoted" one')),
            metadata={
                "general.architecture": info.architecture,
                "general.name": "SmolLM2",
                "llama.context_length": info.n_ctx_train,
                "tokenizer.chat_template": "{{ messages }}",
                "tokenizer.ggml.tokens": [str(n) for n in range(9)] if whole else [],
                "tokenizer.ggml.scores": [0.5] * 6,
            },
            tensors=(("token_embd.weight", "Q4_1", (576, 49152), 17_694_720),),
            modelfile=f"FROM {info.name}\n",
        )

    def loading(self) -> Sequence[LoadMoment]:
        return ()

    def running(self) -> Sequence[RunningModel]:
        return [
            RunningModel(info, 200_000_000, 0, 4096, expires_at, 4242, 1, 17, 170)
            for info, expires_at in zip(
                self.library.values(), [1_800_000_000.0, math.inf], strict=False
            )
        ]

    async def copy(self, source: ModelName, destination: ModelName) -> None:
        self.library[destination] = self._find(source)

    async def delete(self, name: ModelName) -> None:
        self._find(name)
        del self.library[name]

    def _find(self, name: ModelName) -> ModelInfo:
        if self.error:
            raise self.error
        if name not in self.library:
            raise ModelNotFound(str(name))
        return self.library[name]


CACHED = CachedPrompt(
    model="smollm2:latest",
    digest="sha256:" + "cd" * 32,
    owner_id="",
    tier=CacheTier.DISK,
    n_tokens=2000,
    n_bytes=46_080_000,
    created_s=1_700_000_000.5,
    used_s=1_700_000_100.0,
)


@dataclass
class FakeCache:
    """One prompt on disk, and one in memory."""

    prompts: tuple[CachedPrompt, ...] = (CACHED, replace(CACHED, tier=CacheTier.MEMORY))
    cleared: list[tuple[ModelName | None, str | None]] = field(default_factory=list)
    conversations: list[str] = field(default_factory=list)  # of them, those that were named
    error: Exception | None = None  # raised by every call

    async def report(self) -> CacheReport:
        if self.error:
            raise self.error
        return CacheReport(self.prompts, 480, 46_080_000, 46_080_000, 1 << 30)

    async def clear(
        self,
        name: ModelName | None = None,
        *,
        owner_id: str | None = None,
        conversation_id: str | None = None,
    ) -> Cleared:
        if self.error:
            raise self.error
        self.cleared.append((name, owner_id))
        self.conversations += [conversation_id] if conversation_id else []
        return Cleared(2, 92_160_000)


DIGEST = "sha256:" + "cd" * 32
PULLED: tuple[Progress, ...] = (
    Progress("pulling manifest"),
    Progress("pulling cdcdcdcdcdcd", 0, 100, DIGEST),
    Progress("pulling cdcdcdcdcdcd", 100, 100, DIGEST),
    Progress("success", name="smollm2:latest"),
)


@dataclass
class FakePulls:
    """Tells ``script``, whatever is asked for."""

    script: Sequence[Progress | Exception] = PULLED
    asked: list[tuple[ModelName | Path | None, ...]] = field(default_factory=list)

    async def pull(
        self, name: ModelName, limit_bps: int | None = None
    ) -> AsyncGenerator[Progress, None]:
        self.asked.append((name,) if limit_bps is None else (name, limit_bps))
        async for moment in self._tell():
            yield moment

    async def pull_apart(self, name: ModelName, limit_bps: int | None = None) -> Job:
        self.asked.append(("apart", name, limit_bps))
        return Job(job_id=7, kind="pull", name=str(name), limit_bps=limit_bps or 0)

    async def import_file(
        self, path: Path, name: ModelName | None
    ) -> AsyncGenerator[Progress, None]:
        self.asked.append((path, name))
        async for moment in self._tell():
            yield moment

    async def _tell(self) -> AsyncGenerator[Progress, None]:
        for step in self.script:
            if isinstance(step, Exception):
                raise step
            yield step


@dataclass
class FakeCreates:
    """Tells ``script``, whatever is asked for; finds every Modelfile wanting."""

    script: Sequence[Progress | Exception] = (
        Progress("writing manifest"),
        Progress("success", name="mine:latest"),
    )
    asked: list[CreateRequest] = field(default_factory=list)

    async def create(self, request: CreateRequest) -> AsyncGenerator[Progress, None]:
        self.asked.append(request)
        for step in self.script:
            if isinstance(step, Exception):
                raise step
            yield step

    async def check(self, text: str) -> CheckedModelfile:
        return CheckedModelfile((ModelfileFinding("error", 2, text, "mend it"),), "FROM x\n")


@dataclass
class FakeSearches:
    """Finds ``result``, whatever is looked for."""

    result: SearchResult | Exception = field(default_factory=lambda: SearchResult(()))
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)

    async def search(self, words: str, *, hub: str, limit: int) -> SearchResult:
        self.asked.append((words, hub, limit))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    async def card(self, text: str) -> ModelCard:
        self.opened.append(text)
        if isinstance(self.result, Exception):
            raise self.result
        return ModelCard(text, "# A card", is_cut=True)


VERIFIED = Verified(
    2, 91_000_000, (Fault("smollm2:latest", "sha256-abab", "one part is bad", "mend it", 4096),)
)
DISK_USE = DiskUse(
    folder="/home/somebody/models",
    models=(ModelUse(ModelName.parse("smollm2"), 91_000_000, 1_000_000),),
    n_model=91_000_000,
    n_unused=5,
    n_partial=6,
    n_quarantine=7,
    n_free=8,
)


@dataclass
class FakeStorage:
    """Says what it was told to say of the library on the disk."""

    asked: list[object] = field(default_factory=list)
    script: Sequence[Progress | Exception] = (Progress("verifying", 1, 2, DIGEST),)

    async def disk_use(self) -> DiskUse:
        return DISK_USE

    async def prune(self, *, is_dry: bool) -> Pruned:
        self.asked.append(is_dry)
        return Pruned((Removable("blobs/sha256-cdcd", 5, "no model uses it"),), is_dry)

    async def verify(
        self, name: ModelName | None, *, is_deep: bool
    ) -> AsyncGenerator[Progress | Verified, None]:
        self.asked.append((name, is_deep))
        for step in self.script:
            if isinstance(step, Exception):
                raise step
            yield step
        yield VERIFIED

    async def repair(self, name: ModelName) -> AsyncGenerator[Progress | Repaired, None]:
        self.asked.append(name)
        for step in self.script:
            if isinstance(step, Exception):
                raise step
            yield step
        yield Repaired(name, 1, 91_000_000, 4096)


def running_request(request_id: str, *, position: int = 0) -> RunningRequest:
    """A request that runs, or waits at ``position``."""
    return RunningRequest(
        id=request_id,
        model=ModelName.parse("smollm2"),
        state=RequestState.QUEUED if position else RequestState.GENERATING,
        position=position,
        priority=Priority.BATCH,
        client_id="127.0.0.1:4711",
        n_prompt=30,
        n_cached=20,
        n_generated=10,
        started_at=1_700_000_000.25,
        seconds=1.5,
    )


@dataclass
class FakeRequests:
    """Two requests, one of which runs."""

    listed: list[RunningRequest] = field(
        default_factory=lambda: [running_request("1"), running_request("2", position=1)]
    )

    async def list_requests(self) -> Sequence[RunningRequest]:
        return self.listed

    def cancel(self, request_id: str) -> None:
        for request in self.listed:
            if request.id == request_id:
                self.listed.remove(request)
                return
        raise RequestNotFound(f"no request '{request_id}' runs or waits", hint="list them")
