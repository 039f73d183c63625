"""llama.cpp's own tools beside ours: the same perplexity, the same quantized file, in what time.

The starter model is written in F16, with its layers several times over, so that it is of a size
that people quantize.  ``llama-quantize`` and Corral's tool process then write it in each type, in
turns: their tensors have to be equal, and the figure is the time from the start of the process to
its end; CPU time stands beside it, for a machine that others use.  Both run at a low priority,
as Corral's does for its users.  ``llama-perplexity`` and Corral's process read the same text in the
same windows.

    python bench/tools.py --tools /path/to/llama.cpp/build/bin --name tools

The tools are built as ``llama-server`` is (``bench/build_llama_server.py``), from the same source:
``cmake --build FOLDER --target llama-quantize llama-perplexity``.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import gguf
import psutil

from bench import pair, report
from bench.figures import paired_ratio
from bench.servers import CannotStart, starter_model
from runner.domain.file_types import file_type
from runner.errors import CorralError
from runner.gguf.reader import read_header
from runner.paths import own_command
from runner.protocol.tasks import Measure, Measured, Quantize, Quantized, Task, Weights
from runner.workers.tool import run_tool

T = TypeVar("T")

_TYPES = ("Q4_0", "Q8_0", "Q4_K_M", "Q5_K_M", "Q6_K", "IQ4_XS")
_LAYER = re.compile(r"blk\.(\d+)\.")
_ESTIMATE = re.compile(rb"Final estimate: PPL = ([0-9.]+) \+/- ([0-9.]+)")
#: Characters of the text that both read: some 8,000 tokens.
_N_TEXT = 32_000
_N_CTX = 512


@dataclasses.dataclass(frozen=True, slots=True)
class Tools:
    """llama.cpp's programs, and the threads that both sides get."""

    quantize: Path
    perplexity: Path
    n_threads: int

    @classmethod
    def find(cls, folder: str | None, n_threads: int) -> Tools:
        """Return those in ``folder``, or on ``PATH``.

        Raises:
            CannotStart: One of them is not there.
        """

        def place(name: str) -> Path:
            path = shutil.which(name, path=folder)
            if path is None:
                raise CannotStart(f"no '{name}' in {folder or 'PATH'}; say where with --tools")
            return Path(path)

        return cls(place("llama-quantize"), place("llama-perplexity"), n_threads)

    def run(self, *command: str | Path) -> bytes:
        """Run one of them at the priority of a job and return all that it says.

        Raises:
            CannotStart: It failed.
        """
        ended = subprocess.run(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=_step_back,
            check=False,
        )
        if ended.returncode:
            last = ended.stdout[-500:].decode("utf-8", "replace")
            raise CannotStart(f"{Path(command[0]).name} failed: {last}")
        return ended.stdout


def _step_back() -> None:
    psutil.Process().nice(10)


def ours(task: Task, kind: type[T]) -> T:
    """Return the result of ``task`` in a tool process of Corral's."""
    moments = run_tool(
        own_command("_tool", "warning"), task, is_stopped=lambda: False, is_held=lambda: False
    )
    while True:
        try:
            next(moments)
        except StopIteration as end:
            assert isinstance(end.value, kind), "a task ends with its own result"
            return end.value


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that ``work`` takes, and the CPU seconds of the processes it starts."""
    began, before = time.perf_counter(), os.times()
    work()
    after, took_s = os.times(), time.perf_counter() - began
    user_s = after.children_user - before.children_user
    return took_s, user_s + after.children_system - before.children_system


def tensors_of(path: Path) -> dict[str, tuple[str, bytes]]:
    """Return type and bytes of each tensor of a file."""
    header, raw = read_header(path), path.read_bytes()
    found = {}
    for one in header.tensors:
        start = header.data_offset + one.offset
        found[one.name] = one.type_name, raw[start : start + one.n_bytes]
    return found


def quantizing(tools: Tools, source: Path, kind: str, n_rounds: int) -> dict[str, Any]:
    """Write ``source`` in a type by both, in turns; the first file of each is compared."""
    paths = {who: source.with_name(f"{who}.gguf") for who in ("corral", "llama-quantize")}
    task = Quantize((str(source),), str(paths["corral"]), kind, n_threads=tools.n_threads)
    theirs = (tools.quantize, source, paths["llama-quantize"], kind, str(tools.n_threads))
    works: list[tuple[str, Callable[[], object]]] = [
        ("corral", lambda: ours(task, Quantized)),
        ("llama-quantize", lambda: tools.run(*theirs)),
    ]
    seconds: dict[str, list[float]] = {who: [] for who, _ in works}
    cpu_s: dict[str, list[float]] = {who: [] for who, _ in works}
    for number in range(n_rounds):
        for who, work in works if number % 2 else works[::-1]:
            paths[who].unlink(missing_ok=True)
            took_s, used_s = timed(work)
            seconds[who].append(took_s)
            cpu_s[who].append(used_s)
    own, others = (tensors_of(path) for path in paths.values())
    n_equal = sum(own[name] == one for name, one in others.items() if name in own)
    speed = paired_ratio(seconds["llama-quantize"], seconds["corral"])
    cpu = paired_ratio(cpu_s["llama-quantize"], cpu_s["corral"])
    medians = "  ".join(f"{who} {statistics.median(times):.2f} s" for who, times in seconds.items())
    print(
        f"{kind:7} {n_equal} of {len(others)} tensors equal   {medians}"
        f"   speed {speed.median:.3f}, by CPU time {cpu.median:.3f}"
    )
    return {
        "n_tensors": len(others),
        "n_equal": n_equal if own.keys() == others.keys() else -1,
        "seconds": seconds,
        "cpu_s": cpu_s,
        "speed": dataclasses.asdict(speed),
        "speed_by_cpu": dataclasses.asdict(cpu),
    }


def measuring(tools: Tools, model: Path, text: Path) -> dict[str, Any]:
    """Return what both say of a model's perplexity on ``text``."""
    words = text.read_text(encoding="utf-8")
    weights = Weights((str(model),))
    found = ours(Measure(weights, None, words, _N_CTX, n_threads=tools.n_threads), Measured)
    threads = str(tools.n_threads)
    said = tools.run(
        *(tools.perplexity, "-m", model, "-f", text),
        *("-c", str(_N_CTX), "-b", str(_N_CTX), "-t", threads, "-tb", threads),
    )
    estimate = _ESTIMATE.search(said)
    if estimate is None:
        raise CannotStart("llama-perplexity says no final estimate")
    theirs = float(estimate[1])
    off = found.perplexity / theirs - 1
    print(f"perplexity of {model.stem}: {found.perplexity:.4f} and {theirs:.4f}, {off:+.4%}")
    return {
        "corral": [found.perplexity, found.perplexity_error],
        "llama-perplexity": [theirs, float(estimate[2])],
        "n_scored": found.n_scored,
        "off": off,
    }


def deepen(source: Path, out: Path, n_times: int) -> None:
    """Write the model ``source`` again with all its layers ``n_times`` over, set after set."""
    reader = gguf.GGUFReader(source)
    keys = {name: field for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    kind = keys.pop("general.architecture").contents()
    n_layers = keys[f"{kind}.block_count"].contents()
    writer = gguf.GGUFWriter(out, kind)
    for name, field in keys.items():
        value = n_layers * n_times if name == f"{kind}.block_count" else field.contents()
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_array(name, value)
        else:
            writer.add_key_value(name, value, field.types[0])
    for tensor in reader.tensors:
        layer = _LAYER.match(tensor.name)
        names = [tensor.name]
        if layer:
            numbers = range(int(layer[1]), n_layers * n_times, n_layers)
            names = [f"blk.{number}.{tensor.name[layer.end() :]}" for number in numbers]
        for name in names:
            writer.add_tensor(name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def own_text() -> str:
    """Return prose that every machine with Python has."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))[:_N_TEXT].strip()


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns what the result file keeps."""
    tools = Tools.find(args.tools, args.threads)
    with tempfile.TemporaryDirectory(prefix="corral-bench-", dir=args.folder) as name:
        plain, source = Path(name) / "f16.gguf", Path(name) / "deep.gguf"
        starter = starter_model()
        tools.run(tools.quantize, "--allow-requantize", starter, plain, "F16")
        deepen(plain, source, args.times)
        n_source = source.stat().st_size
        text = Path(name) / "text.txt"
        text.write_text(own_text(), encoding="utf-8")
        try:
            types = {
                kind: quantizing(tools, source, kind, args.rounds)
                for kind in map(file_type, args.types)
            }
            perplexity = {path.stem: measuring(tools, path, text) for path in (starter, plain)}
        except CorralError as error:
            raise CannotStart(error.message) from None
    return {
        "versions": report.versions("corral", "llama-cpp-python"),
        "n_threads": args.threads,
        "n_ctx": _N_CTX,
        "n_source_bytes": n_source,
        "types": types,
        "perplexity": perplexity,
    }


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    add("--tools", metavar="FOLDER", help="where llama.cpp's programs are; default: PATH")
    add("--types", nargs="+", default=_TYPES, help="(default: %(default)s)")
    add("--rounds", type=int, default=5, help="alternations of each type (default: %(default)s)")
    add("--times", type=int, default=4, help="the layers over (default: %(default)s)")
    add("--threads", type=int, default=os.cpu_count(), help="of each side (default: all cores)")
    add("--folder", help="for the files, of some 2 GB; default: the system's")
    add("--name", help="write bench/results/NAME.json")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(pair.main(run, options(sys.argv[1:])))
