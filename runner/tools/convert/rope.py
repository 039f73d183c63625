"""How a model's positions turn: what ``config.json`` says of it, in older and newer spellings.

Source of the formulas: ``modeling_rope_utils.py`` of transformers; of the keys:
``conversion/base.py`` and ``src/llama-context.cpp`` of llama.cpp.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import gguf
import numpy as np

from runner.errors import BadModelFile, UnsupportedArchitecture
from runner.tools.convert.folder import Array, ModelFolder

_BASE = 10000.0
#: What llama.cpp takes for granted of YaRN in these architectures, whatever a file says.
_FIXED = {"extrapolation_factor": 1, "beta_fast": 32, "beta_slow": 1, "truncate": True}
_ELSEWHERE = "look for a GGUF build of this model"


@dataclass(frozen=True, slots=True)
class Rope:
    """How positions turn.

    Attributes:
        kind: ``default``, ``linear``, ``llama3`` or ``yarn``.
        base: What frequencies are powers of.
        settings: All that the folder says of it.
    """

    kind: str
    base: float
    settings: dict[str, Any]

    def number(self, key: str, default: float | None = None) -> float:
        """Return a setting that is a positive number.

        Raises:
            BadModelFile: It is none, or is missing without a default.
        """
        value = self.settings.get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e30:
            raise BadModelFile(f"'{key}' in config.json must be a positive number, not {value!r}")
        return float(value)

    def write(self, writer: gguf.GGUFWriter, n_ctx: int) -> None:
        """Add the keys; ``n_ctx`` is the context in tokens that the folder says.

        Raises:
            BadModelFile: A setting is no number.
        """
        writer.add_rope_freq_base(self.base)
        if self.kind not in ("linear", "yarn"):
            return
        is_yarn = self.kind == "yarn"
        kinds = gguf.RopeScalingType
        writer.add_rope_scaling_type(kinds.YARN if is_yarn else kinds.LINEAR)
        factor = self.number("factor")
        writer.add_rope_scaling_factor(factor)
        if not is_yarn:
            return
        n_trained = self.number("original_max_position_embeddings", n_ctx)
        writer.add_rope_scaling_orig_ctx_len(int(n_trained))
        usual = _mscale(factor, 1.0)  # what llama.cpp multiplies with by itself
        if (wanted := self._attention(factor)) is not None:
            writer.add_rope_scaling_attn_factors(wanted / usual)

    def _attention(self, factor: float) -> float | None:
        """What queries and keys are multiplied with; ``None``: as YaRN usually does."""
        if self.settings.get("attention_factor") is not None:
            return self.number("attention_factor")
        if self.settings.get("mscale") and self.settings.get("mscale_all_dim"):
            scales = (self.number(key) for key in ("mscale", "mscale_all_dim"))
            one, all_of_it = (_mscale(factor, scale) for scale in scales)
            return one / all_of_it
        return None

    def factors(self, n_dim: int) -> Array | None:
        """What each of ``n_dim / 2`` frequencies is divided by; ``None``: by nothing.

        Raises:
            BadModelFile: The settings contradict each other.
        """
        if self.kind != "llama3":
            return None
        factor = self.number("factor")
        low, high = self.number("low_freq_factor", 1), self.number("high_freq_factor", 4)
        n_trained = self.number("original_max_position_embeddings", 8192)
        if high <= low:
            raise BadModelFile(
                f"'high_freq_factor' {high:g} must be above 'low_freq_factor' {low:g}"
            )
        factors = []
        for place in range(0, n_dim, 2):
            length = 2 * math.pi * self.base ** (place / n_dim)
            if length < n_trained / high:
                factors.append(1.0)
            elif length > n_trained / low:
                factors.append(factor)
            else:
                smooth = (n_trained / length - low) / (high - low)
                factors.append(1 / ((1 - smooth) / factor + smooth))
        return np.array(factors, np.float32)


def read_rope(folder: ModelFolder, kinds: tuple[str, ...]) -> Rope:
    """Return how positions turn in the model of ``folder``.

    Args:
        folder: Whose.
        kinds: Ways beside the usual one that llama.cpp computes for this architecture.

    Raises:
        UnsupportedArchitecture: They turn in another way.
        BadModelFile: A setting is no number.
    """
    config = folder.config
    found = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(found, dict):
        raise BadModelFile("'rope_scaling' in config.json must be an object")
    named = ("rope_theta", "partial_rotary_factor", "original_max_position_embeddings")
    settings = {key: config[key] for key in named if config.get(key) is not None}
    settings |= found
    kind = settings.get("rope_type", settings.get("type")) or "default"
    if kind not in ("default", *kinds):
        raise UnsupportedArchitecture(
            f"its positions are scaled in the way {kind!r}, which is not known here",
            hint=_ELSEWHERE,
        )
    for key, known in {"partial_rotary_factor": 1, **(_FIXED if kind == "yarn" else {})}.items():
        if settings.get(key, known) not in (known, None):
            raise UnsupportedArchitecture(
                f"'{key}' is {settings[key]!r}; llama.cpp computes only {known!r}",
                hint=_ELSEWHERE,
            )
    rope = Rope(kind, 0.0, settings)
    if kind != "default":
        rope.number("factor")
    return Rope(kind, rope.number("rope_theta", _BASE), settings)


def _mscale(factor: float, scale: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0
