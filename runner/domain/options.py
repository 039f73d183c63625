"""The options that Modelfiles and requests can set, with their types, ranges and defaults.

Three layers lie over each other: the defaults here, the model's own parameters, the request's
options.  A layer is an ``Options`` in which what it leaves alone is ``None``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from runner.domain.devices import device_words
from runner.domain.load_options import (
    KV_TYPES,
    ROPE_SCALINGS,
    parse_split,
    parse_stay,
    parse_word,
)
from runner.domain.option_lists import (
    DEFAULT_SAMPLERS,
    LogitBias,
    parse_logit_bias,
    parse_samplers,
    parse_texts,
)
from runner.errors import InvalidRequest

#: Whether tokens are guessed and then checked several at a time; ``auto``: where it pays.
Speculate = Literal["auto", "on", "off"]

#: Where the DRY penalty begins anew, as llama.cpp has it.
_DRY_BREAKERS = ("\n", ":", '"', "*")


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
    samplers: tuple[str, ...] = DEFAULT_SAMPLERS  # in this order
    dynatemp_range: float = 0.0  # the temperature follows the entropy this far up and down; 0: off
    dynatemp_exponent: float = 1.0  # how entropy becomes temperature
    top_n_sigma: float = -1.0  # standard deviations below the likeliest; 0 or less: off
    xtc_probability: float = 0.0  # how often the likeliest tokens are left out; 0: off
    xtc_threshold: float = 0.1  # what counts as likely; above 0.5: off
    dry_multiplier: float = 0.0  # 0: off
    dry_base: float = 1.75
    dry_allowed_length: int = 2  # tokens that may repeat without a penalty
    dry_penalty_last_n: int = 64  # tokens looked back on; 0: off, -1: whole context
    dry_sequence_breakers: tuple[str, ...] = _DRY_BREAKERS
    adaptive_target: float = -1.0  # probability that drawn tokens shall have; negative: off
    adaptive_decay: float = 0.9  # weight of the tokens before, when the target adapts
    logit_bias: LogitBias = ()  # added to logits, -100 bans; a text is each of its tokens
    banned_strings: tuple[str, ...] = ()  # no answer contains one
    min_tokens: int = 0  # the model cannot end the answer before


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
    samplers: tuple[str, ...] | None = None
    dynatemp_range: float | None = None
    dynatemp_exponent: float | None = None
    top_n_sigma: float | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_penalty_last_n: int | None = None
    dry_sequence_breakers: tuple[str, ...] | None = None
    adaptive_target: float | None = None
    adaptive_decay: float | None = None
    logit_bias: LogitBias | None = None
    banned_strings: tuple[str, ...] | None = None
    min_tokens: int | None = None
    stop: tuple[str, ...] | None = None
    num_predict: int | None = None  # most tokens of an answer; -1: until the context is full
    num_keep: int | None = None  # tokens that stay when a full context shifts; -1: the prompt
    num_ctx: int | None = None  # context of one sequence, in tokens
    num_batch: int | None = None  # tokens a step
    num_thread: int | None = None  # 0: chosen by the engine
    num_gpu: int | None = None  # layers on the accelerator; -1: all that fit
    devices: tuple[str, ...] | None = None  # accelerators in order, see ``domain.devices``
    use_mmap: bool | None = None
    use_mlock: bool | None = None  # keep the weights in memory, whatever else wants it
    main_gpu: int | None = None  # the accelerator that holds what is not split
    tensor_split: tuple[float, ...] | None = None  # shares of the accelerators, in their order
    num_cpu_moe: int | None = None  # layers whose experts stay in main memory; -1: all
    cache_type_k: str | None = None  # type of the cache's keys
    cache_type_v: str | None = None  # and of its values
    flash_attention: bool | None = None
    num_parallel: int | None = None  # requests answered at once
    rope_scaling: str | None = None  # how positions beyond the trained ones are made
    rope_frequency_base: float | None = None  # 0: the model's own
    rope_frequency_scale: float | None = None  # 0: the model's own; 0.5 doubles the context
    yarn_orig_ctx: int | None = None  # context that yarn extends, in tokens; 0: the trained one
    keep_alive: float | None = None  # seconds the model stays when idle; -1: for ever
    speculate: Speculate | None = None
    draft_num_predict: int | None = None  # most tokens guessed at a time

    def over(self, base: Options) -> Options:
        """Return ``base`` with everything set here laid over it."""
        values = {
            f.name: mine if (mine := getattr(self, f.name)) is not None else getattr(base, f.name)
            for f in fields(self)
        }
        return Options(**values)

    def without(self, names: Collection[str]) -> Options:
        """Return this with the options of these names not set."""
        return replace(self, **dict.fromkeys(names))

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
    """What one option may be; ``low`` and ``high`` are inclusive.

    The kind ``str`` is a list of texts, ``dict`` maps tokens to numbers; ``words`` are what may
    be said in place of a ``bool``.
    """

    kind: type[int] | type[float] | type[bool] | type[str] | type[dict[str, float]]
    low: float = float("-inf")
    high: float = float("inf")
    words: tuple[str, ...] = ()

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
    "samplers": OptionSpec(str),
    "dynatemp_range": OptionSpec(float, 0, 100),
    "dynatemp_exponent": OptionSpec(float, 0, 100),
    "top_n_sigma": OptionSpec(float, -1, 1000),
    "xtc_probability": OptionSpec(float, 0, 1),
    "xtc_threshold": OptionSpec(float, 0, 1),
    "dry_multiplier": OptionSpec(float, 0, 100),
    "dry_base": OptionSpec(float, 1, 100),
    "dry_allowed_length": OptionSpec(int, 0, 2**31 - 1),
    "dry_penalty_last_n": OptionSpec(int, -1, 2**31 - 1),
    "dry_sequence_breakers": OptionSpec(str),
    "adaptive_target": OptionSpec(float, -1, 1),
    "adaptive_decay": OptionSpec(float, 0, 0.99),
    "logit_bias": OptionSpec(dict, -100, 100),
    "banned_strings": OptionSpec(str),
    "min_tokens": OptionSpec(int, 0, 2**31 - 1),
    "stop": OptionSpec(str),
    "num_predict": OptionSpec(int, -2, 2**31 - 1),
    "num_keep": OptionSpec(int, -1, 2**31 - 1),
    "num_ctx": OptionSpec(int, 1, 2**24),
    "num_batch": OptionSpec(int, 1, 2**16),
    "num_thread": OptionSpec(int, 0, 1024),
    "num_gpu": OptionSpec(int, -1, 2**16),
    "devices": OptionSpec(str),
    "use_mmap": OptionSpec(bool),
    "use_mlock": OptionSpec(bool),
    "main_gpu": OptionSpec(int, 0, 127),
    "tensor_split": OptionSpec(str),
    "num_cpu_moe": OptionSpec(int, -1, 512),
    "cache_type_k": OptionSpec(bool, words=KV_TYPES),
    "cache_type_v": OptionSpec(bool, words=KV_TYPES),
    "flash_attention": OptionSpec(bool),
    "num_parallel": OptionSpec(int, 1, 256),
    "rope_scaling": OptionSpec(bool, words=ROPE_SCALINGS),
    "rope_frequency_base": OptionSpec(float, 0, 1e12),
    "rope_frequency_scale": OptionSpec(float, 0, 64),
    "yarn_orig_ctx": OptionSpec(int, 0, 2**24),
    "keep_alive": OptionSpec(float, -1, 2**53),
    "speculate": OptionSpec(bool, words=get_args(Speculate)),
    "draft_num_predict": OptionSpec(int, 0, 2**31 - 1),
}

#: Types in the words of Ollama's own messages.
_WORDS: Mapping[type, str] = {int: "integer", float: "float32", bool: "boolean"}


def parse_options(raw: Mapping[str, Any]) -> Options:
    """Return the options that ``raw`` sets; unknown names and nulls are left out.

    An integer is taken where a float is meant, and a float without a fraction where an integer is.

    Raises:
        InvalidRequest: A value has the wrong type or is out of range.
    """
    return Options(
        **{
            name: parse_option(name, value)
            for name, value in raw.items()
            if name in OPTION_SPECS and value is not None
        }
    )


def parse_option(name: str, value: Any) -> Any:
    """Return ``value`` as option ``name`` wants it: a number, a bool, or a tuple.

    Raises:
        InvalidRequest: It has the wrong type or is out of range.
    """
    spec = OPTION_SPECS[name]
    if name == "samplers":
        return parse_samplers(value)
    if name == "speculate":
        return parse_speculate(value)
    if name == "devices":
        return device_words(parse_texts(name, value))
    if name == "keep_alive":
        return parse_stay(value, high=spec.high)
    if name == "tensor_split":
        return parse_split(value)
    if spec.words:
        return parse_word(name, value, spec.words)
    if spec.kind is str:
        return parse_texts(name, value)
    if spec.kind is dict:
        return parse_logit_bias(value, low=spec.low, high=spec.high)
    return _parse_plain(name, spec, value)


def literal(text: str) -> int | float | bool | str:
    """Return what a person typed for an option: a truth, a number, or else the text itself."""
    word = text.strip().lower()
    if word in ("true", "false"):
        return word == "true"
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return text


def parse_speculate(value: Any) -> Speculate:
    """Return ``value`` as one of the words of ``Speculate``; a bool means ``on`` or ``off``.

    Raises:
        InvalidRequest: It is another.
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    for word in get_args(Speculate):
        if value == word:
            found: Speculate = word
            return found
    raise InvalidRequest(
        f"speculate must be auto, on or off, not {str(value)[:40]!r}", param="speculate"
    )


def _parse_plain(name: str, spec: OptionSpec, value: Any) -> int | float | bool:
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
