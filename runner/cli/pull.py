"""``corral pull``: bring a model into the library, from a hub, a file or a folder."""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runner.cli.follow import say_goes_on
from runner.cli.jobs import as_json
from runner.cli.output import Output
from runner.cli.parser import Subparsers, UsageError
from runner.client.client import Client
from runner.client.connection import Stream
from runner.domain.job import Job, JobState
from runner.domain.name import ModelName
from runner.domain.progress import Progress
from runner.domain.speed import parse_speed
from runner.errors import CorralError, InvalidRequest
from runner.paths import given_path

#: Seconds that the daemon may take to pause a download, and between two looks.
_PAUSE_S, _LOOK_S = 2.0, 0.05

_PATH = re.compile(r"\.{0,2}[/\\]|~|[A-Za-z]:[/\\]")


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "pull",
        help="download a model, or take in a GGUF file or a folder",
        description="Download a model into the library, or take in a GGUF file, or a folder that"
        " holds a model.",
    )
    parser.add_argument(
        "model",
        help="qwen3:4b, hf.co/owner/repo:Q4_K_M, modelscope.cn/owner/repo, a link, ./file.gguf,"
        " ./folder",
    )
    parser.add_argument("--limit", metavar="SPEED", help="most bytes a second: 5M, 500k, 0 for any")
    parser.add_argument(
        "--detach", action="store_true", help="begin and return; see it with: corral jobs"
    )
    parser.add_argument(
        "--json", action="store_true", help="print every step as a line of JSON on stdout"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Follow the daemon's progress until the model is in the library.

    Ctrl-C pauses the download, unless it was begun with ``--detach`` or somebody else follows it;
    which of these it is, is said.
    """
    path = local_path(args.model)
    if path is not None and not path.exists():
        raise InvalidRequest(
            f"there is no file or folder '{path}'", hint="name a GGUF file, or a folder with one"
        )
    if args.limit is not None:
        check_speed(args.limit)
    if args.detach:
        return _detach(args, client, out, path)
    name = fetch(
        client,
        args.model if path is None else "",
        out,
        path=path,
        limit=args.limit,
        as_json=args.json,
    )
    if args.json:
        return 0
    out.say(f"{name or args.model} is ready; try: corral run {name or args.model}")
    return 0


def fetch(
    client: Client,
    name: str,
    out: Output,
    *,
    path: Path | None = None,
    limit: str | None = None,
    as_json: bool = False,
) -> str:
    """Pull a model with its progress on stderr; return the name the daemon gave it, if any.

    Raises:
        InvalidRequest: The name is one of a file that is not there.
    """
    if path is None and "/" not in name and name.lower().endswith(".gguf"):
        raise InvalidRequest(f"there is no file '{name}' in this folder", hint="give its path")
    try:
        with client.pull(name, path, limit=limit) as steps:
            if as_json:
                for step in steps:
                    out.text(json.dumps(as_line(step)))
                    out.flush()
            else:
                _draw(steps, out)
    except KeyboardInterrupt:
        if path is None:
            _say_what_becomes(client, name, out)
        raise
    return str(steps.last.get("name") or steps.last.get("model") or name)


def _say_what_becomes(client: Client, name: str, out: Output) -> None:
    """Say what the daemon does with a download that is not followed from here any more."""
    job = _left(client, name)
    if job is not None and not _rests(job):
        say_goes_on(job, out)
    elif job is None or job.state is not JobState.DONE:
        out.say(f"paused; go on with: corral pull {name}")


def _left(client: Client, name: str) -> Job | None:
    """Return the job of ``name`` once it has paused, or if it goes on; ``None``: there is none."""
    deadline = time.monotonic() + _PAUSE_S
    try:
        full = str(ModelName.parse(name)).lower()
        while True:
            jobs = [one for one in client.jobs() if one.kind == "pull" and one.name.lower() == full]
            job = min(jobs, key=lambda one: (one.state.is_over, -one.job_id), default=None)
            pauses = job is not None and job.is_attended and not _rests(job)
            if not pauses or time.monotonic() > deadline:  # late: somebody else follows it
                return job
            time.sleep(_LOOK_S)
    except CorralError:  # a daemon that is no more does not download either
        return None


def _rests(job: Job) -> bool:
    return job.state.is_over or job.state is JobState.PAUSED


def check_speed(text: str) -> int:
    """Return bytes a second.

    Raises:
        UsageError: ``text`` is no speed.
    """
    try:
        return parse_speed(text)
    except ValueError as error:
        raise UsageError(f"--limit: {error}") from None


def as_line(step: Progress) -> dict[str, Any]:
    """Return the stable keys of one step; those that say nothing are left out."""
    line: dict[str, Any] = {"phase": step.phase, "digest": step.digest, "source": step.source}
    if step.n_bytes:
        line |= {"n_done": step.n_done, "n_bytes": step.n_bytes}
    return {key: value for key, value in line.items() if value != ""}


def _draw(steps: Stream[Progress], out: Output) -> None:
    with out.progress() as bars:
        for step in steps:
            bars.show(step)


def _detach(args: argparse.Namespace, client: Client, out: Output, path: Path | None) -> int:
    if path is not None:
        raise UsageError("--detach is for downloads; a file is copied while you wait")
    job = client.begin_pull(args.model, limit=args.limit)
    if args.json:
        out.json(as_json(job))
    else:
        out.say(f"job {job.job_id} pulls {job.name}; see it with: corral jobs")
    return 0


def local_path(text: str) -> Path | None:
    """Return the file or folder that ``text`` names; ``None`` when it is the name of a model.

    Raises:
        InvalidRequest: It is the address of a file on another machine.
    """
    if text.lower().startswith("file:"):
        return _of_address(text)
    path = Path(text)
    if _PATH.match(text) or text in (".", "..") or text.endswith(("/", "\\")):
        return given_path(text)
    return path if text.lower().endswith(".gguf") and path.is_file() else None


def _of_address(text: str) -> Path:
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise InvalidRequest(f"'{text}' is no file of this machine", hint="give its path")
    from urllib.request import url2pathname  # late: it costs a command 80 ms

    return Path(url2pathname(parts.path))
