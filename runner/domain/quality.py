"""What is known of how good and how fast a model is: measured, and kept with its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what measures needs the rows alone, and starts sooner without names
    from runner.domain.name import ModelName

#: Of one window, in tokens; llama.cpp's own default.
DEFAULT_WINDOW = 512


@dataclass(frozen=True, slots=True)
class QualityRequest:
    """A measurement of how well a model foretells a text.

    Attributes:
        model: Which.
        source: The model it was made from, to be compared with; ``None``: compared with none.
        text: Read in windows; ``None``: the text that comes with Python.
        text_name: What the text is called in the report.
        n_ctx: Tokens of a window.
        n_windows: Windows read at most; 0: all.
    """

    model: ModelName
    source: ModelName | None = None
    text: str | None = None
    text_name: str = ""
    n_ctx: int = DEFAULT_WINDOW
    n_windows: int = 0


@dataclass(frozen=True, slots=True)
class QualityReport:
    """How well a model foretells a text, and how far it is from its source.

    Attributes:
        time: When, RFC 3339.
        quantization: Of the model.
        n_bytes: Size of its files.
        text: What was read.
        text_sha256: Digest of that.
        n_ctx: Tokens of a window.
        n_windows: Windows read.
        n_scored: Tokens that were foretold: the second half of each window but its first.
        perplexity: ``exp`` of the mean negative log-likelihood of a token.
        perplexity_error: Its standard error.
        tokens_per_s: Tokens of prompt computed a second, all windows together.
        source: Compared with; empty: with none.
        source_perplexity: Its own perplexity on the same tokens.
        kld_mean: Mean Kullback-Leibler divergence from the source's distribution, in nats.
        kld_error: Its standard error.
        kld_p99: Its 99th percentile.
        top_1: Share of tokens for which both hold the same token most likely.
        running: Perplexity after each window.
        source_running: The source's.
        build: Which llama.cpp computed.
    """

    time: str
    quantization: str
    n_bytes: int
    text: str
    text_sha256: str
    n_ctx: int
    n_windows: int
    n_scored: int
    perplexity: float
    perplexity_error: float
    tokens_per_s: float
    source: str = ""
    source_perplexity: float | None = None
    kld_mean: float | None = None
    kld_error: float | None = None
    kld_p99: float | None = None
    top_1: float | None = None
    running: tuple[float, ...] = ()
    source_running: tuple[float, ...] = ()
    build: str = ""


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """A measurement of speed.

    Attributes:
        model: Which.
        depths: Tokens that are in the context before the measured ones.
        concurrencies: Requests at the same time, each with a prompt of its own.
        n_prompt: Tokens of a measured prompt.
        n_generate: Tokens of a measured answer.
        n_repeats: How often each is measured; the median counts.
    """

    model: ModelName
    depths: tuple[int, ...] = (0, 1024, 4096)
    concurrencies: tuple[int, ...] = (1, 2, 4)
    n_prompt: int = 256
    n_generate: int = 32
    n_repeats: int = 3


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One point: medians in tokens a second over all requests together, and their spread.

    Attributes:
        depth: Tokens in the context before.
        concurrency: Requests at the same time.
        prompt_tps: Tokens of prompt a second.
        generate_tps: Tokens of answer a second.
        prompt_spread: Greatest minus least, as a share of the median.
        generate_spread: Likewise.
    """

    depth: int
    concurrency: int
    prompt_tps: float
    generate_tps: float
    prompt_spread: float = 0.0
    generate_spread: float = 0.0


@dataclass(frozen=True, slots=True)
class BenchReport:
    """How fast a model is, at several depths and with several requests at once.

    Attributes:
        time: When, RFC 3339.
        quantization: Of the model.
        n_prompt: Tokens of each prompt.
        n_generate: Tokens of each answer.
        n_repeats: How often each point was measured.
        n_threads: Threads that computed.
        load_s: Seconds until the model was loaded.
        rows: The points.
        build: Which llama.cpp computed.
    """

    time: str
    quantization: str
    n_prompt: int
    n_generate: int
    n_repeats: int
    n_threads: int
    load_s: float
    rows: tuple[BenchRow, ...]
    build: str = ""
