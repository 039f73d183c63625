"""What the daemon and a tool process say to each other: one task down, moments up, one result.

A tool process does one long job on model files and ends.  It is sent one of the tasks; it answers
with any number of ``Moment`` and then with one result, or with ``messages.Failed``.  Closing its
pipe ends it at once, whatever it is doing.
"""

from __future__ import annotations

from msgspec import Struct

from runner.domain.quality import BenchRow

_ALIGNMENT = 32  # gguf.h: GGUF_DEFAULT_ALIGNMENT, which the quantizer writes with


class Quantize(Struct, frozen=True, tag=True):
    """Write a model again in other types; the result is ``Quantized``.

    Attributes:
        paths: Its file, or all files of its weights in order.
        out: File to write; empty: only say what would be written.
        file_type: As ``domain.file_types`` spells it.
        tensors: Pattern (a regular expression that is searched for) and storage type.
        imatrix_path: File of an importance matrix; empty: none.
        requantizes: Whether tensors that are quantized already may be so again.
        n_threads: 0: one for each core.
    """

    paths: tuple[str, ...]
    out: str
    file_type: str
    tensors: tuple[tuple[str, str], ...] = ()
    imatrix_path: str = ""
    requantizes: bool = False
    n_threads: int = 0


class TensorPlan(Struct, frozen=True, array_like=True):
    """One tensor: its storage types and sizes in bytes, before and after."""

    name: str
    source_type: str
    target_type: str
    n_source: int
    n_bytes: int


class Quantized(Struct, frozen=True, tag=True):
    """What was written, or would be.

    Attributes:
        tensors: All of them, in the order of the new file.
        n_header: Bytes of the new file before its tensors, as far as that is known beforehand.
        problem: Why it would fail, where nothing was to be written; or empty.
        hint: What to do about that.
    """

    tensors: tuple[TensorPlan, ...]
    n_header: int = 0
    problem: str = ""
    hint: str = ""

    @property
    def n_file_bytes(self) -> int:
        """Size of the file, if its header is as large as that of the source."""
        return self.n_header + sum(one.n_bytes + -one.n_bytes % _ALIGNMENT for one in self.tensors)


class Weights(Struct, frozen=True):
    """The files of one model: those of its weights in order, and its LoRA adapters."""

    paths: tuple[str, ...]
    adapters: tuple[str, ...] = ()


class Measure(Struct, frozen=True, tag=True):
    """Measure how well a model foretells a text; the result is ``Measured``.

    Attributes:
        model: Which.
        source: Compared with; ``None``: with none.
        text: Read in windows.
        n_ctx: Tokens of a window.
        n_windows: Windows read at most; 0: all.
        n_threads: 0: one for each core.
    """

    model: Weights
    source: Weights | None
    text: str
    n_ctx: int
    n_windows: int = 0
    n_threads: int = 0


class Measured(Struct, frozen=True, tag=True):
    """What a text came to; the fields that are in it too are as in ``domain.quality``."""

    n_windows: int
    n_scored: int
    perplexity: float
    perplexity_error: float
    tokens_per_s: float
    running: tuple[float, ...]
    source_perplexity: float | None = None
    source_running: tuple[float, ...] = ()
    kld_mean: float | None = None
    kld_error: float | None = None
    kld_p99: float | None = None
    top_1: float | None = None
    build: str = ""


class Time(Struct, frozen=True, tag=True):
    """Measure a model's speed through the engine; the result is ``Timed``.

    The fields are those of ``domain.quality.BenchRequest``; ``n_threads`` 0: one for each core.
    """

    model: Weights
    depths: tuple[int, ...]
    concurrencies: tuple[int, ...]
    n_prompt: int
    n_generate: int
    n_repeats: int
    n_threads: int = 0


class Timed(Struct, frozen=True, tag=True):
    """Speeds; ``domain.quality`` says what the fields mean."""

    rows: tuple[BenchRow, ...]
    load_s: float
    n_threads: int
    build: str = ""


class Convert(Struct, frozen=True, tag=True):
    """Write a published model or adapter as GGUF; the result is ``Converted``.

    Attributes:
        files: Where each file of its folder is, by its name there.
        out: File to write.
        name: What the file says that the model is called.
        base_path: File of the model that an adapter is for; empty: ``files`` are a model.
    """

    files: dict[str, str]
    out: str
    name: str
    base_path: str = ""


class Converted(Struct, frozen=True, tag=True):
    """The file is written."""


class Moment(Struct, frozen=True, tag=True):
    """How far it is; counts are bytes, 0 where nothing is counted."""

    phase: str
    n_done: int = 0
    n_bytes: int = 0


Task = Quantize | Measure | Time | Convert
Result = Quantized | Measured | Timed | Converted
