"""Both servers side by side, and the end that every comparing script comes to."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench import report
from bench.load import BadAnswer
from bench.servers import (
    CannotStart,
    Limits,
    Server,
    corral,
    find_llama_server,
    llama_server,
    starter_model,
)


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every comparison has."""
    found = argparse.ArgumentParser(description=doc.splitlines()[0] if doc else None)
    add = found.add_argument
    add("--llama-server", metavar="PATH", help="the binary; default: $LLAMA_SERVER, then PATH")
    add("--rounds", type=int, default=5, help="alternations (default: %(default)s)")
    add("--threads", type=int, default=os.cpu_count(), help="of each engine (default: all cores)")
    add("--name", help="write bench/results/NAME.json")
    return found


@contextmanager
def both(binary: str | None, limits: Limits) -> Iterator[list[Server]]:
    """Run Corral and ``llama-server`` with the same limits until the block ends, ours first.

    Raises:
        CannotStart: One of them did not come up.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="corral-bench-")))
        path, log = find_llama_server(binary), folder / "llama-server.log"
        yield [
            stack.enter_context(corral(limits, folder / "home", folder / "corral.log")),
            stack.enter_context(llama_server(path, starter_model(), limits, log)),
        ]


def main(run: Callable[[argparse.Namespace], dict[str, Any]], args: argparse.Namespace) -> int:
    """Measure, keep the result when it has a name, and return the exit code."""
    try:
        found = run(args)
    except (CannotStart, BadAnswer) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.name:
        print(f"written to bench/results/{report.save(args.name, found).name}")
    return 0
