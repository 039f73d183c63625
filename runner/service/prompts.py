"""Prompts without answers: what a request comes to for the model, and text to tokens and back."""

from __future__ import annotations

from collections.abc import Callable

from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.domain.prompt import Prompt
from runner.domain.request import InferenceRequest, KeepAlive
from runner.protocol.messages import Detokenize, Generate, Render, Tokenize, Tokenized
from runner.service.inference import InferenceService
from runner.workers.process import new_request_id

Question = Render | Tokenize | Detokenize


class PromptService:
    """Asks a model's worker, which is loaded for it when it is not there."""

    def __init__(self, inference: InferenceService) -> None:
        """Take what finds and loads models."""
        self._inference = inference

    async def render(self, request: InferenceRequest) -> Prompt:
        """Return the prompt that an answer to ``request`` would begin with.

        Raises:
            CorralError: Whatever ``InferenceService.infer`` raises before its first event, but not
                that the prompt is too long.
        """
        return await self._ask(request, lambda generate: Render(new_request_id(), generate))

    async def tokenize(
        self,
        name: ModelName,
        text: str,
        *,
        parse_special: bool,
        keep_alive: KeepAlive | None = None,
    ) -> Prompt:
        """Return the tokens of ``text`` alone; control tokens in it count when ``parse_special``.

        Raises:
            CorralError: The model is missing or cannot be loaded.
        """
        asked = Tokenize(new_request_id(), text, parse_special)
        return await self._ask(_of(name, keep_alive), lambda _: asked)

    async def detokenize(
        self, name: ModelName, tokens: tuple[int, ...], *, keep_alive: KeepAlive | None = None
    ) -> Prompt:
        """Return the text of ``tokens``, control tokens by their names.

        Raises:
            CorralError: The model is missing or cannot be loaded, or there is no such token.
        """
        asked = Detokenize(new_request_id(), tokens)
        return await self._ask(_of(name, keep_alive), lambda _: asked)

    async def _ask(
        self, request: InferenceRequest, question: Callable[[Generate], Question]
    ) -> Prompt:
        async with self._inference.worker(request) as (worker, generate):
            told = await worker.channel.ask(question(generate))
            assert isinstance(told, Tokenized)
            return Prompt(told.text, told.tokens, generate.n_ctx)


def _of(name: ModelName, keep_alive: KeepAlive | None) -> InferenceRequest:
    return InferenceRequest(name, prompt="", options=Options(), keep_alive=keep_alive)
