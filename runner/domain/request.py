"""What any dialect's call comes down to before the engine sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from runner.domain.chat import Message, Tool
from runner.domain.name import ModelName
from runner.domain.options import Options

#: Seconds a model stays loaded after its last request; ``math.inf`` for ever, 0 not at all.
KeepAlive = float

#: Whether a model shall think first, and how hard; ``None``: as its template does by itself.
Think = bool | Literal["low", "medium", "high", "max"] | None


class Priority(StrEnum):
    """Who goes first when not everybody can; the order is that of the members."""

    INTERACTIVE = "interactive"  # somebody looks at the answer as it comes
    API = "api"
    BATCH = "batch"  # nobody waits


class CacheUse(StrEnum):
    """Where a prompt's state may come from and be kept; each includes those before it."""

    NONE = "none"
    MEMORY = "memory"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class Constraint:
    """What an answer must look like.

    Attributes:
        kind: The language of ``text``; ``json``: any JSON object, ``text`` is empty.
        text: A JSON schema, a regular expression, a Lark grammar or a GBNF grammar.
        after: It begins once this text was generated; empty: with the first token.
        opening: With ``after``: text that may come first; if it does not, the constraint begins
            with the first token.
        field: Where the caller wrote it, for messages.
    """

    kind: Literal["json", "json_schema", "regex", "lark", "gbnf"]
    text: str = ""
    after: str = ""
    opening: str = ""
    field: str = "format"


@dataclass(frozen=True, slots=True)
class ThoughtBound:
    """How a model's thoughts are told from its answer, and how much of it they may be.

    By itself it bounds nothing: then they are counted only.

    Attributes:
        open: What begins them.
        close: What ends them.
        ending: What is put there when they have reached their bound; it begins with ``close``.
        n_most: Most tokens of thoughts; ``None``: ``share`` alone bounds them.
        share: Of all the tokens that the answer may have.
        returns: Whether they may begin again after something else.
    """

    open: str
    close: str
    ending: str
    n_most: int | None = None
    share: float = 1.0
    returns: bool = False

    @property
    def is_bound(self) -> bool:
        """Whether they may not be the whole answer."""
        return self.n_most is not None or self.share < 1.0


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether to call tools: as the model likes, not at all, at least one, or the one named.

    ``is_parallel`` says whether one answer may hold several calls.
    """

    mode: Literal["auto", "none", "required", "named"] = "auto"
    name: str = ""
    is_parallel: bool = True


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms the engine takes a request; not about what is answered.

    Attributes:
        priority: Its class.
        client_id: Who asks, for fairness: an API key's id or a connection's.
        owner_id: Whose prompts may be shared with it; empty: the user of this machine.
        deadline_s: Seconds it may take in all; ``None``: no limit.
        cache: Where its prompt's state may come from and be kept.
        is_deterministic: The same bytes whatever else runs and whatever is cached.
        conversation_id: The caller's name for what the request is part of; what is kept of it is
            cleared by that name.
    """

    priority: Priority = Priority.API
    client_id: str = ""
    owner_id: str = ""
    deadline_s: float | None = None
    cache: CacheUse = CacheUse.DISK
    is_deterministic: bool = False
    conversation_id: str = ""


@dataclass(frozen=True, slots=True)
class AdapterUse:
    """A LoRA adapter of the model, by its number from 0, and how strongly it counts."""

    id: int
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """Answers wanted: to ``messages`` through the model's template, or to ``prompt`` raw.

    Attributes:
        model: Which model.
        messages: The conversation; ``None`` when ``prompt`` is set.
        prompt: Raw text for the model, control tokens parsed; ``None`` when ``messages`` is set.
        options: What the request itself sets; the model's parameters lie under it.
        keep_alive: How long the model stays loaded afterwards; ``None``: the daemon's setting.
        context: Tokens that precede the rendered prompt (Ollama's deprecated ``context``), or all
            of the prompt when ``prompt`` is empty.
        wants_context: Whether ``Finished`` shall carry all tokens.
        terms: How the engine is to treat it.
        n: Answers wanted; each event says by ``choice`` which one it belongs to.
        tools: What the model may call.
        tool_choice: Whether it must.
        think: Whether it shall think first.
        thinks_if_able: A model that knows no thinking answers without; else it is an error.
        n_think_max: Most tokens of thoughts, then they are ended; ``None``: as ``think`` says.
        constraint: What the answer must look like.
        n_logprobs: Most likely tokens to tell at each place, 0: the drawn one; ``None``: none.
        tells_prompt: Whether to tell the same of the prompt's tokens.
        tells_progress: Whether to tell on the way how far it is.
        suffix: Text that follows the answer, for models that fill in the middle.
        template: A chat template in place of the model's own.
        shifts: When the context is full, the oldest tokens go and the answer goes on.
        truncates: A conversation that does not fit loses its oldest turns.
        adapters: Adapters to answer with; ``None``: all of the model's own, at full scale.
    """

    model: ModelName
    messages: tuple[Message, ...] | None = None
    prompt: str | None = None
    options: Options = field(default_factory=Options)
    keep_alive: KeepAlive | None = None
    context: tuple[int, ...] = ()
    wants_context: bool = False
    terms: Terms = field(default_factory=Terms)
    n: int = 1
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    think: Think = None
    thinks_if_able: bool = False
    n_think_max: int | None = None
    constraint: Constraint | None = None
    n_logprobs: int | None = None
    tells_prompt: bool = False
    tells_progress: bool = False
    suffix: str = ""
    template: str | None = None
    shifts: bool = False
    truncates: bool = False
    adapters: tuple[AdapterUse, ...] | None = None


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """Vectors wanted, one for each input.

    Attributes:
        model: Which model.
        inputs: Texts, or tokens.
        n_dimensions: Length of each vector, cut and normalised again; ``None``: the model's own.
        truncates: An input beyond the context is cut to it; else it is an error.
        normalizes: Whether each vector is scaled to length 1.
        pooling: In place of what the model's file says; ``None``: as it says.
        options: What the request itself sets.
        keep_alive: As in ``InferenceRequest``.
        terms: How the engine is to treat it.
    """

    model: ModelName
    inputs: tuple[str | tuple[int, ...], ...]
    n_dimensions: int | None = None
    truncates: bool = True
    normalizes: bool = True
    pooling: Literal["mean", "cls", "last", "none"] | None = None
    options: Options = field(default_factory=Options)
    keep_alive: KeepAlive | None = None
    terms: Terms = field(default_factory=Terms)


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """A score wanted for each document: how well it answers the query."""

    model: ModelName
    query: str
    documents: tuple[str, ...]
    truncates: bool = True
    options: Options = field(default_factory=Options)
    keep_alive: KeepAlive | None = None
    terms: Terms = field(default_factory=Terms)
