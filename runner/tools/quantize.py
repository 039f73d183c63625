"""``Quantize``: a model written again in smaller types, by llama.cpp's own quantizer.

What can be told beforehand is: sizes by a dry run, and what would fail half-way, with the tensor.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runner.domain.file_types import FILE_TYPES
from runner.engine.llama import quantize as llama
from runner.errors import BadModelFile, InvalidRequest, Unsupported
from runner.gguf.reader import Header, read_header
from runner.gguf.tensor_types import TENSOR_TYPES
from runner.protocol.tasks import Moment, Quantize, Quantized, TensorPlan

if TYPE_CHECKING:
    from runner.tools.imatrix import Matrix

_BY_NAME = {kind.name.lower(): (number, kind) for number, kind in TENSOR_TYPES.items()}
#: Types of whole numbers, of other sources, and of what is computed on the way: llama.cpp writes no
#: weights in them, and ends the process that asks.  Source: ``ggml_quantize_chunk`` in ``ggml.c``.
_NEVER_WRITTEN = frozenset({"f64", "i8", "i16", "i32", "i64", "q8_1", "q8_k"})
#: What a tensor may be made from without loss of what was not lost already.
_PLAIN = frozenset({"f32", "f16", "bf16"})
#: Types that are worthless without an importance matrix; Q2_K is one only as part of Q2_K_S.
#: Source: ``tensor_requires_imatrix`` in ``src/llama-quant.cpp``.
_NEED_MATRIX = frozenset({"iq3_xxs", "iq2_xxs", "iq2_xs", "iq2_s", "iq1_m", "iq1_s"})
#: Of its progress, a model's thousand tensors being too many: whoever hears of each has work, too.
_N_MOMENTS = 200
_ENDS = ("token_embd.weight", "per_layer_token_embd.weight", "output.weight")


def run(task: Quantize, tell: Callable[[Moment], None]) -> Quantized:
    """Do the task.

    Raises:
        InvalidRequest: A type or pattern of the task is none.
        BadModelFile: The model, or the importance matrix, cannot be used so.
    """
    headers = [read_header(Path(path)) for path in task.paths]
    header = _whole(headers)
    matrix = _matrix(Path(task.imatrix_path), header) if task.imatrix_path else None
    recipe = llama.Recipe(
        number=FILE_TYPES[task.file_type],
        tensors=_overrides(task, header),
        imatrix=matrix,
        requantizes=task.requantizes,
        n_threads=task.n_threads,
    )
    with _as_one(task.paths) as source:
        plans = _plans(header, llama.plan(source, recipe))
        problem = _problem(plans, task, (matrix or {}).keys())
        if not task.out:  # sizes are of use even where it would fail
            words = (problem.message, problem.hint) if problem else ("", "")
            return Quantized(plans, headers[0].data_offset, *words)
        if problem:
            raise problem
        _write(source, task, recipe, plans, tell)
    return Quantized(plans, headers[0].data_offset)


def _whole(headers: Sequence[Header]) -> Header:
    if len(headers) == 1:
        return headers[0]
    from runner.gguf.metadata import join_shards  # here for the reason below

    return join_shards(headers)


def _matrix(path: Path, header: Header) -> Matrix:
    # Here, because most tasks have none: what reads it takes longer to load than all the rest.
    from runner.tools.imatrix import check_fits, read_imatrix

    matrix = read_imatrix(path)
    check_fits(matrix, header)
    return matrix


def _write(
    source: str,
    task: Quantize,
    recipe: llama.Recipe,
    plans: tuple[TensorPlan, ...],
    tell: Callable[[Moment], None],
) -> None:
    phase = f"quantizing to {task.file_type}"
    n_bytes = sum(plan.n_source for plan in plans)
    moments: dict[str, Moment] = {}
    n_done, n_told = 0, 0
    for plan in plans:
        if n_done - n_told >= n_bytes // _N_MOMENTS:
            moments[plan.name] = Moment(phase, n_done, n_bytes)
            n_told = n_done
        n_done += plan.n_source

    def begun(name: str) -> None:
        if moment := moments.get(name):
            tell(moment)

    tell(Moment(phase, 0, n_bytes))
    llama.quantize(source, task.out, recipe, begun)
    tell(Moment(phase, n_bytes, n_bytes))


def _plans(header: Header, chosen: dict[str, str]) -> tuple[TensorPlan, ...]:
    """Each tensor in the order of writing, with exact sizes: llama.cpp rounds those it tells."""
    tensors = {tensor.name: tensor for tensor in header.tensors}
    plans = []
    for name, target in chosen.items():
        tensor = tensors[name]
        own = tensor.type_name.lower()
        _, kind = _BY_NAME[target.lower() or own]
        n_bytes = tensor.n_elements // kind.n_block * kind.n_block_bytes
        plans.append(TensorPlan(name, own, kind.name.lower(), tensor.n_bytes, n_bytes))
    return tuple(plans)


def _problem(
    plans: tuple[TensorPlan, ...], task: Quantize, known: Collection[str]
) -> BadModelFile | None:
    """The first tensor that would lose more than the type means; ``known`` have an importance."""
    for plan in plans:
        is_changed = plan.source_type != plan.target_type
        if is_changed and plan.source_type not in _PLAIN and not task.requantizes:
            return BadModelFile(
                f"the model is quantized already: tensor '{plan.name}' is in"
                f" {plan.source_type.upper()}, and would lose once more in"
                f" {plan.target_type.upper()}",
                hint="take the F16 or BF16 build of this model; or insist with --requantize",
            )
    for plan in plans:
        needs = plan.target_type in _NEED_MATRIX or (
            plan.target_type == "q2_k" and task.file_type == "Q2_K_S"
        )
        is_changed = plan.source_type != plan.target_type and plan.name not in _ENDS
        if needs and is_changed and plan.name not in known:
            return BadModelFile(
                f"{task.file_type} needs an importance matrix: without one, tensor '{plan.name}'"
                " would be useless",
                hint="give one with --imatrix, or choose a type of 3 bits or more, such as Q3_K_M",
            )
    return None


def _overrides(task: Quantize, header: Header) -> list[tuple[str, int]]:
    if task.tensors and task.file_type.lower() in _PLAIN:  # llama.cpp would leave them out unsaid
        raise InvalidRequest(
            f"tensors cannot have types of their own in a file of type {task.file_type}",
            hint="choose a quantized type for the file, such as Q8_0",
            param="tensors",
        )
    found = [_override(pattern, kind) for pattern, kind in task.tensors]
    names = [tensor.name for tensor in header.tensors]
    for pattern, _ in found:
        if not any(re.search(pattern, name) for name in names):
            own = sorted(name for name in names if not name.startswith("blk.") or ".0." in name)
            raise InvalidRequest(
                f"tensor '{pattern[:80]}': no tensor of the model has a name like that",
                hint=f"there are: {', '.join(own)}"[:600],
                param="tensors",
            )
    return found


def _override(pattern: str, kind: str) -> tuple[str, int]:
    try:
        re.compile(pattern)  # llama.cpp's are those of C++; what is broken is so in both
    except re.error as error:
        raise InvalidRequest(
            f"tensor '{pattern[:80]}': this is no regular expression: {error}", param="tensors"
        ) from None
    number = _BY_NAME.get(kind.lower())
    if number is None or kind.lower() in _NEVER_WRITTEN:
        what = "no type" if number is None else "weights are not written in the type"
        raise InvalidRequest(
            f"tensor '{pattern}': {what} '{kind[:40]}'",
            hint=f"there are: {', '.join(sorted(_BY_NAME.keys() - _NEVER_WRITTEN))}",
            param="tensors",
        )
    return pattern, number[0]


@contextlib.contextmanager
def _as_one(paths: tuple[str, ...]) -> Iterator[str]:
    """Give a path that llama.cpp finds the whole model by.

    The names of blobs do not say which follows which, so several get names that do, in a folder of
    their own for a while.
    """
    if len(paths) == 1:
        yield paths[0]
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="corral-") as made:
        links = [
            Path(made) / f"model-{number:05d}-of-{len(paths):05d}.gguf"
            for number in range(1, len(paths) + 1)
        ]
        try:
            for link, path in zip(links, paths, strict=True):
                link.symlink_to(path)
        except OSError as error:
            raise Unsupported(
                f"a model in {len(paths)} files cannot be quantized here: {error.strerror}",
                hint="join the files first: llama-gguf-split --merge FIRST-PART OUTPUT",
            ) from None
        yield str(links[0])
