"""The native API's JSON, decoded: plain dicts to the domain's dataclasses.

Written by hand and without msgspec, for the CLI's start-up time.  What an older or newer daemon
may leave out has a default; what is there but of another shape raises ``KeyError``,
``TypeError`` or ``ValueError``, which ``connection.decoded`` puts into words.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runner.client.connection import Json
from runner.client.decode_measuring import quality
from runner.domain.cache import CachedPrompt, CacheReport, CacheTier, Cleared
from runner.domain.chat import Message
from runner.domain.event import (
    Event,
    Finished,
    FinishReason,
    TextDelta,
    ThinkingDelta,
    Timings,
    ToolCallDelta,
    Usage,
)
from runner.domain.job import Job, JobError, JobState
from runner.domain.key import Key, Scope
from runner.domain.memory import DeviceNeed, MemoryNeed
from runner.domain.model import Capability, ModelDetails, ModelInfo, RunningModel
from runner.domain.name import ModelName
from runner.domain.options import OPTION_SPECS, Options, parse_options
from runner.domain.progress import Progress
from runner.domain.request import Priority
from runner.domain.running import RequestState, RunningRequest
from runner.domain.search import (
    FoundModel,
    FoundQuant,
    HubFailure,
    ModelCard,
    Opened,
    SearchResult,
)

_FOREVER_S = 20 * 365 * 86400  # a later expiry means never; Ollama's own border
_SCALE = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_KNOWN = {capability.value for capability in Capability}


@dataclass(frozen=True, slots=True)
class DaemonVersion:
    """What a daemon says it is.

    Attributes:
        ollama: The level of Ollama's API it matches.
        corral: Its own version; empty when it is not ours.
    """

    ollama: str
    corral: str


@dataclass(frozen=True, slots=True)
class ShownModel:
    """All of one model.

    Attributes:
        details: As the daemon knows it; ``info.digest`` and ``info.n_bytes`` may be unknown
            (empty, 0).
        modelfile: A Modelfile that makes it again.
        parameters: Its parameters, one a line, as a Modelfile has them.
    """

    details: ModelDetails
    modelfile: str
    parameters: str


def version(value: Json) -> DaemonVersion:
    """``GET /api/version``."""
    return DaemonVersion(str(value["version"]), str(value.get("corral", "")))


def models(value: Json) -> list[ModelInfo]:
    """``GET /api/tags``."""
    return [_info(entry, str(entry["name"])) for entry in value["models"]]


def running(value: Json, *, now: float) -> list[RunningModel]:
    """``GET /api/ps``; ``now`` in seconds since the epoch."""
    return [_running(entry, now) for entry in value["models"]]


def estimate(value: Json) -> MemoryNeed:
    """``POST /api/estimate``."""
    return MemoryNeed(
        n_weights=int(value["weights"]),
        n_kv=int(value["kv_cache"]),
        n_compute=int(value["compute"]),
        n_output=int(value["output"]),
        n_projector=int(value["projector"]),
        n_draft=int(value["draft"]),
        n_needed=int(value["needed"]),
        n_accelerator=int(value["accelerator"]),
        n_free=int(value["free"]),
        n_ctx=int(value["context_length"]),
        n_cells=int(value["cache_length"]),
        n_ctx_asked=int(value.get("context_length_asked") or 0),
        fits=bool(value["fits"]),
        advice=tuple(map(str, value["advice"])),
        n_layers=int(value.get("layers") or 0),
        placed=tuple(
            DeviceNeed(str(one["name"]), int(one["layers"]), int(one["needed"]), int(one["free"]))
            for one in value.get("devices") or ()
        ),
        note=str(value.get("note") or ""),
    )


def shown(value: Json, *, name: str) -> ShownModel:
    """``POST /api/show``; ``name`` is the one asked for."""
    parameters = str(value.get("parameters") or "")
    metadata = dict(value.get("model_info") or {})
    details = ModelDetails(
        info=_info({**_facts(metadata, value), **value}, name),
        template=str(value.get("template") or ""),
        system=str(value.get("system") or ""),
        license=_text(value.get("license")),
        options=options(parameters),
        messages=tuple(
            Message(str(m["role"]), str(m.get("content") or ""))
            for m in value.get("messages") or ()
        ),
        metadata=metadata,
        projector=dict(value.get("projector_info") or {}),
        tensors=tuple(
            (
                str(t["name"]),
                str(t["type"]),
                tuple(int(n) for n in t["shape"]),
                int(t.get("size") or 0),
            )
            for t in value.get("tensors") or ()
        ),
        provenance=dict(value.get("provenance") or {}),
        warnings=tuple(map(str, value.get("warnings") or ())),
        quality=quality(value["quality"]) if value.get("quality") else None,
    )
    return ShownModel(details, str(value.get("modelfile") or ""), parameters)


def options(parameters: str) -> Options:
    """Return the options of ``name value`` lines; lists of texts take one each line."""
    raw: dict[str, Any] = {}
    for line in parameters.splitlines():
        name, _, text = line.strip().partition(" ")
        try:
            value = json.loads(text.strip())
        except ValueError:
            value = text.strip()
        if name in OPTION_SPECS and OPTION_SPECS[name].kind is str:
            raw.setdefault(name, []).append(str(value))
        elif name in OPTION_SPECS:
            raw[name] = value
    return parse_options(raw)


def requests(value: Json) -> list[RunningRequest]:
    """``GET /api/requests``."""
    return [_request(entry) for entry in value["requests"]]


def chat_events(line: Json) -> tuple[Event, ...]:
    """One line of ``POST /api/chat``."""
    message = line.get("message") or {}
    calls = tuple(
        ToolCallDelta(
            index=int(call["function"].get("index") or index),
            name=str(call["function"]["name"]),
            arguments=json.dumps(call["function"].get("arguments") or {}, ensure_ascii=False),
            id=str(call.get("id") or ""),
        )
        for index, call in enumerate(message.get("tool_calls") or ())
    )
    return _events(line, message, str(message.get("content") or ""), calls)


def generate_events(line: Json) -> tuple[Event, ...]:
    """One line of ``POST /api/generate``."""
    return _events(line, line, str(line.get("response") or ""))


def progress(line: Json) -> tuple[Progress, ...]:
    """One line of ``POST /api/pull``."""
    n_done, n_bytes = int(line.get("completed") or 0), int(line.get("total") or 0)
    return (
        Progress(
            str(line["status"]),
            n_done,
            n_bytes,
            str(line.get("digest") or ""),
            source=str(line.get("source") or ""),
        ),
    )


def jobs(value: Json) -> list[Job]:
    """``GET /api/jobs``."""
    return [job(entry) for entry in value["jobs"]]


def job(value: Json) -> Job:
    """One job; every call of ``/api/jobs/{id}`` answers with it."""
    error = value.get("error")
    finished = value.get("finished")
    return Job(
        job_id=int(value["id"]),
        kind=str(value["kind"]),
        name=str(value["name"]),
        state=JobState(value["state"]),
        phase=str(value.get("phase") or ""),
        n_done=int(value.get("n_done") or 0),
        n_bytes=int(value.get("n_bytes") or 0),
        rate_bps=int(value.get("rate_bps") or 0),
        eta_s=None if value.get("eta_s") is None else float(value["eta_s"]),
        source=str(value.get("source") or ""),
        error=JobError(str(error["code"]), str(error["message"]), str(error.get("hint") or ""))
        if error
        else None,
        started=moment(value["started"]),
        finished=moment(finished) if finished else None,
        place=int(value.get("place") or 0),
        limit_bps=int(value.get("limit_bps") or 0),
        is_attended=bool(value.get("is_attended")),
    )


def cache(value: Json) -> CacheReport:
    """``GET /api/cache``."""
    tiers = value["tiers"]
    return CacheReport(
        prompts=tuple(
            CachedPrompt(
                model=str(entry["model"]),
                digest=str(entry["digest"]),
                owner_id=str(entry["owner"]),
                tier=CacheTier(entry["tier"]),
                n_tokens=int(entry["tokens"]),
                n_bytes=int(entry["size"]),
                created_s=moment(entry["created_at"]),
                used_s=moment(entry["last_used_at"]),
            )
            for entry in value["prompts"]
        ),
        n_resident_tokens=int(tiers["resident"]["tokens"]),
        n_memory_bytes=int(tiers["memory"]["size"]),
        n_disk_bytes=int(tiers["disk"]["size"]),
        n_disk_max=int(tiers["disk"]["limit"]),
    )


def cleared(value: Json) -> Cleared:
    """``DELETE /api/cache``."""
    return Cleared(int(value["prompts"]), int(value["size"]))


def keys(value: Json) -> list[Key]:
    """``GET /api/keys``."""
    return [key(row) for row in value["keys"]]


def key(value: Json) -> Key:
    """One API key."""
    expires, used = value.get("expires_at"), value.get("last_used_at")
    return Key(
        id=str(value["id"]),
        name=str(value["name"]),
        scopes=frozenset(Scope(scope) for scope in value["scopes"]),
        models=tuple(str(model) for model in value["models"]),
        n_per_minute=int(value["requests_per_minute"]),
        created_at=moment(value["created_at"]),
        expires_at=None if expires is None else moment(expires),
        used_at=None if used is None else moment(used),
    )


def moment(text: str) -> float:
    """Return seconds since the epoch of an RFC 3339 time."""
    return datetime.fromisoformat(text).timestamp()


def _events(line: Json, place: Json, text: str, calls: tuple[Event, ...] = ()) -> tuple[Event, ...]:
    """What one line says; ``place`` is the part of it that has the thoughts."""
    thinking = str(place.get("thinking") or "")
    thoughts: tuple[Event, ...] = (ThinkingDelta(thinking),) if thinking else ()
    words: tuple[Event, ...] = (TextDelta(text),) if text else ()
    end: tuple[Event, ...] = (_finished(line),) if line.get("done") else ()
    return (*thoughts, *words, *calls, *end)


def _finished(line: Json) -> Finished:
    def seconds(key: str) -> float:
        return int(line.get(key) or 0) / 1e9

    reason = str(line.get("done_reason") or "stop")
    return Finished(
        # "load" and "unload" answer an empty prompt; for an answer's reader that is an end too
        reason=FinishReason(reason) if reason in set(FinishReason) else FinishReason.STOP,
        usage=Usage(
            n_prompt=int(line.get("prompt_eval_count") or 0),
            n_cached=int(line.get("prompt_eval_cached_count") or 0),
            n_generated=int(line.get("eval_count") or 0),
            n_drafted=int(line.get("draft_count") or 0),
            n_accepted=int(line.get("draft_accepted_count") or 0),
        ),
        timings=Timings(
            total_s=seconds("total_duration"),
            load_s=seconds("load_duration"),
            prompt_s=seconds("prompt_eval_duration"),
            decode_s=seconds("eval_duration"),
        ),
        context=tuple(int(token) for token in line.get("context") or ()),
        n_shifted=int(line.get("shifted_tokens") or 0),
        n_dropped=int(line.get("dropped_messages") or 0),
    )


def _request(entry: Json) -> RunningRequest:
    return RunningRequest(
        id=str(entry["id"]),
        model=ModelName.parse(str(entry["model"])),
        state=RequestState(entry["state"]),
        position=int(entry["position"]),
        priority=Priority(entry["priority"]),
        client_id=str(entry["client"]),
        n_prompt=int(entry["n_prompt"]),
        n_cached=int(entry["n_cached"]),
        n_generated=int(entry["n_generated"]),
        started_at=moment(entry["started"]),
        seconds=float(entry["seconds"]),
    )


def _running(entry: Json, now: float) -> RunningModel:
    expires_at = moment(entry["expires_at"]) if entry.get("expires_at") else math.inf
    return RunningModel(
        info=_info(entry, str(entry["name"])),
        n_resident=int(entry.get("size") or 0),
        n_vram=int(entry.get("size_vram") or 0),
        n_ctx=int(entry.get("context_length") or 0),
        expires_at=expires_at if expires_at - now < _FOREVER_S else math.inf,
        pid=int(entry.get("pid") or 0),
        n_active=int(entry.get("n_active") or entry.get("active_requests") or 0),
        n_steps=int(entry.get("n_steps") or entry.get("steps") or 0),
        n_tokens=int(entry.get("n_tokens") or entry.get("tokens") or 0),
        n_needed=int(entry.get("needed") or 0),
        load_s=float(entry.get("load_seconds") or 0.0),
        is_pinned=bool(entry.get("pinned")),
        placed=tuple((str(d["name"]), int(d["layers"])) for d in entry.get("devices") or ()),
        note=str(entry.get("note") or ""),
    )


def _info(entry: Json, name: str) -> ModelInfo:
    details = {**(entry.get("details") or {})}
    n_params = details.get("parameter_count") or entry.get("parameter_count")
    modified_at = entry.get("modified_at")
    return ModelInfo(
        name=ModelName.parse(name),
        digest=str(entry.get("digest") or ""),
        n_bytes=int(entry.get("size") or 0),
        modified_at=moment(modified_at) if modified_at else 0.0,
        used_at=moment(used_at) if (used_at := entry.get("last_used_at")) else 0.0,
        architecture=str(details.get("family") or ""),
        n_params=int(n_params) if n_params else _count(str(details.get("parameter_size") or "")),
        quantization=str(details.get("quantization_level") or ""),
        n_ctx_train=int(details.get("context_length") or entry.get("n_ctx_train") or 0),
        n_embd=int(details.get("embedding_length") or entry.get("n_embd") or 0),
        capabilities=tuple(
            Capability(word) for word in entry.get("capabilities") or () if word in _KNOWN
        ),
    )


def _facts(metadata: Json, value: Json) -> Json:
    """What ``/api/show`` says in the GGUF's own keys and ``/api/tags`` in the details."""
    family = metadata.get("general.architecture") or (value.get("details") or {}).get("family")
    return {
        "parameter_count": metadata.get("general.parameter_count"),
        "n_ctx_train": metadata.get(f"{family}.context_length"),
        "n_embd": metadata.get(f"{family}.embedding_length"),
    }


def _count(text: str) -> int:
    """``134.52M`` → 134520000; 0 for what is not a count."""
    found = re.fullmatch(r"([\d.]+)([KMBT]?)", text.strip().upper())
    try:
        return round(float(found[1]) * _SCALE[found[2]]) if found else 0
    except ValueError:
        return 0


def _text(value: object) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value or "")


def search_result(value: Json) -> SearchResult:
    """``GET /api/search``."""
    return SearchResult(
        models=tuple(_found(each) for each in value["models"]),
        failures=tuple(
            HubFailure(
                str(each["hub"]),
                str(each.get("code", "")),
                str(each["error"]),
                str(each.get("hint", "")),
            )
            for each in value.get("errors", ())
        ),
    )


def model_card(value: Json) -> ModelCard:
    """``GET /api/search/card``."""
    return ModelCard(str(value["name"]), str(value["text"]), bool(value.get("truncated")))


def _found(value: Json) -> FoundModel:
    return FoundModel(
        name=str(value["name"]),
        hub=str(value["hub"]),
        n_likes=int(value.get("likes", 0)),
        n_downloads=int(value.get("downloads", 0)),
        license=str(value.get("license", "")),
        is_gated=bool(value.get("gated", False)),
        quants=tuple(
            FoundQuant(
                str(each["name"]),
                int(each.get("size", 0)),
                each.get("fits"),
                n_memory=int(each.get("memory") or 0),
            )
            for each in value.get("quants", ())
        ),
        opened=_opened(value["opened"]) if value.get("opened") else None,
        languages=tuple(map(str, value.get("languages", ()))),
        abilities=tuple(
            Capability(word) for word in value.get("capabilities", ()) if word in _KNOWN
        ),
    )


def _opened(value: Json) -> Opened:
    return Opened(
        chosen=str(value.get("chosen", "")),
        reason=str(value.get("reason", "")),
        architecture=str(value.get("architecture", "")),
        n_params=int(value.get("parameters", 0)),
        n_ctx_train=int(value.get("context_length", 0)),
        n_ctx=int(value.get("memory_context", 0)),
        problem=str(value.get("problem", "")),
    )
