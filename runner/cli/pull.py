"""``corral pull``: bring a model into the library, from a hub or from a file."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.client.client import Client
from runner.errors import InvalidRequest

_PATH = re.compile(r"\.{0,2}[/\\]|~|[A-Za-z]:[/\\]")


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "pull",
        help="download a model, or take in a GGUF file",
        description="Download a model into the library, or take in a GGUF file.",
    )
    parser.add_argument(
        "model",
        help="qwen3:4b, hf.co/owner/repo:Q4_K_M, modelscope.cn/owner/repo, a link, ./file.gguf",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Follow the daemon's progress until the model is in the library.

    Ctrl-C only stops following: the daemon ends the download when nobody follows it any more,
    and keeps what has arrived for the next try.
    """
    path = local_path(args.model)
    if path is not None and not path.is_file():
        what = "a folder" if path.is_dir() else "missing"
        raise InvalidRequest(f"{path} is {what}", hint="name a GGUF file")
    name = fetch(client, args.model if path is None else "", out, path=path)
    out.say(f"{name or args.model} is ready; try: corral run {name or args.model}")
    return 0


def fetch(client: Client, name: str, out: Output, *, path: Path | None = None) -> str:
    """Pull a model with its progress on stderr; return the name the daemon gave it, if any."""
    try:
        with client.pull(name, path) as steps, out.progress() as bars:
            for step in steps:
                bars.show(step)
    except KeyboardInterrupt:
        if path is None:
            out.say(f"paused; go on with: corral pull {name}")
        raise
    return str(steps.last.get("name") or steps.last.get("model") or name)


def local_path(text: str) -> Path | None:
    """Return the file that ``text`` names; ``None`` when it is the name of a model."""
    path = Path(text)
    if _PATH.match(text):
        return path.expanduser()
    return path if text.lower().endswith(".gguf") and path.is_file() else None
