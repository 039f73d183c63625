"""A conversation with one model: what was said, with which settings, and asking the next thing."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from runner.cli import human
from runner.cli.output import Output
from runner.cli.pictures import read, typed
from runner.client.client import Client
from runner.domain.chat import Message
from runner.domain.event import Finished, FinishReason, TextDelta, ThinkingDelta
from runner.domain.model import Capability
from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.domain.request import Priority, Think
from runner.errors import CorralError, InvalidRequest


@dataclass(slots=True)
class Conversation:
    """What the next request is made of.

    Attributes:
        client: The daemon.
        model: Who answers.
        system: Instead of the model's own system message; empty: that one.
        options: What differs from the model's own parameters.
        keep_alive: Seconds the model stays loaded; ``None``: the daemon's setting.
        is_verbose: Whether a summary follows each answer.
        is_wrapped: Whether answers are fitted to the terminal, word by word.
        think: Whether the model thinks first, and how hard; ``None``: as it does by itself.
        shows_thinking: Whether thoughts are shown before the answer.
        form: ``json``, or the JSON schema that answers follow; ``None``: any text.
        turns: What was said, system message apart.
    """

    client: Client
    model: str
    system: str = ""
    options: Options = field(default_factory=Options)
    keep_alive: float | None = None
    is_verbose: bool = False
    is_wrapped: bool = True
    think: Think = None
    shows_thinking: bool = True
    form: str | dict[str, Any] | None = None
    turns: list[Message] = field(default_factory=list)
    _sees: tuple[str, bool] = ("", False)  # whether the model of that name does

    def load(self, out: Output) -> None:
        """Bring the model into memory, so that what is wrong with it shows before the chat."""
        request = self.client.chat(self.model, (), options=self.options, keep_alive=self.keep_alive)
        with out.waiting(f"loading {self.model}"), request as answer:
            for _ in answer:
                pass

    def n_ctx(self) -> int:
        """Return the context of the model in memory, in tokens; 0 when that is not known."""
        try:
            name = ModelName.parse(self.model)
            # What is in memory may be there under another name of the same model.
            digests = {model.digest for model in self.client.list_models() if model.name == name}
            found = [m.n_ctx for m in self.client.running() if m.info.digest in digests]
        except CorralError:
            return 0
        return min([*found, self.options.num_ctx or found[0]]) if found else 0

    def ask(self, text: str, out: Output, waiting: str = "", before: str = "") -> None:
        """Write the answer to ``text`` to stdout as it comes, and remember both.

        What Ctrl-C leaves of an answer is remembered too; after an error nothing is.  A model that
        sees is shown the images whose paths are in the text.

        Args:
            text: What was typed.
            out: Where the answer goes.
            waiting: What is said until it comes.
            before: What stands before the text, and is not looked through for paths.

        Raises:
            KeyboardInterrupt: Ctrl-C stopped the answer.
            CorralError: There is no answer, or not all of it.
        """
        system = [Message("system", self.system)] if self.system else []
        question = self._question(text, before, out)
        request = self.client.chat(
            self.model,
            [*system, *self.turns, question],
            options=self.options,
            keep_alive=self.keep_alive,
            priority=Priority.INTERACTIVE,  # somebody looks at the answer as it comes
            think=self.think,
            form=self.form,
        )
        parts: list[str] = []
        thoughts = out.thoughts(is_shown=self.shows_thinking)
        shown = out.answer(is_wrapped=self.is_wrapped)
        finished = None
        try:
            with out.waiting(waiting) as notice, request as answer:
                for event in answer:
                    notice.end()
                    match event:
                        case ThinkingDelta():
                            thoughts.write(event.text)
                        case TextDelta():
                            thoughts.end()
                            parts.append(event.text)
                            shown.write(event.text)
                        case Finished():
                            finished = event
                        case _:
                            pass
        except KeyboardInterrupt:
            if parts:
                self._remember(question, parts)
            raise
        finally:
            thoughts.end()
            shown.end()
        self._remember(question, parts)
        if finished is not None:
            self._report(finished, out)

    def _question(self, text: str, before: str, out: Output) -> Message:
        found = typed(text)
        if not found.paths or not self._is_seeing():
            return Message("user", joined(before, text))
        images = tuple(read(path) for path in found.paths)
        for path in found.paths:
            out.say(f"Added image '{path}'")
        return Message("user", joined(before, found.text), images=images)

    def _is_seeing(self) -> bool:
        if self._sees[0] != self.model:
            can = self.client.show(self.model).details.info.capabilities
            self._sees = self.model, Capability.VISION in can
        return self._sees[1]

    def can_think(self) -> bool:
        """Whether the model can be asked to think first."""
        return Capability.THINKING in self.client.show(self.model).details.info.capabilities

    def own_turns(self) -> tuple[Message, ...]:
        """Return the messages that the model itself begins every conversation with."""
        return self.client.show(self.model).details.messages

    def save(self, name: str) -> None:
        """Make a model of this conversation: its model, settings and what was said.

        Raises:
            CorralError: The name is none, the model cannot be made, or images were shown.
        """
        if any(turn.images for turn in self.turns):
            raise InvalidRequest(
                "what was said has images, and a model keeps words alone",
                hint="forget it with /clear, then save the model and its settings",
            )
        turns = [*self.own_turns(), *self.turns]
        body: dict[str, Any] = {
            "from": self.model,
            "parameters": self.options.set_values(),
            "messages": [{"role": turn.role, "content": turn.content} for turn in turns],
        }
        if self.system:
            body["system"] = self.system
        with self.client.create(name, body) as steps:
            for _ in steps:
                pass

    def _remember(self, question: Message, parts: list[str]) -> None:
        self.turns += [question, Message("assistant", "".join(parts))]

    def _report(self, finished: Finished, out: Output) -> None:
        if finished.reason is FinishReason.LENGTH:
            out.say(
                f"[cut off after {finished.usage.n_generated} tokens: num_predict, "
                "or the context is full]"
            )
        if self.is_verbose:
            for line in summary(finished):
                out.say(line)


def joined(before: str, text: str) -> str:
    """Return what came in before a prompt, and the prompt."""
    return f"{before} {text}" if before and text else before or text


def summary(finished: Finished) -> list[str]:
    """Return where an answer's time went, as ``ollama run --verbose`` lists it."""
    usage, timings = finished.usage, finished.timings
    rows = chain(
        [("total duration", human.span(timings.total_s))],
        [("load duration", human.span(timings.load_s))] if timings.load_s else [],
        _speed("prompt eval", usage.n_prompt, timings.prompt_s),
        _speed("eval", usage.n_generated, timings.decode_s),
    )
    return [f"{name + ':':21} {value}" for name, value in rows]


def _speed(what: str, n_tokens: int, seconds: float) -> list[tuple[str, str]]:
    rows = [(f"{what} count", f"{n_tokens} token(s)")] if n_tokens else []
    if seconds:
        rows.append((f"{what} duration", human.span(seconds)))
        rows.append((f"{what} rate", f"{n_tokens / seconds:.2f} tokens/s"))
    return rows
