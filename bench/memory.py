"""Memory of a loaded model: Corral's worker against ``llama-server``.

Both have the same file, threads, streams and context, and have answered a few requests.  The
mapped file is the same memory in both, so what counts is private memory (``USS``); resident memory
is told beside it.

    python bench/memory.py --llama-server /path/to/llama-server --name memory
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from bench import pair, report
from bench.load import burst
from bench.serve import body, prompts
from bench.servers import CannotStart, Limits, Server

MIB = 2**20


def memory_of(server: Server) -> dict[str, float]:
    """Return private and resident MiB of the process that holds the model."""
    holders = server.process.children() or [server.process]
    if len(holders) != 1:
        raise CannotStart(f"expected one process with the model, found {len(holders)}")
    found = holders[0].memory_full_info()
    return {"private_mib": found.uss / MIB, "resident_mib": found.rss / MIB}


def run(args: Any) -> dict[str, Any]:
    """Measure and print; returns what the result file keeps."""
    limits = Limits(args.threads, n_streams=8, n_ctx=1024)
    found: dict[str, dict[str, float]] = {}
    with pair.both(args.llama_server, limits) as servers:
        for server in servers:
            texts = prompts("memory", 2 * limits.n_streams, 40, 0)
            bodies = [body(server, text, 32) for text in texts]
            burst(server.address, bodies, n_at_once=limits.n_streams)
            found[server.name] = memory_of(server)
            print(
                f"{server.name:13} "
                + "   ".join(f"{k} {v:7.1f}" for k, v in found[server.name].items())
            )
        commands = {server.name: server.command for server in servers}
    difference = {key: found["corral"][key] - found["llama-server"][key] for key in found["corral"]}
    print(f"{'difference':13} " + "   ".join(f"{k} {v:+7.1f}" for k, v in difference.items()))
    return {
        "versions": report.versions("corral", "llama-cpp-python"),
        "limits": dataclasses.asdict(limits),
        "servers": commands,
        "memory": found,
        "difference": difference,
    }


if __name__ == "__main__":
    sys.exit(pair.main(run, pair.parser(__doc__).parse_args()))
