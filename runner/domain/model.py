"""Models: as they lie in the library, and as they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from runner.domain.chat import Message
from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.domain.quality import QualityReport


class Capability(StrEnum):
    """What a model can do, in the words of Ollama's API; the last one is ours."""

    COMPLETION = "completion"
    TOOLS = "tools"
    INSERT = "insert"
    VISION = "vision"
    EMBEDDING = "embedding"
    THINKING = "thinking"
    RERANK = "rerank"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One line of the library.

    Attributes:
        name: As the user wrote it.
        digest: Its id, 64 hex digits; names of the same model share it.
        n_bytes: Size of all its blobs.
        modified_at: Seconds since the epoch.
        architecture: ``general.architecture``: ``llama``, ``qwen3``.
        n_params: Weights, counted from the tensor table.
        quantization: ``Q4_K_M``, ``F16``.
        n_ctx_train: Context length it was trained for, in tokens; 0 if the file does not say.
        n_embd: Width of its embeddings; 0 if the file does not say.
        capabilities: What it can do.
        used_at: When it was last asked something, in seconds since the epoch; 0: not known.
    """

    name: ModelName
    digest: str
    n_bytes: int
    modified_at: float
    architecture: str
    n_params: int
    quantization: str
    n_ctx_train: int
    n_embd: int
    capabilities: tuple[Capability, ...]
    used_at: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """All that ``show`` tells.

    Attributes:
        info: The line of the library.
        template: The chat template's source; empty when the file has none.
        system: The model's own system message.
        license: Licence text or name.
        options: The model's own parameters.
        messages: Turns that open every conversation.
        has_own_template: Whether ``template`` stands in place of the file's own.
        requires: The least version of the API that may use it; or empty.
        modelfile: What makes the model again.
        metadata: The GGUF key/values; long arrays are empty where they were not asked for.
        projector: The same of its projector; empty: it has none.
        tensors: ``(name, type, shape, bytes)`` of each tensor.
        provenance: Where it came from: ``source`` and ``time``, and for each of its ``files`` the
            hub, repository, revision, path, digest, size and licence, as far as they are known.
        warnings: What is worth a look in its chat template, in words.
        quality: What was measured last of how good it is; ``None``: nothing yet.
    """

    info: ModelInfo
    template: str
    system: str
    license: str
    options: Options
    messages: tuple[Message, ...] = ()
    has_own_template: bool = False
    requires: str = ""
    modelfile: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    projector: Mapping[str, Any] = field(default_factory=dict)
    tensors: tuple[tuple[str, str, tuple[int, ...], int], ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    quality: QualityReport | None = None


@dataclass(frozen=True, slots=True)
class RunningModel:
    """A model in memory.

    Attributes:
        info: The line of the library.
        n_resident: Bytes its worker holds, all devices together.
        n_vram: Bytes of them on accelerators.
        n_ctx: Context of one sequence, in tokens.
        expires_at: Seconds since the epoch; ``math.inf`` for ever.
        pid: Process id of its worker.
        n_active: Requests it is answering or has waiting.
        n_steps: Decode steps since it was loaded.
        n_tokens: Tokens computed since it was loaded, prompts included.
        n_needed: Bytes of main memory that it was estimated to need.
        load_s: Seconds that its load took.
        is_pinned: Whether it stays until it is told to go.
        placed: Devices that have layers of it, and how many each; the processor has the rest.
        note: Why fewer are there than was wanted; empty: all is as it should be.
    """

    info: ModelInfo
    n_resident: int
    n_vram: int
    n_ctx: int
    expires_at: float
    pid: int
    n_active: int
    n_steps: int
    n_tokens: int
    n_needed: int = 0
    load_s: float = 0.0
    is_pinned: bool = False
    placed: tuple[tuple[str, int], ...] = ()
    note: str = ""
