"""``corral show``: all that is known of one model."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from runner.cli import human
from runner.cli.list_ import as_json as info_json
from runner.cli.output import Output, table_lines
from runner.cli.parser import Subparsers
from runner.cli.perplexity import report_rows
from runner.client.client import Client
from runner.client.decode import ShownModel
from runner.domain.memory import DeviceNeed, MemoryNeed
from runner.domain.sizes import told_apart
from runner.errors import CorralError

_PARTS = ("modelfile", "parameters", "system", "template", "license")
#: What is told of a file's origin, in this order.
_ORIGIN = ("source", "repository", "revision", "file", "license", "digest", "time")
_JSON_HELP = """\
--json prints an object:
  name architecture parameters quantization context_length embedding_length
  capabilities options system template license modelfile metadata
  provenance warnings quality memory
sizes in bytes; quality as corral perplexity --json has it, or null; memory: what it would
take now, with fits needed free context_length asked weights kv_cache compute advice layers
devices note; or null"""


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "show",
        help="show what is known of a model",
        description="Show what is known of a model, or one part of it alone.",
        epilog=_JSON_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="a model in the library")
    parts = parser.add_mutually_exclusive_group()
    for part, help_text in zip(
        _PARTS,
        (
            "a Modelfile that makes the model again",
            "the model's own parameters",
            "the model's system message",
            "the model's chat template",
            "the model's licence",
        ),
        strict=True,
    ):
        parts.add_argument(
            f"--{part}", dest="part", action="store_const", const=part, help=f"only {help_text}"
        )
    parts.add_argument("--json", action="store_true", help="print JSON instead")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="metadata and tensors of the file too"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Print the model."""
    model = client.show(args.model, verbose=args.verbose)
    if args.json:
        need = _estimate(client, args.model)
        out.json(as_json(model) | {"memory": memory_as_json(need) if need else None})
    elif args.part:
        print_part(model, args.part, out)
    else:
        print_all(model, out, verbose=args.verbose, need=_estimate(client, args.model))
    return 0


def _estimate(client: Client, name: str) -> MemoryNeed | None:
    """What it needs of memory; ``None`` where that cannot be said, of which ``run`` tells more."""
    try:
        return client.estimate(name)
    except CorralError:
        return None


def print_part(model: ShownModel, part: str, out: Output) -> None:
    """Print one of ``_PARTS`` as it is."""
    text = part_text(model, part)
    if text:
        out.text(text.rstrip("\n"))


def part_text(model: ShownModel, part: str) -> str:
    """Return one of ``_PARTS``; empty when the model has none."""
    return {
        "modelfile": model.modelfile,
        "parameters": model.parameters,
        "system": model.details.system,
        "template": model.details.template,
        "license": model.details.license,
    }[part]


def print_all(
    model: ShownModel, out: Output, *, verbose: bool = False, need: MemoryNeed | None = None
) -> None:
    """Print the model's blocks, as Ollama lays them out, and what it needs of memory."""
    memory = [("Memory", memory_rows(need))] if need else []
    for title, rows in (*_blocks(model, verbose), *memory):
        if rows:
            out.text(f"  {title}")
            for line in table_lines((), rows):
                out.text(f"    {line}".rstrip())
            out.text("")


def memory_rows(need: MemoryNeed) -> list[tuple[str, ...]]:
    """Return what a model would take now, and why not more or what else."""
    context = f"{need.n_ctx} tokens"
    if need.n_ctx_asked > need.n_ctx:
        context += f", of {need.n_ctx_asked} that were asked for: no more fit"
    fits = "fits" if need.fits else "does not fit"
    needed, free = told_apart(need.n_needed, need.n_free, human.size)
    return [
        ("needed", f"{needed}, {fits}: {free} can be free"),
        ("context", context),
        ("weights", human.size(need.n_weights)),
        ("cache", f"{human.size(need.n_kv)} for {need.n_cells} tokens in all"),
        ("computing", human.size(need.n_compute)),
        *(_placed_row(one, need) for one in need.placed),
        *([("but", need.note)] if need.note else []),
        *(("would help", way) for way in need.advice),
    ]


def _placed_row(one: DeviceNeed, need: MemoryNeed) -> tuple[str, str]:
    needed, free = told_apart(one.n_needed, one.n_free, human.size)
    layers = f"{one.n_layers} of {need.n_layers} layers"
    return f"on {one.device}", f"{layers}, {needed}: {free} are free there"


def memory_as_json(need: MemoryNeed) -> dict[str, Any]:
    """Return the stable keys of an estimate."""
    return {
        "fits": need.fits,
        "needed": need.n_needed,
        "free": need.n_free,
        "context_length": need.n_ctx,
        "asked": need.n_ctx_asked or None,
        "weights": need.n_weights,
        "kv_cache": need.n_kv,
        "compute": need.n_compute,
        "advice": list(need.advice),
        "layers": need.n_layers,
        "devices": [
            {
                "name": one.device,
                "layers": one.n_layers,
                "needed": one.n_needed,
                "free": one.n_free,
            }
            for one in need.placed
        ],
        "note": need.note,
    }


def as_json(model: ShownModel) -> dict[str, Any]:
    """Return the stable keys of one model."""
    details = model.details
    known = info_json(details.info)
    for key in ("digest", "size", "modified_at"):
        del known[key]
    return known | {
        "options": details.options.set_values(),
        "system": details.system,
        "template": details.template,
        "license": details.license,
        "modelfile": model.modelfile,
        "metadata": dict(details.metadata),
        "provenance": dict(details.provenance),
        "warnings": list(details.warnings),
        "quality": asdict(details.quality) if details.quality else None,
    }


def _blocks(model: ShownModel, verbose: bool) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    details, info = model.details, model.details.info
    yield (
        "Model",
        [
            ("architecture", info.architecture or "unknown"),
            ("parameters", human.count(info.n_params)),
            ("context length", str(info.n_ctx_train)),
            ("embedding length", str(info.n_embd)),
            ("quantization", info.quantization or "unknown"),
        ],
    )
    yield "Capabilities", [(str(capability),) for capability in info.capabilities]
    yield "Parameters", [_pair(line) for line in model.parameters.splitlines() if line.strip()]
    if verbose:
        yield "Metadata", [(k, _value(v)) for k, v in sorted(details.metadata.items())]
        yield "Projector", [(k, _value(v)) for k, v in sorted(details.projector.items())]
        yield "Tensors", [(n, t, f"[{' '.join(map(str, s))}]") for n, t, s, _ in details.tensors]
    yield "System", _first_lines(details.system)
    yield "License", _first_lines(details.license)
    if details.quality:
        yield "Quality", [*report_rows(details.quality)]
    yield "Origin", _origin(details.provenance)
    yield "Warnings", [(f"chat template, {warning}",) for warning in details.warnings]


def _origin(provenance: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Where the model came from, file by file."""
    rows: list[tuple[str, ...]] = []
    for record in (provenance, *_files(provenance)):
        for key in _ORIGIN:
            value = record.get(key)
            if value and (key, str(value)) not in rows:
                rows.append((key, str(value)))
    return rows


def _files(provenance: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    files = provenance.get("files")
    return [one for one in files if isinstance(one, dict)] if isinstance(files, list) else []


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.strip().partition(" ")
    return name, value.strip()


def _first_lines(text: str) -> list[tuple[str, ...]]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [(line,) for line in (*lines[:2], *(["..."] if len(lines) > 2 else []))]


def _value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case list() if len(value) > 3:
            return f"[{' '.join(map(_value, value[:3]))} ...+{len(value) - 3} more]"
        case list():
            return f"[{' '.join(map(_value, value))}]"
        case _:
            return str(value).replace("\n", "\\n")
