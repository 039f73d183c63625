"""Answers by a JSON schema: against ``llama-server``'s, and against answers without one.

Both servers get the same ``response_format``; the schema asks for more than an answer has tokens,
so all have the same length.  The second workload alternates Corral's own shaped and free answers.

    python bench/shaped.py --llama-server /path/to/llama-server --name shaped
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

from bench import pair, report
from bench.servers import Limits
from bench.sides import Side, compare, ordinary

_PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 3, "maxLength": 24},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "town": {"enum": ["Hamburg", "Lagos", "Lima", "Chengdu"]},
        "is_member": {"type": "boolean"},
        "words": {"type": "array", "items": {"type": "string", "maxLength": 16}, "maxItems": 4},
    },
    "required": ["name", "age", "town", "is_member", "words"],
    "additionalProperties": False,
}
_SCHEMA = {
    "type": "object",
    "properties": {"people": {"type": "array", "items": _PERSON, "minItems": 40}},
    "required": ["people"],
    "additionalProperties": False,
}
#: As the OpenAI API has it.
SHAPE = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "people", "strict": True, "schema": _SCHEMA},
    }
}


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = pair.parser(__doc__)
    add = parser.add_argument
    add("--words", type=int, default=30, help="of each prompt (default: %(default)s)")
    add("--tokens", type=int, default=192, help="of each answer (default: %(default)s)")
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns what the result file keeps."""
    limits = Limits(args.threads, n_streams=2, n_ctx=2048)
    with pair.both(args.llama_server, limits) as (ours, theirs):
        shaped: list[Side] = [("corral", ours, SHAPE), ("llama-server", theirs, SHAPE)]
        alone = {"cache": "none"}  # the same prompts: neither may find the other's in the cache
        own: list[Side] = [("shaped", ours, SHAPE | alone), ("free", ours, alone)]
        found = {
            "shaped": compare("shaped", shaped, ordinary, args),
            "own": compare("own", own, ordinary, args),
        }
        commands = {server.name: server.command for server in (ours, theirs)}
    return {
        "versions": report.versions("corral", "llama-cpp-python", "llguidance"),
        "limits": dataclasses.asdict(limits),
        "servers": commands,
        **found,
    }


if __name__ == "__main__":
    sys.exit(pair.main(run, options(sys.argv[1:])))
