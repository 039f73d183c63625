"""``corral jobs``: downloads and other long work on its way, and what can be done about it."""

from __future__ import annotations

import argparse
from typing import Any

from runner.cli import human
from runner.cli.connect import Need
from runner.cli.list_ import rfc3339
from runner.cli.output import Output
from runner.cli.parser import Subparsers, UsageError
from runner.client.client import Client
from runner.domain.job import Job, JobState
from runner.domain.speed import parse_speed

_EPILOG = """\
corral jobs                   list them, those on their way first
corral jobs pause 3           keep what has arrived, and wait
corral jobs resume 3          go on
corral jobs cancel 3          end it, and remove what has arrived
corral jobs move 3 0          make it the next one (0 is the first place)
corral jobs limit 3 5M        at most 5 MB a second; 0: no limit
corral jobs limit all 5M      the same for all of them together

--json prints an array of objects (one object where a job is named):
  id kind name state phase n_done n_bytes rate_bps eta_s source error
  started finished place limit_bps"""

#: Words after the verb, by verb.
_VERBS = {"pause": 1, "resume": 1, "cancel": 1, "move": 2, "limit": 2}


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "jobs",
        help="list, pause, resume, cancel, move and limit downloads and other long jobs",
        description="List downloads and other long jobs, or change one of them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="VERB ID", help="see below")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run, need=Need.STARTED)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """List the jobs, or change one."""
    if not args.words:
        jobs = client.jobs()
        if args.json:
            out.json([as_json(job) for job in jobs])
        else:
            _print_table(jobs, out)
        return 0
    verb, *rest = args.words
    if verb not in _VERBS:
        raise UsageError(
            f"corral jobs does not know '{verb}'", hint=f"it knows: {', '.join(_VERBS)}"
        )
    if len(rest) != _VERBS[verb]:
        needs = {"move": "an id and a place", "limit": "an id (or all) and a speed"}
        raise UsageError(
            f"corral jobs {verb} needs {needs.get(verb, 'an id')}", hint="see: corral jobs --help"
        )
    if verb == "limit":
        _speed(rest[1])
    if verb == "limit" and rest[0] == "all":
        client.limit_jobs(rest[1])
        if args.json:
            out.json([as_json(job) for job in client.jobs()])
        else:
            out.say(f"all jobs together have {_limit_words(parse_speed(rest[1]))}")
        return 0
    job = _steer(client, verb, _number(rest[0], "id"), rest[1:])
    if args.json:
        out.json(as_json(job))
    else:
        out.say(f"job {job.job_id} ({job.name}) is {job.state}{_changed(verb, job)}")
    return 0


def as_json(job: Job) -> dict[str, Any]:
    """Return the stable keys of one job."""
    error = job.error
    return {
        "id": job.job_id,
        "kind": job.kind,
        "name": job.name,
        "state": job.state.value,
        "phase": job.phase,
        "n_done": job.n_done,
        "n_bytes": job.n_bytes,
        "rate_bps": job.rate_bps,
        "eta_s": job.eta_s,
        "source": job.source,
        "error": {"code": error.code, "message": error.message, "hint": error.hint}
        if error
        else None,
        "started": rfc3339(job.started),
        "finished": None if job.finished is None else rfc3339(job.finished),
        "place": job.place,
        "limit_bps": job.limit_bps,
    }


def _changed(verb: str, job: Job) -> str:
    """Return what a verb has changed beside the state, which says nothing of it."""
    if verb == "limit":
        return f" and has {_limit_words(job.limit_bps)}"
    return f", at place {job.place}" if verb == "move" else ""


def _limit_words(limit_bps: int) -> str:
    return f"a limit of {human.size(limit_bps)}/s" if limit_bps else "no limit of speed"


def _steer(client: Client, verb: str, job_id: int, rest: list[str]) -> Job:
    match verb:
        case "cancel":
            return client.cancel_job(job_id)
        case "move":
            return client.steer_job(job_id, verb, {"place": _number(rest[0], "place")})
        case "limit":
            return client.steer_job(job_id, verb, {"limit": rest[0]})
        case _:
            return client.steer_job(job_id, verb)


def _print_table(jobs: list[Job], out: Output) -> None:
    rows = []
    for job in jobs:
        share = f"{job.n_done * 100 // job.n_bytes}%" if job.n_bytes else ""
        size = f"{human.size(job.n_done)}/{human.size(job.n_bytes)}" if job.n_bytes else ""
        rate = f"{human.size(job.rate_bps)}/s" if job.rate_bps else ""
        left = human.clock(job.eta_s) if job.eta_s is not None else ""
        rows.append(
            (
                *(str(job.job_id), job.kind, job.name, job.state.value),
                *(share, size, rate, left, job.source),
            )
        )
    heads = ("ID", "KIND", "NAME", "STATE", "DONE", "SIZE", "SPEED", "LEFT", "FROM")
    out.table(heads, rows)
    for job in jobs:
        if job.error is not None and job.state is not JobState.DONE:
            hint = f"; {job.error.hint}" if job.error.hint else ""
            out.say(f"job {job.job_id}: {job.error.message}{hint}")


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise UsageError(f"want a number for the {what}, not '{text}'")
    return int(text)


def _speed(text: str) -> None:
    try:
        parse_speed(text)
    except ValueError as error:
        raise UsageError(str(error)) from None
