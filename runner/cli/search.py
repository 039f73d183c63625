"""``corral search WORDS``: models on the hubs; with a full name, one of them in detail."""

from __future__ import annotations

import argparse
from typing import Any

from runner.cli import human
from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.client.client import Client
from runner.domain.search import FoundModel, FoundQuant, Opened

_JSON_HELP = """\
FIT is a rough guess from the size: 'yes' should run in this machine's memory.
A full name, such as hf.co/owner/repo, opens that repository: the memory of each
quantization is then counted from the header of its file, which is read in part.

--json prints an object:
  models: name hub likes downloads license gated languages capabilities
    quants (name size fits memory)
    opened (chosen reason architecture parameters context_length memory_context problem)
  errors: hub error code hint, for each hub that could not be asked
sizes in bytes; fits is null when not known, memory and opened when not opened"""

#: What most people want, where it is there: shown as the example of its repository.
_SHOWN_FIRST = "Q4_K_M"
_FIT = {True: "yes", False: "no", None: "-"}


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "search",
        help="find models on Hugging Face and ModelScope",
        description="Find models on Hugging Face and ModelScope, most downloaded first.",
        epilog=_JSON_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "words", nargs="+", help="what to look for: qwen3 4b; or a full name: hf.co/owner/repo"
    )
    parser.add_argument(
        "--hub", choices=("all", "hf", "modelscope"), default="all", help="which hub to ask"
    )
    parser.add_argument("--limit", type=int, default=10, help="most models from each hub (10)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Print what the hubs have, and which of them could not be asked."""
    words = " ".join(args.words)
    with out.waiting("searching"):
        result = client.search(words, hub=args.hub, limit=args.limit)
    for failure in result.failures:
        out.warn(failure.message, hint=failure.hint)
    if args.json:
        out.json(
            {
                "models": [as_json(model) for model in result.models],
                "errors": [
                    {"hub": f.hub, "error": f.message, "code": f.code, "hint": f.hint}
                    for f in result.failures
                ],
            }
        )
    elif len(result.models) == 1 and (more := result.models[0].opened):
        print_opened(result.models[0], more, out)
    elif result.models:
        heads = ("NAME", "LIKES", "DOWNLOADS", "LICENSE", "QUANTS", "SIZE", "FIT")
        out.table(heads, [row(model) for model in result.models])
        out.say(f"get one with: corral pull {result.models[0].name}:TAG")
    else:
        out.say(f"no model with GGUF files matches '{words}'")
    return 0


def print_opened(model: FoundModel, more: Opened, out: Output) -> None:
    """Print one repository: what its quantizations need, and which one its name means here."""
    license_text = f"{model.license or 'no licence named'}{' (gated)' if model.is_gated else ''}"
    about = [model.name, license_text, f"{human.count(model.n_downloads)} downloads"]
    if more.architecture:
        about += [
            f"{human.count(more.n_params)} parameters ({more.architecture})",
            f"context up to {more.n_ctx_train}",
        ]
    out.say(", ".join(about))
    rows = [
        (
            quant.label,
            human.size(quant.n_bytes) if quant.n_bytes else "-",
            human.size(quant.n_memory) if quant.n_memory else "-",
            _FIT[quant.fits],
        )
        for quant in model.quants
    ]
    out.table(("QUANT", "SIZE", "MEMORY", "FIT"), rows)
    if more.n_ctx:
        out.say(f"MEMORY is with a context of {more.n_ctx} tokens")
    if more.problem:
        out.warn(more.problem)
    if more.chosen:
        out.say(f"get {more.chosen} ({more.reason}) with: corral pull {model.name}:{more.chosen}")


def row(model: FoundModel) -> tuple[str, ...]:
    """Return the cells of one model; its size and fit are those of the quantization shown."""
    shown = shown_quant(model)
    license_text = model.license or "-"
    return (
        model.name,
        human.count(model.n_likes),
        human.count(model.n_downloads),
        f"{license_text} (gated)" if model.is_gated else license_text,
        quants_text(model, shown),
        human.size(shown.n_bytes) if shown and shown.n_bytes else "-",
        _FIT[shown.fits if shown else None],
    )


def shown_quant(model: FoundModel) -> FoundQuant | None:
    """Return the quantization to show: the usual one, else the largest that fits."""
    usual = next((q for q in model.quants if q.label == _SHOWN_FIRST and q.fits is not False), None)
    fitting = [quant for quant in model.quants if quant.fits is not False]
    return usual or next(reversed(fitting or model.quants), None)


def quants_text(model: FoundModel, shown: FoundQuant | None) -> str:
    """Return the shown quantization and how many more there are."""
    if shown is None:
        return "-"
    n_more = len(model.quants) - 1
    return f"{shown.label} (+{n_more})" if n_more else shown.label


def as_json(model: FoundModel) -> dict[str, Any]:
    """Return the stable keys of one model."""
    return {
        "name": model.name,
        "hub": model.hub,
        "likes": model.n_likes,
        "downloads": model.n_downloads,
        "license": model.license,
        "gated": model.is_gated,
        "languages": list(model.languages),
        "capabilities": [str(one) for one in model.abilities],
        "quants": [
            {"name": q.label, "size": q.n_bytes, "fits": q.fits, "memory": q.n_memory or None}
            for q in model.quants
        ],
        "opened": _opened_json(model.opened) if model.opened else None,
    }


def _opened_json(more: Opened) -> dict[str, Any]:
    return {
        "chosen": more.chosen,
        "reason": more.reason,
        "architecture": more.architecture,
        "parameters": more.n_params,
        "context_length": more.n_ctx_train,
        "memory_context": more.n_ctx,
        "problem": more.problem,
    }
