"""``Measure``: how well a model foretells a text, and how far it is from its source.

Computed as llama.cpp's own ``tools/perplexity`` does: the text is cut into windows of ``n_ctx``
tokens, the first token of each is replaced by the one that opens a text (where the model has one),
and the tokens of the second half are scored, so that each has half a window before it.  A rest that
fills no window is left out.  The divergence is computed from both models' own logits, while that
tool keeps the source's in 16 bits and drops tokens less likely than e^-16.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from runner.engine.llama import library
from runner.engine.llama.evaluate import Reader
from runner.engine.llama.identity import build
from runner.errors import InvalidRequest
from runner.protocol.tasks import Measure, Measured, Moment, Weights

Logits = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

#: Rows whose probabilities are held at a time: a large vocabulary's take half a megabyte each.
_N_ROWS = 64


@dataclass(slots=True)
class Scores:
    """Negative log-likelihoods, window by window."""

    total: float = 0.0
    squares: float = 0.0
    n: int = 0
    running: list[float] = field(default_factory=list)

    def add(self, nll: Floats) -> None:
        """Take those of further tokens."""
        self.total += float(nll.sum())
        self.squares += float((nll**2).sum())
        self.n += len(nll)

    def end_window(self) -> None:
        """Note the perplexity so far."""
        self.running.append(self.perplexity)

    @property
    def perplexity(self) -> float:
        """``exp`` of the mean."""
        return float(np.exp(self.total / self.n))

    @property
    def error(self) -> float:
        """Standard error of the perplexity."""
        return _standard_error(self.total, self.squares, self.n) * self.perplexity


@dataclass(slots=True)
class Distances:
    """Divergences from a source's distribution, and how often both hold the same most likely."""

    values: list[Floats] = field(default_factory=list)
    n_same: int = 0

    def add(self, kld: Floats, n_same: int) -> None:
        """Take those of further tokens."""
        self.values.append(kld)
        self.n_same += n_same


def run(task: Measure, tell: Callable[[Moment], None]) -> Measured:
    """Do the task.

    Raises:
        InvalidRequest: The text is too short, or the two models have other tokens.
        WorkerError: A model cannot be loaded or computed.
        NotEnoughMemory: A context does not fit.
    """
    library.start()
    with contextlib.ExitStack() as stack:

        def open_(weights: Weights) -> Reader:
            tell(Moment("loading"))
            reader = Reader(
                weights.paths, weights.adapters, n_ctx=task.n_ctx, n_threads=task.n_threads
            )
            stack.callback(reader.close)
            return reader

        model = open_(task.model)
        source = open_(task.source) if task.source else None
        tokens = model.tokenize(task.text)
        n_windows = _n_windows(task, tokens)
        if source is not None and (
            source.n_vocab != model.n_vocab or source.tokenize(task.text) != tokens
        ):
            raise InvalidRequest(
                f"the two models have other tokens ({model.n_vocab} and {source.n_vocab})",
                hint="compare a model with the one it was made from",
                param="source",
            )
        own, others, distances = Scores(), Scores(), Distances()
        n_text = len(task.text.encode("utf-8", "replace"))
        n_bytes = n_text * n_windows * task.n_ctx // max(1, len(tokens))
        for number in range(n_windows):
            tell(Moment("measuring", n_bytes * number // n_windows, n_bytes))
            window = tokens[number * task.n_ctx : (number + 1) * task.n_ctx]
            opened = [*model.opening, *window[len(model.opening) :]]
            for targets, rows, source_rows in _rows(model, source, opened, window):
                own.add(_nll(rows, targets))
                if source_rows is not None:
                    others.add(_nll(source_rows, targets))
                    distances.add(*_divergence(rows, source_rows))
            own.end_window()
            if source is not None:
                others.end_window()
        tell(Moment("measuring", n_bytes, n_bytes))
        found = _measured(own, n_windows, n_windows * task.n_ctx / max(1e-9, model.native_s))
    return found if source is None else _compared(found, others, distances)


def _n_windows(task: Measure, tokens: list[int]) -> int:
    n_least = 2 * task.n_ctx
    if len(tokens) < n_least:
        raise InvalidRequest(
            f"the text has {len(tokens)} tokens; windows of {task.n_ctx} need {n_least} at least",
            hint="give a longer text, or a smaller window",
            param="text",
        )
    n = len(tokens) // task.n_ctx
    return min(n, task.n_windows) if task.n_windows else n


def _rows(
    model: Reader, source: Reader | None, opened: list[int], window: list[int]
) -> Iterator[tuple[npt.NDArray[np.int64], Logits, Logits | None]]:
    """Yield the scored tokens of a window, what foretells them, and what the source foretells."""
    first = len(window) // 2
    at = first + 1
    blocks = source.read(opened, first) if source else None
    for rows in model.read(opened, first):
        others = next(blocks) if blocks else None
        n = min(len(rows), len(window) - at)  # the last row foretells what is not in the window
        for start in range(0, n, _N_ROWS):
            end = min(n, start + _N_ROWS)
            targets = np.array(window[at + start : at + end], np.int64)
            yield targets, rows[start:end], None if others is None else others[start:end]
        at += n


def _log_softmax(logits: Logits) -> Floats:
    shifted = (logits - logits.max(axis=1, keepdims=True)).astype(np.float64)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _nll(logits: Logits, targets: npt.NDArray[np.int64]) -> Floats:
    """Return each target's negative log-likelihood, in nats."""
    return np.asarray(-_log_softmax(logits)[np.arange(len(targets)), targets])


def _divergence(logits: Logits, source: Logits) -> tuple[Floats, int]:
    """Return KL(source || model) of each row in nats, and how many rows agree on the likeliest."""
    own, base = _log_softmax(logits), _log_softmax(source)
    kld = (np.exp(base) * (base - own)).sum(axis=1)
    n_same = int((own.argmax(axis=1) == base.argmax(axis=1)).sum())
    return kld, n_same


def _standard_error(total: float, squares: float, n: int) -> float:
    mean = total / n
    variance = squares / n - mean**2
    return float(np.sqrt(variance / (n - 1))) if variance > 0 and n > 1 else 0.0


def _measured(own: Scores, n_windows: int, tokens_per_s: float) -> Measured:
    return Measured(
        n_windows=n_windows,
        n_scored=own.n,
        perplexity=own.perplexity,
        perplexity_error=own.error,
        tokens_per_s=tokens_per_s,
        running=tuple(own.running),
        build=build(),
    )


def _compared(found: Measured, others: Scores, distances: Distances) -> Measured:
    kld = np.concatenate(distances.values)
    total, squares = float(kld.sum()), float((kld**2).sum())
    return Measured(
        n_windows=found.n_windows,
        n_scored=found.n_scored,
        perplexity=found.perplexity,
        perplexity_error=found.perplexity_error,
        tokens_per_s=found.tokens_per_s,
        running=found.running,
        build=found.build,
        source_perplexity=others.perplexity,
        source_running=tuple(others.running),
        kld_mean=total / len(kld),
        kld_error=_standard_error(total, squares, len(kld)),
        kld_p99=float(np.percentile(kld, 99)),
        top_1=distances.n_same / len(kld),
    )
