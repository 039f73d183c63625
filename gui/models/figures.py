"""What an answer's figures say, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gui.words import tr
from runner.domain.running import RequestState, RunningRequest


@dataclass(frozen=True, slots=True)
class Context:
    """How full a context is, in tokens.

    Attributes:
        n_cached: Of the prompt, taken from the cache.
        n_new: Of the prompt, computed.
        n_answer: The last answer.
        n_ctx: All there is room for; 0: not known.
        parts: Of the prompt, about: the system prompt, earlier turns, the last question.
    """

    n_cached: int
    n_new: int
    n_answer: int
    n_ctx: int
    parts: tuple[int, int, int] = (0, 0, 0)

    @property
    def n_used(self) -> int:
        """Tokens in use."""
        return self.n_cached + self.n_new + self.n_answer

    def text(self) -> str:
        """Return the figures in a line."""
        if not self.n_ctx:
            return tr("{n} tokens", n=f"{self.n_used:,}")
        return tr("{n} of {all} tokens", n=f"{self.n_used:,}", all=f"{self.n_ctx:,}")

    def details(self) -> str:
        """Return what the context is made of, a line each."""
        system, earlier, question = self.parts
        lines = [tr("Context: {text}", text=self.text())]
        if system:
            lines.append(tr("System prompt, about: {n}", n=f"{system:,}"))
        if earlier:
            lines.append(tr("Earlier turns, about: {n}", n=f"{earlier:,}"))
        if question:
            lines.append(tr("Last question, about: {n}", n=f"{question:,}"))
        lines += [
            tr("Last answer: {n}", n=f"{self.n_answer:,}"),
            tr("Prompt, from the cache: {n}", n=f"{self.n_cached:,}"),
            tr("Prompt, computed: {n}", n=f"{self.n_new:,}"),
        ]
        if self.n_ctx:
            lines.append(tr("Free: {n}", n=f"{max(0, self.n_ctx - self.n_used):,}"))
        return "\n".join(lines)


def context_of(
    figures: Mapping[str, Any], n_ctx: int, sizes: tuple[int, int, int] = (0, 0, 0)
) -> Context:
    """Return how an answer left the context.

    Args:
        figures: Of the answer.
        n_ctx: Tokens there is room for; 0: not known.
        sizes: Characters of the system prompt, earlier turns and the last question, by which the
            prompt's tokens are shared out: the daemon counts them together.
    """
    n_prompt, n_cached = int(figures.get("n_prompt", 0)), int(figures.get("n_cached", 0))
    n_answer = int(figures.get("n_generated", 0))
    system, earlier, question = sizes
    whole = max(1, system + earlier + question)
    first, second = n_prompt * system // whole, n_prompt * earlier // whole
    parts = (first, second, n_prompt - first - second if question else 0)
    return Context(n_cached, max(0, n_prompt - n_cached), n_answer, n_ctx, parts)


def waiting_text(request: RunningRequest) -> str:
    """Return what a question that is not answered yet waits for; empty: its answer comes."""
    match request.state:
        case RequestState.QUEUED if request.position > 0:
            return tr("Place {n} in the queue", n=request.position)
        case RequestState.PROMPT if request.n_prompt:
            told = tr("Reading {n} tokens", n=f"{request.n_prompt:,}")
            if request.n_cached:
                told += " · " + tr("{n} from the cache", n=f"{request.n_cached:,}")
            return told
        case _:
            return ""


def figures_text(figures: Mapping[str, Any]) -> str:
    """Return an answer's figures in a line; empty when there are none."""
    parts = []
    n_generated, decode_s = int(figures.get("n_generated", 0)), float(figures.get("decode_s", 0))
    if n_generated:
        parts.append(tr("{n} tokens", n=f"{n_generated:,}"))
    if n_generated > 1 and decode_s > 0:
        # The first token's time is the prompt's.
        parts.append(tr("{n} tokens/s", n=f"{(n_generated - 1) / decode_s:.1f}"))
    if "ttft_s" in figures:
        parts.append(tr("first after {time}", time=seconds(float(figures["ttft_s"]))))
    if n_cached := int(figures.get("n_cached", 0)):
        parts.append(tr("{n} from the cache", n=f"{n_cached:,}"))
    if n_dropped := int(figures.get("n_dropped", 0)):
        parts.append(tr("without the {n} oldest turns", n=n_dropped))
    if figures.get("reason") == "length":
        parts.append(tr("cut off at the limit"))
    elif figures.get("reason") == "stopped":
        parts.append(tr("stopped"))
    return " · ".join(parts)


def seconds(value: float) -> str:
    """Return a time as a person reads it."""
    if value < 10:
        return tr("{n} s", n=f"{value:.1f}")
    if value < 60:
        return tr("{n} s", n=f"{value:.0f}")
    return tr("{m} min {n} s", m=int(value) // 60, n=int(value) % 60)
