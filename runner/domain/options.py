"""The options that Modelfiles and requests can set, with their types, ranges and defaults.

Three layers lie over each other: the defaults here, the model's own parameters, the request's
options.  A layer is an ``Options`` in which what it leaves alone is ``None``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from runner.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is drawn; all values are set and in range.

    Names and defaults are Ollama's, the meaning is llama.cpp's (``llama.h``, samplers).
    """

    temperature: float = 0.8  # 0 is greedy
    top_k: int = 40  # 0: off
    top_p: float = 0.9  # 1: off
    min_p: float = 0.0  # 0: off
    typical_p: float = 1.0  # 1: off
    repeat_last_n: int = 64  # tokens the penalties look back on; 0: off, -1: whole context
    repeat_penalty: float = 1.0  # 1: off
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    mirostat: int = 0  # 0: off, or version 1 or 2
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    seed: int | None = None  # None: a new one each time
    ignore_eos: bool = False  # go on until a limit


@dataclass(frozen=True, slots=True)
class Options:
    """One layer of settings; ``None`` means that this layer does not say."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repeat_last_n: int | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    seed: int | None = None
    ignore_eos: bool | None = None
    stop: tuple[str, ...] | None = None
    num_predict: int | None = None  # most tokens of an answer; -1: until the context is full
    num_keep: int | None = None  # tokens that stay when a full context shifts; -1: the prompt
    num_ctx: int | None = None  # context of one sequence, in tokens
    num_batch: int | None = None  # tokens a step
    num_thread: int | None = None  # 0: chosen by the engine
    num_gpu: int | None = None  # layers on the accelerator; -1: all that fit
    use_mmap: bool | None = None

    def over(self, base: Options) -> Options:
        """Return ``base`` with everything set here laid over it."""
        values = {
            f.name: mine if (mine := getattr(self, f.name)) is not None else getattr(base, f.name)
            for f in fields(self)
        }
        return Options(**values)

    def sampling(self) -> SamplingParams:
        """Return the sampling parameters, defaults filled in; a negative seed is none."""
        values = {
            f.name: value
            for f in fields(SamplingParams)
            if (value := getattr(self, f.name)) is not None
        }
        if values.get("seed", 0) < 0:
            del values["seed"]
        return SamplingParams(**values)

    def set_values(self) -> dict[str, Any]:
        """Return what this layer sets, by name."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) is not None}


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """What one option may be; ``low`` and ``high`` are inclusive."""

    kind: type[int] | type[float] | type[bool] | type[str]
    low: float = float("-inf")
    high: float = float("inf")

    def range_text(self) -> str:
        """Return the range in words, every digit of it."""
        return f"in [{self.low}, {self.high}]"


_BEYOND = 2**64
MAX_SEED = 2**32 - 1  # llama.cpp's seeds are 32 bits wide

#: Every option by name.
OPTION_SPECS: Mapping[str, OptionSpec] = {
    "temperature": OptionSpec(float, 0, 100),
    "top_k": OptionSpec(int, 0, 2**31 - 1),
    "top_p": OptionSpec(float, 0, 1),
    "min_p": OptionSpec(float, 0, 1),
    "typical_p": OptionSpec(float, 0, 1),
    "repeat_last_n": OptionSpec(int, -1, 2**31 - 1),
    "repeat_penalty": OptionSpec(float, 0.01, 100),
    "presence_penalty": OptionSpec(float, -100, 100),
    "frequency_penalty": OptionSpec(float, -100, 100),
    "mirostat": OptionSpec(int, 0, 2),
    "mirostat_tau": OptionSpec(float, 0, 1000),
    "mirostat_eta": OptionSpec(float, 0, 100),
    "seed": OptionSpec(int, -(2**63), 2**63 - 1),
    "ignore_eos": OptionSpec(bool),
    "stop": OptionSpec(str),
    "num_predict": OptionSpec(int, -2, 2**31 - 1),
    "num_keep": OptionSpec(int, -1, 2**31 - 1),
    "num_ctx": OptionSpec(int, 4, 2**24),
    "num_batch": OptionSpec(int, 1, 2**16),
    "num_thread": OptionSpec(int, 0, 1024),
    "num_gpu": OptionSpec(int, -1, 2**16),
    "use_mmap": OptionSpec(bool),
}

#: Types in the words of Ollama's own messages.
_WORDS = {int: "integer", float: "float32", bool: "boolean", str: "string"}


def parse_options(raw: Mapping[str, Any]) -> Options:
    """Return the options that ``raw`` sets; unknown names and nulls are left out.

    ``stop`` is a string or a list of strings; an integer is taken where a float is meant, and a
    float without a fraction where an integer is meant.

    Raises:
        InvalidRequest: A value has the wrong type or is out of range.
    """
    values: dict[str, Any] = {}
    for name, value in raw.items():
        if name in OPTION_SPECS and value is not None:
            values[name] = _stop(value) if name == "stop" else parse_option(name, value)
    return Options(**values)


def parse_option(name: str, value: Any) -> int | float | bool | str:
    """Return ``value`` as option ``name`` wants it.

    Raises:
        InvalidRequest: It has the wrong type or is out of range.
    """
    spec = OPTION_SPECS[name]
    mistyped = InvalidRequest(f'option "{name}" must be of type {_WORDS[spec.kind]}', param=name)
    if spec.kind is bool:
        if not isinstance(value, bool):
            raise mistyped
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise mistyped
    if spec.kind is int and isinstance(value, float) and not value.is_integer():
        raise mistyped
    if abs(value) > _BEYOND:  # an integer of JSON may have more digits than any float can hold
        raise InvalidRequest(f"{name} must be {spec.range_text()}", param=name)
    number: int | float = int(value) if spec.kind is int else float(value)
    if not spec.low <= number <= spec.high:
        raise InvalidRequest(f"{name} must be {spec.range_text()}, not {value}", param=name)
    return number % (MAX_SEED + 1) if name == "seed" and number > MAX_SEED else number


def _stop(value: Any) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise InvalidRequest('option "stop" must be a string or an array of strings', param="stop")
    return tuple(text for text in texts if text)
