"""LoRA adapters as PEFT saves them, to GGUF.

Each pair keeps its own small matrices; ``b`` follows the order of rows of the tensor that it
changes.  What llama.cpp cannot add to a model is refused by its name.  Source of names:
``convert_lora_to_gguf.py`` and ``src/llama-adapter.cpp`` of llama.cpp.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from runner.domain.progress import Progress
from runner.errors import BadModelFile, UnsupportedArchitecture
from runner.gguf.reader import Header
from runner.tools.convert.decoder import BLOCK, Decoder, Llama, Qwen2, Qwen3, SmolLm3
from runner.tools.convert.folder import Array, ModelFolder
from runner.tools.convert.order import put_between

_KINDS: dict[str, type[Decoder]] = {kind.name: kind for kind in (Llama, Qwen2, Qwen3, SmolLm3)}
_MODULES = {theirs: ours for theirs, ours, _ in BLOCK}
_NAME = re.compile(
    r"(?:base_model\.model\.)*(?:model\.)*layers\.(\d+)\.(.+?)\.lora_([AB])(?:\.\w+)?\.weight"
)
#: Settings of PEFT under which an adapter is more than pairs of matrices.
_BEYOND = {"use_dora": False, "modules_to_save": None, "bias": "none", "fan_in_fan_out": False}
_TARGET = re.compile(r"blk\.(\d+)\.(\w+)\.weight\.lora_b")
_MODULES_OF = {ours: theirs for theirs, ours in _MODULES.items()}


def convert_adapter(
    files: Mapping[str, Path],
    base: Header,
    out: Path,
    progress: Callable[[Progress], None] = lambda _: None,
) -> None:
    """Write an adapter as a GGUF file, in place.

    Args:
        files: ``adapter_config.json`` and ``adapter_model.safetensors``, by their names.
        base: Of the model that it was trained on.
        out: The file to write; incomplete when this raises.
        progress: Called with bytes written.

    Raises:
        UnsupportedArchitecture: The base is of a kind that is not known here.
        BadModelFile: The adapter is damaged, fits another model, or does more than LoRA.
    """
    folder = ModelFolder(
        files, config_name="adapter_config.json", tensors_name="adapter_model.safetensors"
    )
    architecture = str(base.metadata.get("general.architecture", ""))
    kind = _KINDS.get(architecture)
    if kind is None:
        raise UnsupportedArchitecture(
            f"an adapter for {architecture!r} cannot be converted",
            hint=f"known: {', '.join(_KINDS)}; or convert it with llama.cpp's own script",
        )
    config = folder.config
    for key, plain in _BEYOND.items():
        if config.get(key, plain) not in (plain, None, [], False):
            raise BadModelFile(
                f"the adapter uses '{key}', which llama.cpp cannot add to a model",
                hint="merge it into its model with PEFT, and convert the result",
            )
    if str(config.get("peft_type", "LORA")).upper() != "LORA":
        raise BadModelFile(
            f"the adapter is of the kind {config['peft_type']!s:.40}, not LoRA",
            hint="merge it into its model with PEFT, and convert the result",
        )
    alpha, pairs = _with_one_alpha(config, _pairs(folder, base))
    writer = gguf.GGUFWriter(out, architecture)
    try:
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
        n_bytes = sum(array.nbytes for array in pairs.values())
        progress(Progress("converting", 0, n_bytes))
        for name, array in pairs.items():
            writer.add_tensor(name, _turned(kind, base, name, array))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        progress(Progress("converting", n_bytes, n_bytes))
    finally:
        writer.close()


def _pairs(folder: ModelFolder, base: Header) -> dict[str, Array]:
    """Both halves of each pair by their new names, checked against the tensors they change."""
    shapes = {tensor.name: tensor.shape for tensor in base.tensors}
    found: dict[str, Array] = {}
    for name in folder.tensors:
        match = _NAME.fullmatch(name)
        module = _MODULES.get(match[2]) if match else None
        if match is None or module is None:
            raise BadModelFile(
                f"the adapter's tensor '{name}' changes something that cannot be changed here",
                hint=f"known are pairs for: {', '.join(_MODULES)}",
            )
        target = f"blk.{match[1]}.{module}.weight"
        if target not in shapes:
            raise BadModelFile(
                f"the adapter's tensor '{name}' is for layer {match[1]}, which the model has not",
                hint="give the model that the adapter was trained on",
            )
        array = np.ascontiguousarray(folder.read(name), np.float32)
        n_in, n_out = shapes[target][:2]
        half, wanted = ("a", n_in) if match[3] == "A" else ("b", n_out)
        given = array.shape[1 if half == "a" else 0] if array.ndim == 2 else 0
        if given != wanted:
            raise BadModelFile(
                f"the adapter's tensor '{name}' has shape {array.shape}, but '{target}' has"
                f" {n_in} columns and {n_out} rows",
                hint="give the model that the adapter was trained on",
            )
        found[f"{target}.lora_{half}"] = array
    for name, array in found.items():
        stem = name.rpartition(".lora_")[0]
        a, b = found.get(f"{stem}.lora_a"), found.get(f"{stem}.lora_b")
        if a is None or b is None:
            raise BadModelFile(f"the adapter has only one half for '{stem}'")
        if a.shape[0] != b.shape[1]:
            raise BadModelFile(
                f"the adapter's halves for '{stem}' have ranks {a.shape[0]} and {b.shape[1]}"
            )
        assert array is a or array is b
    if not found:
        raise BadModelFile("the adapter has no tensors")
    return dict(sorted(found.items()))


def _with_one_alpha(
    config: Mapping[str, Any], pairs: Mapping[str, Array]
) -> tuple[float, dict[str, Array]]:
    """Return what llama.cpp divides by the rank of each pair, and the pairs for which it is right.

    PEFT may have another alpha for some modules, or divide by the root of the rank: pairs that
    differ from the first one have the difference in their ``b``.
    """
    alphas = {
        name: _alpha(config, name, array.shape[1])
        for name, array in pairs.items()
        if name.endswith("lora_b")
    }
    common = next(iter(alphas.values()))
    scaled = {
        name: array * np.float32(alphas.get(name, common) / common)
        if alphas.get(name, common) != common
        else array
        for name, array in pairs.items()
    }
    return common, scaled


def _alpha(config: Mapping[str, Any], name: str, rank: int) -> float:
    """What one pair wants to be divided by its rank: with rank-stabilized LoRA, more.

    Source: ``update_layer`` in ``tuners/lora/layer.py`` of PEFT, ``get_pattern_key`` beside it.
    """
    alpha = config.get("lora_alpha")
    patterns = config.get("alpha_pattern")
    match = _TARGET.fullmatch(name)
    assert match, "the names are our own"
    module = f"model.layers.{match[1]}.{_MODULES_OF[match[2]]}"
    for pattern, other in (patterns if isinstance(patterns, dict) else {}).items():
        try:
            fits = re.match(rf"(?:.*\.)?(?:{pattern[:200]})$", module)
        except re.error as error:
            raise BadModelFile(f"'alpha_pattern' in adapter_config.json: {error}") from None
        if fits:
            alpha = other
            break
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < 1e30:
        raise BadModelFile(
            f"'lora_alpha' in adapter_config.json must be a positive number, not {alpha!r}"
        )
    return float(alpha) * (math.sqrt(rank) if config.get("use_rslora") else 1.0)


def _turned(kind: type[Decoder], base: Header, name: str, array: Array) -> Array:
    """``b`` in the order of rows that the converted model has."""
    key = {"attn_q": "head_count", "attn_k": "head_count_kv"}.get(name.split(".")[2])
    if not kind.turns_halves or key is None or not name.endswith("lora_b"):
        return array
    n_heads = base.metadata.get(f"{kind.name}.attention.{key}")
    n_heads = n_heads or base.metadata.get(f"{kind.name}.attention.head_count")
    if not isinstance(n_heads, int) or n_heads < 1 or array.shape[0] % (2 * n_heads):
        raise BadModelFile(f"the model's file does not say how many heads '{name}' has")
    return put_between(array, n_heads)
