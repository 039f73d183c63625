"""What any dialect's call comes down to before the engine sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

from runner.domain.chat import Message
from runner.domain.name import ModelName
from runner.domain.options import Options

#: Seconds a model stays loaded after its last request; ``math.inf`` for ever, 0 not at all.
KeepAlive = float


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """One answer wanted: to ``messages`` through the model's template, or to ``prompt`` raw.

    Attributes:
        model: Which model.
        messages: The conversation; ``None`` when ``prompt`` is set.
        prompt: Raw text for the model, control tokens parsed; ``None`` when ``messages`` is set.
        options: What the request itself sets; the model's parameters lie under it.
        keep_alive: How long the model stays loaded afterwards; ``None``: the daemon's setting.
        context: Tokens that precede the rendered prompt (Ollama's deprecated ``context``).
        wants_context: Whether ``Finished`` shall carry all tokens.
    """

    model: ModelName
    messages: tuple[Message, ...] | None = None
    prompt: str | None = None
    options: Options = field(default_factory=Options)
    keep_alive: KeepAlive | None = None
    context: tuple[int, ...] = ()
    wants_context: bool = False
