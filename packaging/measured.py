"""Writes ``docs/benchmarks.md``, and the table of figures in both READMEs, from ``bench/results``.

    python packaging/measured.py             write them
    python packaging/measured.py --check     say which are stale; the exit code is 1 then

No figure is typed by hand: a new measurement and ``make docs`` change all places alike.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
#: What stands around the table in a README.
BEGIN, END = "<!-- figures: packaging/measured.py -->", "<!-- /figures -->"

Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, in words of both languages.

    Attributes:
        what: What was measured.
        zh: The same in Chinese.
        ours: The median, with its unit.
        theirs: llama-server's.
        ratio: Ours to theirs, with the interval where the result has one.
        source: Name of the result.
    """

    what: str
    zh: str
    ours: str
    theirs: str
    ratio: str
    source: str


def read(folder: Path = RESULTS) -> dict[str, Result]:
    """Return the results by their names."""
    return {
        path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))
    }


def rows(results: Mapping[str, Result]) -> list[Row]:
    """Return the lines that the results there are make."""
    found: list[Row] = []
    if "serve" in results:
        found += [_served(one, "serve") for one in results["serve"]["workloads"]]
    if "shared" in results:
        found += [_served(one, "shared") for one in results["shared"]["workloads"]]
    if "gap" in results:
        found += [_gap(one) for one in results["gap"]["workloads"]]
    if "memory" in results:
        found.append(_memory(results["memory"]["memory"]))
    return found


def _served(load: Mapping[str, Any], source: str) -> Row:
    n, n_requests = load["n_streams"], load["n_requests"]
    if source == "shared":
        share = load["runs"]["corral"][0]["n_prompt"] // n_requests
        what = f"{n_requests} requests of about {share} tokens that begin alike, {n} at once"
        zh = f"{n_requests} 个开头相同、约 {share} 个 token 的请求，{n} 个并发"
    else:
        what = "1 answer at a time" if n == 1 else f"{n} answers at once"
        zh = "单个请求" if n == 1 else f"{n} 个请求并发"
    ours, theirs = (
        f"{median(run['tokens_per_s'] for run in load['runs'][who]):.0f} tokens/s"
        for who in ("corral", "llama-server")
    )
    return Row(what, zh, ours, theirs, _ratio(load["ratio"]["tokens_per_s"]), source)


def _gap(load: Mapping[str, Any]) -> Row:
    n = load["n_prompt"]
    ours, theirs = (
        f"{median(load['longest_gap_s'][who]):.2f} s" for who in ("corral", "llama-server")
    )
    what = f"longest pause of an answer while a prompt of {n} tokens comes in"
    zh = f"回答过程中另一个 {n} token 的提示到来时，最长的停顿"
    return Row(what, zh, ours, theirs, _ratio(load["ratio"]), "gap")


def _memory(sizes: Mapping[str, Mapping[str, float]]) -> Row:
    ours, theirs = (sizes[who]["private_mib"] for who in ("corral", "llama-server"))
    return Row(
        "memory of the process with the model, its own pages",
        "加载模型的进程的私有内存",
        f"{ours:.0f} MiB",
        f"{theirs:.0f} MiB",
        f"{ours / theirs:.2f}",
        "memory",
    )


def _ratio(one: Mapping[str, float]) -> str:
    return f"{one['median']:.2f} ({one['low']:.2f} to {one['high']:.2f})"


def short_table(found: Sequence[Row], *, is_chinese: bool = False) -> str:
    """Return the table of a README."""
    head = (
        "| | Corral | llama-server | 比值 |"
        if is_chinese
        else "| | Corral | llama-server | ratio |"
    )
    lines = [head, "|---|---|---|---|"]
    for row in found:
        ratio = row.ratio.replace(" to ", " – ") if is_chinese else row.ratio
        what = row.zh if is_chinese else row.what
        lines.append(f"| {what} | {row.ours} | {row.theirs} | {ratio} |")
    return "\n".join(lines)


def page(results: Mapping[str, Result]) -> str:
    """Return ``docs/benchmarks.md``."""
    parts = [_HEAD.strip(), ""]
    lines = ["| | Corral | llama-server | ratio | result |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.what} | {row.ours} | {row.theirs} | {row.ratio} |"
        f" [{row.source}](../bench/results/{row.source}.json) |"
        for row in rows(results)
    ]
    parts += [*lines, "", "## Alone", "", *_alone(results), "", "## How", ""]
    for name, result in results.items():
        machine = result["machine"]
        parts.append(
            f"- [{name}](../bench/results/{name}.json): `{result['command']}`, on {machine['cpu']},"
            f" {machine['n_cores']} cores, {machine['memory_gib']} GiB;"
            f" llama-cpp-python {result['versions'].get('llama-cpp-python', '')}"
        )
    return "\n".join(parts) + "\n"


def _alone(results: Mapping[str, Result]) -> list[str]:
    """What was measured of Corral with nothing beside it."""
    lines = ["| | |", "|---|---|"]
    if start := results.get("start"):
        idle = start["idle_daemon"]
        lines += [
            f"| a whole `corral list`, warm | {median(start['list_s']) * 1000:.0f} ms |",
            f"| memory of an idle daemon | {idle['rss_mib']:.0f} MiB |",
            f"| processor time of an idle daemon in {idle['seconds']:.0f} s"
            f" | {idle['cpu_s']:.2f} s |",
        ]
    if step := results.get("step"):
        lines += [
            f"| Python's share of a decode step, {n} streams | {median(times):.0f} µs |"
            for n, times in step["host_us_a_step"].items()
        ]
    return lines


_HEAD = """
# Figures

Written by `packaging/measured.py` from `bench/results`; do not edit.

Absolute figures hold for one machine, and there only for the hour they were taken in; this one has two cores that it
shares with others. The ratios are what to look at: both servers were measured in turns, minutes apart or less, with
the same model file (SmolLM2-135M-Instruct Q4_1), the same llama.cpp, the same threads and limits. The ratio is ours to
theirs, the median of the rounds with a 95 % bootstrap interval. So small a model is the hardest case for a program in
Python: a step of a larger one takes longer, and what Corral adds to it does not. No accelerator was measured.
[The method](../bench/README.md) says more, and how to take the figures again.
"""


def written(path: Path, results: Mapping[str, Result]) -> str:
    """Return what ``path`` should hold: the page, or a README with its table made anew.

    Raises:
        ValueError: A README has no place for the table.
    """
    if path == PAGE:
        return page(results)
    text = path.read_text(encoding="utf-8")
    table = short_table(rows(results), is_chinese=path.name == "README.zh-CN.md")
    place = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    made, n = place.subn(lambda _: f"{BEGIN}\n{table}\n{END}", text)
    if n != 1:
        raise ValueError(f"{path.name} has no place for the figures")
    return made


PLACES = (PAGE, ROOT / "README.md", ROOT / "README.zh-CN.md")


def stale() -> list[str]:
    """Return the names of the files that are not what the results make of them."""
    results = read()
    return [
        path.name
        for path in PLACES
        if not path.is_file() or path.read_text(encoding="utf-8") != written(path, results)
    ]


def main(arguments: Sequence[str]) -> int:
    """Write, or compare; returns 1 when something is not current."""
    if list(arguments) == ["--check"]:
        for name in (found := stale()):
            print(f"{name} is stale; run: make docs", file=sys.stderr)
        return int(bool(found))
    for path in PLACES:
        path.write_text(written(path, read()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
