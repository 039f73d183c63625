"""The weights of a model that is being made, written in a smaller type on the way.

The type is llama.cpp's recipe for a whole file, as in ``quantize.py``; what this makes is no model
by itself, but a file among those that the new model is made of.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from runner.domain.progress import Progress
from runner.errors import BadModelFile, DiskFull
from runner.gguf.reader import read_header
from runner.protocol.tasks import Quantize, Quantized
from runner.service.gather import File
from runner.service.run import Run
from runner.service.tools import Tools
from runner.store.disk import n_free_bytes, plain
from runner.store.library import Library
from runner.store.made import Made
from runner.store.manifests import MODEL

#: What Ollama calls a layer that has no digest yet; clients draw a bar for each digest.
_NO_DIGEST = "0" * 19


@dataclass(frozen=True, slots=True)
class Source:
    """Weights as they are: their files in order, and what the file says of its type."""

    label: str
    paths: tuple[Path, ...]
    quantization: str


def rewrite(
    library: Library,
    tools: Tools,
    source: Source,
    file_type: str,
    *,
    copies: ExitStack,
    run: Run,
) -> Generator[Progress, None, File]:
    """Return ``source`` as a file of type ``file_type``; yields progress.

    Args:
        library: Where the file lies until it is committed.
        tools: Quantize.
        source: Read, and left as it is.
        file_type: As ``domain.file_types`` spells it.
        copies: Removes the file, unless it is committed.
        run: Ends the process when it is stopped.

    Raises:
        BadModelFile: It is quantized already, or the type needs an importance matrix; with the
            tensor.
        DiskFull: There is no room for it.
    """
    task = Quantize(tuple(map(str, source.paths)), "", file_type, n_threads=tools.n_threads)
    planned = tools.ask(task, Quantized, run)
    if planned.problem:
        raise BadModelFile(f"{source.label}: {planned.problem}", hint=_without_flags(planned.hint))
    _check_room(library, planned.n_file_bytes, file_type)
    made = Made(library.blobs)
    copies.callback(made.discard)
    words = f"quantizing {source.quantization} model to {file_type}"
    written = Quantize(task.paths, str(made.path), file_type, n_threads=task.n_threads)
    # Whoever closes this has the process ended.
    with closing(tools.do_in_turn(written, Quantized, run)) as moments:
        for moment in moments:
            named = replace(moment, phase=words, digest=_NO_DIGEST)
            yield named if moment.n_bytes else moment
    yield Progress("verifying conversion")
    digest = yield from made.seal()
    header = read_header(made.path)
    if library.blobs.has(digest, made.n_bytes):
        return File(source.label, made.path, digest, MODEL, header)
    return File(source.label, made.path, "", MODEL, header, made)


def _without_flags(hint: str) -> str:
    """What is made on the way has no settings but its type; ``corral quantize`` has them all."""
    return hint.replace("with --imatrix", "to corral quantize").replace(
        "insist with --requantize", "insist with: corral quantize --requantize"
    )


def _check_room(library: Library, n_bytes: int, file_type: str) -> None:
    n_free = n_free_bytes(library.blobs.partial)
    if n_free < n_bytes:
        raise DiskFull(
            f"{n_bytes} bytes are needed for the model in {file_type}, {n_free} bytes are free in"
            f" {plain(library.models)}",
            hint="make room: corral list shows what models take, corral rm removes one",
        )
