"""``corral quantize``: write a model again in smaller types."""

from __future__ import annotations

import argparse
from typing import Any

from runner.cli import human
from runner.cli.follow import follow
from runner.cli.jobs import as_json
from runner.cli.output import Output
from runner.cli.parser import Subparsers, UsageError
from runner.client.client import Client
from runner.client.connection import Json
from runner.domain.file_types import DEFAULT_FILE_TYPE, FILE_TYPES, file_type
from runner.errors import InvalidRequest
from runner.paths import given_path

_EPILOG = f"""\
types, the largest first:
  {" ".join(list(FILE_TYPES)[:12])}
  {" ".join(list(FILE_TYPES)[12:24])}
  {" ".join(list(FILE_TYPES)[24:])}

Types below 3 bits (IQ1 to IQ3_XXS, Q2_K_S) need an importance matrix.

corral quantize qwen3:4b-f16                       makes qwen3:4b-q4_k_m
corral quantize qwen3:4b-f16 Q8_0 Q4_K_M --dry-run
corral quantize qwen3:4b-f16 IQ2_M --imatrix qwen3.imatrix.gguf
corral quantize qwen3:4b-f16 Q4_K_M --tensor 'ffn_down=q6_k' --name qwen3:mine

--json prints the job (as corral jobs), with --dry-run the plan:
  model quantization size free ok problem hint targets (type name size
  memory context bits_per_weight tensors exists)"""


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "quantize",
        help="write a model again in smaller types",
        description="Write a model again in smaller types. The model itself stays as it is.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="a model in the library, best one in F16, BF16 or F32")
    parser.add_argument(
        "types", nargs="*", metavar="TYPE", help=f"one or several; else {DEFAULT_FILE_TYPE}"
    )
    parser.add_argument("--name", help="what the new model is called; else after model and type")
    parser.add_argument("--imatrix", metavar="FILE", help="an importance matrix of this model")
    parser.add_argument(
        "--tensor",
        action="append",
        metavar="PATTERN=TYPE",
        help="a storage type for the tensors that a regular expression finds; may come often",
    )
    parser.add_argument(
        "--requantize", action="store_true", help="take a model that is quantized already"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say sizes and memory, and write nothing"
    )
    parser.add_argument(
        "--detach", action="store_true", help="begin and return; see it with: corral jobs"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Say what it will take, then follow the job; exit code 1 for a plan that cannot be done."""
    body = body_of(args)
    if args.dry_run:
        plan = client.plan_quantize(args.model, body)
        if args.json:
            out.json(plan)
        else:
            _print_plan(plan, out)
        return 0 if plan.get("ok") else 1
    job = client.begin_quantize(args.model, body)
    if not args.detach:
        job = follow(client, job, out)
    if args.json:
        out.json(as_json(job))
    elif args.detach:
        out.say(f"job {job.job_id} makes {job.name}; see it with: corral jobs")
    else:
        first = job.name.partition(",")[0]
        out.say(f"{job.name} is ready; try: corral run {first}")
    return 0


def body_of(args: argparse.Namespace) -> Json:
    """Return what ``/api/quantize`` is to be asked for.

    Raises:
        UsageError: A type or a pattern is none.
        InvalidRequest: There is no such file.
    """
    body: dict[str, Any] = {"requantize": args.requantize}
    try:
        body["types"] = [file_type(text) for text in args.types or [DEFAULT_FILE_TYPE]]
    except ValueError as error:
        raise UsageError(str(error)) from None
    if args.name:
        body["name"] = args.name
    if args.imatrix:
        path = given_path(args.imatrix)
        if not path.is_file():
            raise InvalidRequest(f"there is no file '{path}'", param="imatrix")
        body["imatrix"] = str(path.absolute())
    for text in args.tensor or ():
        pattern, _, kind = text.rpartition("=")
        if not pattern or not kind:
            raise UsageError(f"--tensor wants PATTERN=TYPE, not '{text}'")
        body.setdefault("tensors", {})[pattern] = kind
    return body


def _print_plan(plan: Json, out: Output) -> None:
    rows = []
    for one in plan["targets"]:
        share = f"{one['size'] * 100 // max(1, plan['size'])}%"
        rows.append(
            (
                one["type"],
                one["name"],
                human.size(one["size"]),
                share,
                human.size(one["memory"]),
                f"{one['bits_per_weight']:.2f}",
                "replaces one" if one["exists"] else "",
            )
        )
    size, free = human.size(plan["size"]), human.size(plan["free"])
    out.say(f"{plan['model']} has {plan['quantization']} and {size}; the disk has {free} free")
    if rows:
        out.table(("TYPE", "NAME", "SIZE", "OF SOURCE", "MEMORY", "BITS", ""), rows)
        out.say(f"memory is with {plan['targets'][0]['context']} tokens of context")
    if not plan["ok"]:
        out.warn(plan["problem"], hint=plan["hint"])
