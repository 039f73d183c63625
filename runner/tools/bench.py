"""``Time``: a model's speed through the engine that serves it, at several depths and side by side.

What is measured is what a client gets: scheduler, samplers and all, but no HTTP.  Prompts are made
of random tokens, so that none begins like another; a context of some depth is computed first and
shared, and only what comes after it is measured.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue

from runner.domain.options import SamplingParams
from runner.domain.quality import BenchRow
from runner.engine.llama.backend import LlamaBackend
from runner.engine.llama.identity import build
from runner.engine.loop import Loop
from runner.errors import InvalidRequest, WorkerError
from runner.protocol.messages import Failed, Generate, Load, Message, Outcome, Shutdown, Step
from runner.protocol.tasks import Moment, Time, Timed

_GREEDY = SamplingParams(temperature=0.0, ignore_eos=True)
_SEED = 11
#: Below it the tokens of a vocabulary are often control tokens or single bytes.
_FIRST_TOKEN = 300


def run(task: Time, tell: Callable[[Moment], None]) -> Timed:
    """Do the task.

    Raises:
        InvalidRequest: The model's context is too small for a depth.
        WorkerError: The model cannot be loaded, or fails on the way.
        NotEnoughMemory: The context does not fit.
    """
    tell(Moment("loading"))
    began = time.monotonic()
    backend = _backend(task)
    load_s = time.monotonic() - began
    try:
        _check_room(task, backend.n_ctx)
        with _Bench(backend) as bench:
            rows = [
                _point(bench, task, depth, concurrency, tell)
                for depth, concurrency in points(task.depths, task.concurrencies)
            ]
    finally:
        backend.close()
    return Timed(tuple(rows), load_s, backend.n_threads, build())


def points(depths: tuple[int, ...], concurrencies: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return what is measured: each depth alone, then several at once at the least depth."""
    alone = [(depth, 1) for depth in sorted(set(depths))]
    shared = [(min(depths), n) for n in sorted(set(concurrencies)) if n > 1]
    return alone + shared


def _backend(task: Time) -> LlamaBackend:
    n_most = max(task.concurrencies)
    n_each = task.n_prompt + task.n_generate + 8
    n_cells = max(max(task.depths) + n_each, min(task.depths) + n_most * n_each)
    # A point's prompts, beside what is left of those before in the cache.
    return LlamaBackend(
        Load(
            "load",
            task.model.paths[0],
            n_ctx=max(task.depths) + n_each,
            n_cells=n_cells + max(task.depths) + n_each,
            n_seq_max=n_most,
            n_threads=task.n_threads,
            adapters=task.model.adapters,
            shards=task.model.paths if len(task.model.paths) > 1 else (),
        )
    )


def _check_room(task: Time, n_ctx: int) -> None:
    n_most = max(task.depths) + task.n_prompt + task.n_generate
    if n_most > n_ctx:
        raise InvalidRequest(
            f"the model's context holds {n_ctx} tokens; depth {max(task.depths)} needs {n_most}",
            hint=f"ask for depths up to {max(0, n_ctx - task.n_prompt - task.n_generate)}",
            param="depths",
        )


def _point(
    bench: _Bench, task: Time, depth: int, concurrency: int, tell: Callable[[Moment], None]
) -> BenchRow:
    prompts, answers = [], []
    for number in range(task.n_repeats):
        words = f"depth {depth}, {concurrency} at once, {number + 1} of {task.n_repeats}"
        tell(Moment(f"timing {words}"))
        before = bench.words(depth)
        if depth:
            bench.ask([(before, 1)])  # so that what follows finds it computed
        asked = [
            ([*before, *bench.words(task.n_prompt)], task.n_generate) for _ in range(concurrency)
        ]
        times = bench.ask(asked)
        prompts.append(concurrency * task.n_prompt / times.prompt_s)
        answers.append(concurrency * (task.n_generate - 1) / times.generate_s)
    return BenchRow(
        depth=depth,
        concurrency=concurrency,
        prompt_tps=round(statistics.median(prompts), 2),
        generate_tps=round(statistics.median(answers), 2),
        prompt_spread=_spread(prompts),
        generate_spread=_spread(answers),
    )


def _spread(values: list[float]) -> float:
    return round((max(values) - min(values)) / statistics.median(values), 3)


@dataclass(slots=True)
class _Times:
    """Seconds: until the last of several has its first token, and from there to the last token."""

    prompt_s: float
    generate_s: float


@dataclass(slots=True)
class _Asked:
    """Requests that are on their way."""

    n: int
    first_s: dict[str, float] = field(default_factory=dict)
    last_s: dict[str, float] = field(default_factory=dict)


class _Bench:
    """The engine's loop on a thread of its own, and requests made of tokens."""

    def __init__(self, backend: LlamaBackend) -> None:
        self._random = random.Random(_SEED)
        self._n_vocab = backend.model.n_vocab
        self._messages: SimpleQueue[tuple[float, Message] | Exception] = SimpleQueue()
        self._loop = Loop(backend.model, backend, self._hear)
        self._thread = threading.Thread(target=self._run, name="loop")
        self._n_asked = 0

    def __enter__(self) -> _Bench:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.receive(Shutdown())
        self._thread.join()

    def words(self, n: int) -> list[int]:
        """Return random tokens."""
        low = min(_FIRST_TOKEN, self._n_vocab // 2)
        return [self._random.randrange(low, self._n_vocab) for _ in range(n)]

    def ask(self, prompts: list[tuple[list[int], int]]) -> _Times:
        """Send prompts at once with the number of tokens that each shall get; wait for them all.

        Raises:
            WorkerError: One of them failed.
        """
        asked = _Asked(len(prompts))
        began = time.monotonic()
        for tokens, n_generate in prompts:
            self._n_asked += 1
            self._loop.receive(
                Generate(
                    f"b{self._n_asked}",
                    _GREEDY,
                    prompt="",
                    context=tuple(tokens),
                    max_tokens=n_generate,
                )
            )
        while len(asked.last_s) < asked.n:
            item = self._messages.get()
            if isinstance(item, Exception):
                raise WorkerError(f"the engine failed: {item}") from item
            self._note(asked, *item)
        first_s = max(asked.first_s.values())
        return _Times(first_s - began, max(1e-9, max(asked.last_s.values()) - first_s))

    def _note(self, asked: _Asked, at_s: float, message: Message) -> None:
        if isinstance(message, Failed):
            raise WorkerError(f"the engine failed: {message.message}", hint=message.hint)
        if not isinstance(message, Step):
            return
        for delta in message.deltas:
            if delta.finish:
                asked.last_s[delta.request_id] = at_s
                asked.first_s[delta.request_id] = at_s - _decode_s(delta.finish)

    def _hear(self, message: Message) -> None:
        self._messages.put((time.monotonic(), message))

    def _run(self) -> None:
        try:
            self._loop.run()
        except Exception as error:
            self._messages.put(error)


def _decode_s(outcome: Outcome) -> float:
    """Seconds from the first token to the last: text may be held back, so its coming tells less."""
    return outcome.decode_s
