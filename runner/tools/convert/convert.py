"""``convert``: from a published folder to one GGUF file.

The file appears under its name when it is whole; what was begun is removed when it fails.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import gguf
import numpy as np

from runner.domain.progress import Progress
from runner.errors import BadModelFile, DiskFull, UnsupportedArchitecture
from runner.tools.convert.architecture import Architecture, TensorPlan
from runner.tools.convert.bert import Bert, DistilBert
from runner.tools.convert.decoder import Llama, Qwen2, Qwen3, SmolLm3
from runner.tools.convert.folder import Array, ModelFolder
from runner.tools.convert.modernbert import ModernBert
from runner.tools.convert.nomic import NomicBert
from runner.tools.convert.order import put_between
from runner.tools.convert.roberta import Roberta

FileType = Literal["f32", "f16"]

#: By what ``architectures`` in ``config.json`` says.
ARCHITECTURES: dict[str, type[Architecture]] = {
    "BertModel": Bert,
    "BertForMaskedLM": Bert,
    "BertForSequenceClassification": Bert,
    "CamembertForMaskedLM": Roberta,
    "CamembertForSequenceClassification": Roberta,
    "CamembertModel": Roberta,
    "DistilBertModel": DistilBert,
    "DistilBertForMaskedLM": DistilBert,
    "LlamaForCausalLM": Llama,
    "LLaMAForCausalLM": Llama,
    "LlamaModel": Llama,
    "ModernBertForMaskedLM": ModernBert,
    "ModernBertForSequenceClassification": ModernBert,
    "ModernBertModel": ModernBert,
    "NomicBertModel": NomicBert,
    "Qwen2ForCausalLM": Qwen2,
    "Qwen2Model": Qwen2,
    "Qwen3ForCausalLM": Qwen3,
    "Qwen3Model": Qwen3,
    "RobertaForMaskedLM": Roberta,
    "RobertaForSequenceClassification": Roberta,
    "RobertaModel": Roberta,
    "SmolLM3ForCausalLM": SmolLm3,
    "XLMRobertaForMaskedLM": Roberta,
    "XLMRobertaForSequenceClassification": Roberta,
    "XLMRobertaModel": Roberta,
}

_FTYPES = {"f32": gguf.LlamaFileType.ALL_F32, "f16": gguf.LlamaFileType.MOSTLY_F16}
_F16_MAX = float(np.finfo(np.float16).max)


def convert(
    folder: Path | Mapping[str, Path],
    out: Path,
    *,
    name: str = "",
    file_type: FileType = "f16",
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Write the model in ``folder`` as a GGUF file.

    Args:
        folder: ``config.json``, ``*.safetensors`` and the tokenizer's files, as on a hub; or where
            each of them is, by its name.
        name: What the file says that the model is called; empty: after the folder.
        out: The file to write; replaced if it is there.
        file_type: Type of the matrices; vectors, norms and position tables stay float32.
        progress: Called before the first tensor and after each, with bytes written.

    Raises:
        UnsupportedArchitecture: There is no converter for this architecture.
        DiskFull: There is no room for the result.
        BadModelFile: The folder lacks something, or holds something damaged.
    """
    partial = out.with_name(f"{out.name}.partial")
    try:
        convert_into(folder, partial, name=name, file_type=file_type, progress=progress)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def convert_into(
    folder: Path | Mapping[str, Path],
    path: Path,
    *,
    name: str = "",
    file_type: FileType = "f16",
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Do as ``convert``, but write ``path`` itself, which is incomplete when this raises."""
    source = ModelFolder(folder)
    architecture = _architecture(source)(source)
    plans = list(architecture.tensors())
    _refuse_others(source, architecture, plans)
    writer = gguf.GGUFWriter(path, architecture.name)
    writer.add_name(name or source.path.resolve().name)
    _write(source, architecture, plans, writer, file_type, progress or (lambda _: None))


def _architecture(folder: ModelFolder) -> type[Architecture]:
    names = folder.config.get("architectures")
    name = names[0] if isinstance(names, list) and names else None
    found = ARCHITECTURES.get(name) if isinstance(name, str) else None
    if found is None:
        raise UnsupportedArchitecture(
            f"no converter for the architecture {name!r}",
            hint=f"known: {', '.join(ARCHITECTURES)}; or look for a GGUF build of this model",
        )
    return found


def _refuse_others(
    folder: ModelFolder, architecture: Architecture, plans: list[TensorPlan]
) -> None:
    """Refuse a tensor that nothing is made of: without it the model would be another one."""
    taken = {plan.source for plan in plans}
    for name in sorted(folder.tensors.keys() - taken):
        if not architecture.ignores(name):
            raise BadModelFile(
                f"the tensor '{name}' is none that llama.cpp knows of {architecture.name}",
                hint="look for a GGUF build of this model",
            )


def _write(
    folder: ModelFolder,
    architecture: Architecture,
    plans: list[TensorPlan],
    writer: gguf.GGUFWriter,
    file_type: FileType,
    progress: Callable[[Progress], None],
) -> None:
    """Write the header, then one tensor after the other; only one is in memory at a time."""
    try:
        writer.add_type(gguf.GGUFType.MODEL)
        writer.add_file_type(_FTYPES[file_type])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        architecture.write_metadata(writer)
        sizes = []
        for plan in plans:
            if plan.made is None:
                folder.file_of(plan.source)  # what is missing is told before anything is written
            dtype = np.dtype(_dtype(plan, file_type))
            sizes.append(math.prod(plan.shape) * dtype.itemsize)
            writer.add_tensor_info(plan.target, plan.shape, dtype, sizes[-1])
        assert writer.path, "it was made with one"
        _check_room(writer.path.parent, sum(sizes))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        n_done, n_bytes = 0, sum(sizes)
        progress(Progress("converting", n_done, n_bytes))
        for plan, size in zip(plans, sizes, strict=True):
            array = folder.read(plan.source) if plan.made is None else plan.made
            writer.write_tensor_data(_typed(array, plan, file_type))
            n_done += size
            progress(Progress("converting", n_done, n_bytes))
    finally:
        writer.close()


def _check_room(folder: Path, n_bytes: int) -> None:
    n_free = shutil.disk_usage(folder).free
    if n_free < n_bytes:
        raise DiskFull(
            f"{n_bytes} bytes are needed for the converted model, {n_free} bytes are free",
            hint="make room: corral list shows what models take, corral rm removes one",
        )


def _dtype(plan: TensorPlan, file_type: FileType) -> type[np.float16] | type[np.float32]:
    is_small = plan.is_exact or len(plan.shape) < 2
    return np.float32 if file_type == "f32" or is_small else np.float16


def _typed(array: Array, plan: TensorPlan, file_type: FileType) -> Array:
    """Return a tensor of the right shape in the type it is stored in."""
    wanted = (plan.shape[0] + plan.n_skipped_rows, *plan.shape[1:])
    if array.shape != wanted:
        raise BadModelFile(
            f"the tensor '{plan.source}' has shape {array.shape}, but config.json says {wanted}"
        )
    array = array[plan.n_skipped_rows :]
    if plan.n_turned_heads:
        array = put_between(array, plan.n_turned_heads)
    dtype = _dtype(plan, file_type)
    if dtype is np.float16 and np.abs(array).max(initial=0) > _F16_MAX:
        raise BadModelFile(
            f"the tensor '{plan.source}' has values beyond what f16 can hold",
            hint="look for a GGUF build of this model",
        )
    return np.ascontiguousarray(array, dtype=dtype)
