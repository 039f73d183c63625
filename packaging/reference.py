"""Writes ``docs/reference/``: settings, options, commands, calls and errors, from the code that has them.

    python packaging/reference.py             write the pages
    python packaging/reference.py --check     say which are stale; the exit code is 1 then

A page is made from the table that the program itself reads, so it says what the program does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from aiohttp import web

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a script: the pages are those of this checkout
    sys.path.insert(0, str(ROOT))

from runner.cli.main import build_parser  # noqa: E402
from runner.cli.option_words import wanted  # noqa: E402
from runner.config import SETTING_SPECS  # noqa: E402
from runner.domain.option_meanings import MEANINGS, default_text  # noqa: E402
from runner.domain.options import OPTION_SPECS  # noqa: E402
from runner.errors import CorralError  # noqa: E402
from runner.server import scopes  # noqa: E402
from runner.server.answers import STATUSES  # noqa: E402
from runner.server.app import ROUTES  # noqa: E402

FOLDER = ROOT / "docs" / "reference"
NOTE = "Written by `packaging/reference.py`; do not edit.\n"

#: What to do about each error, by its code.  Its own hint, where it has one, knows more.
STEPS = {
    "internal": "A fault of Corral's. `corral daemon logs` has the details; please report it.",
    "bad_request": "The message says what cannot be done; `corral COMMAND --help` what can.",
    "invalid_request": "Correct the field, flag or variable that the message names.",
    "invalid_name": "Names are `name`, `name:tag`, `hf.co/owner/repo:Q4_K_M` or"
    " `modelscope.cn/owner/repo:Q4_K_M`.",
    "model_not_found": "`corral list` shows what is there; `corral pull NAME` fetches it.",
    "request_not_found": "It has ended. `corral ps --requests` shows those that have not.",
    "job_not_found": "`corral jobs` shows the jobs there are.",
    "job_under_way": "Wait for the job that the message names, or end it: `corral jobs cancel ID`.",
    "prompt_too_long": "Shorten the prompt, or ask for more with `-o num_ctx=16384`,"
    " `options.num_ctx` or `CORRAL_CONTEXT_LENGTH`.",
    "unsupported": "Take another model, or leave out what the message names; `corral show MODEL`"
    " lists what a model can do.",
    "template_failed": "The model's own chat template is at fault: give it another one with"
    " `TEMPLATE` in a Modelfile, or take another model.",
    "too_large": "Send less; the limits are in the [security guide](../guides/security.md).",
    "too_slow": "Send the body without pauses; a proxy between may be the slow one.",
    "key_not_found": "`corral keys list` shows the keys there are.",
    "unauthorized": "Send a key (`CORRAL_API_KEY`, or the API key of your program);"
    " `corral keys add NAME` on the serving machine makes one.",
    "forbidden": "Ask the owner of the machine for a key of a wider scope, or, from a web page, to"
    " add its origin to `CORRAL_ORIGINS`.",
    "usage": "`corral COMMAND --help` shows how the command is written.",
    "busy": "Try again in a moment.",
    "queue_full": "Try again when the answer's `Retry-After` says so, or raise `CORRAL_MAX_QUEUE`.",
    "rate_limit_exceeded": "Wait as long as `Retry-After` says; `corral keys add --rate` sets it.",
    "deadline_exceeded": "Allow more time in `deadline_s`, or ask for a shorter answer.",
    "store_busy": "Another command writes to the library: wait for it.",
    "not_enough_memory": "Stop a model (`corral ps`, `corral stop NAME`), take a smaller"
    " quantization, or a smaller context.",
    "disk_full": "`corral du` shows what takes the room and `corral prune` removes what nothing"
    " needs; or move the library to a larger disk with `corral folder`.",
    "source_failed": "Try again: what has arrived is kept. `corral doctor` says whether the hubs"
    " answer.",
    "not_on_hub": "Look it up with `corral search`.",
    "access_denied": "Accept the model's licence on its page, then set a token: `HF_TOKEN` or"
    " `MODELSCOPE_API_TOKEN`.",
    "rate_limited": "Wait a few minutes, or set a token of yours: hubs allow more with one.",
    "offline": "Unset `CORRAL_OFFLINE` or `HF_HUB_OFFLINE`, or use what is in the library.",
    "bad_model_file": "The file is damaged, or none for llama.cpp: get it again, or another one.",
    "unsupported_architecture": "There is no converter for this kind of model: look for a GGUF file"
    " of it.",
    "digest_mismatch": "The file arrived wrong and is in quarantine. Pull again, or"
    " from the other hub by its full name.",
    "store_failed": "`corral verify` says what is damaged and `corral repair NAME` mends it; see"
    " also that the folder may be written to.",
    "cancelled": "Somebody ended it with `corral cancel`; ask again.",
    "worker_failed": "Ask again: the model is loaded anew. If it fails again, `corral daemon logs`"
    " has its last words; less context or another quantization may help.",
    "device_failed": "Ask again: the model is loaded without the device. See that `corral share` runs on"
    " the other machine, and that its key is the one you gave: [machines](../guides/machines.md).",
    "daemon_unavailable": "`corral daemon status` says what answers, `corral daemon logs` why"
    " nothing does; `corral serve` shows it starting.",
    "address_in_use": "Stop the other program, or give Corral another place:"
    " `CORRAL_HOST=127.0.0.1:11435`.",
    "already_running": "Use the one that runs, or end it: `corral daemon stop`.",
}


def settings_page() -> str:
    """Return the page of settings."""
    rows = []
    for spec in SETTING_SPECS.values():
        default = f"`{spec.shown_default}`" if spec.shown_default else "none"
        also = f"`{spec.ollama_env}`" if spec.ollama_env else ""
        if spec.key == "host":
            also = "`OLLAMA_HOST`, this machine only"
        rows.append(f"| `{spec.env}` | `{spec.key}` | {default} | {_cell(spec.help)} | {also} |")
    head = f"""# Settings

{NOTE}
A setting is looked for in its environment variable, then in Ollama's variable of the last column, then in
`config.toml` under its name there, and then has its default. `PATCH /api/settings` and the app's page of settings
write `config.toml`; where it is, `corral daemon status` and [where things are](../guides/files.md) tell.

| variable | in `config.toml` | default | meaning | also read |
|---|---|---|---|---|
"""
    tail = """
One more says where things are and has no name in `config.toml`, which it would move: `CORRAL_HOME`, one folder for all
that Corral writes. `CORRAL_API_KEY` is the key that `corral` sends to a daemon of another machine.
"""
    return head + "\n".join(rows) + "\n" + tail


def options_page() -> str:
    """Return the page of model options."""
    head = f"""# Model options

{NOTE}
How a model is loaded and how it answers: `-o NAME=VALUE` of `corral run`, `/set parameter NAME VALUE` in its chat,
`PARAMETER NAME VALUE` in a [Modelfile](../modelfiles.md), `options` in Ollama's API, and for all models
[`CORRAL_MODEL_OPTIONS`](settings.md). A request goes before the model's own parameters, these before the settings.
What has no default here is decided by settings, by the model's file, or by the machine.

| option | what it does | what it may be | default |
|---|---|---|---|
"""
    rows = []
    for name in OPTION_SPECS:
        default = f"`{text}`" if (text := default_text(name)) else ""
        rows.append(f"| `{name}` | {_cell(MEANINGS[name])} | {_cell(wanted(name))} | {default} |")
    return head + "\n".join(rows) + "\n"


def cli_page() -> str:
    """Return the page of commands."""
    parser, commands = build_parser()
    helps = {action.dest: action.help or "" for action in commands._choices_actions}
    parts = [f"# Commands\n\n{NOTE}\n{parser.description}\n"]
    parts.append("| command | |\n|---|---|")
    rows = [f"| [`{name}`](#corral-{name}) | {_cell(helps[name])} |" for name in helps]
    parts[-1] += "\n" + "\n".join(rows) + "\n"
    for name, summary in helps.items():  # an alias is no command of its own
        parts += list(_command(f"corral {name}", commands.choices[name], summary, level=2))
    parts.append(
        "Exit codes: 0 done, 1 failed, 2 the command line was not understood, 130 ended by Ctrl-C.\n"
    )
    return "\n".join(parts)


def _command(
    name: str, parser: argparse.ArgumentParser, summary: str, *, level: int
) -> Iterator[str]:
    """Yield the paragraphs of one command, and of those below it."""
    yield f"{'#' * level} `{name}`\n"
    yield f"{parser.description or _sentence(summary)}\n"
    below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    arguments = [a for a in parser._actions if a not in below and a.dest != "help"]
    if arguments:
        rows = [f"| {_spelling(action)} | {_cell(_filled(action))} |" for action in arguments]
        yield "\n".join(["| argument | |", "|---|---|", *rows]) + "\n"
    if parser.epilog and "environment:" not in parser.epilog:
        yield f"```text\n{parser.epilog.rstrip()}\n```\n"
    for table in below:
        helps = {action.dest: action.help or "" for action in table._choices_actions}
        for word, text in helps.items():
            yield from _command(f"{name} {word}", table.choices[word], text, level=level + 1)


def _spelling(action: argparse.Action) -> str:
    """How an argument is written: ``NAME``, ``[PROMPT ...]``, ``-o, --option NAME=VALUE``."""
    if not action.option_strings:
        word = str(action.metavar or action.dest).upper()
        many = {"*": f"[{word} ...]", "+": f"{word} ...", "?": f"[{word}]"}
        return f"`{many.get(str(action.nargs), word)}`"
    spelling = ", ".join(action.option_strings)
    if action.nargs == 0:
        return f"`{spelling}`"
    value = action.metavar or ("|".join(action.choices) if action.choices else action.dest.upper())
    return f"`{spelling} {value}`".replace("|", "\\|")


def _filled(action: argparse.Action) -> str:
    return (action.help or "") % {"default": action.default, "prog": "corral"}


def api_page() -> str:
    """Return the page of calls."""
    parts = [
        f"""# Calls

{NOTE}
All on `http://127.0.0.1:11434` unless [`CORRAL_HOST`](settings.md) says otherwise. Where keys are needed, the third
column says what a key must open; [security](../guides/security.md) tells who needs one. A web page may
make the calls marked *pages* without a key. [Which fields are read](../api/compatibility.md) is a page of its own.
"""
    ]
    for table in ROUTES:
        routes = [route for route in table if isinstance(route, web.RouteDef)]
        module = sys.modules[routes[0].handler.__module__]
        parts.append(f"## {_sentence((module.__doc__ or '').splitlines()[0]).rstrip('.')}\n")
        parts.append("| | path | needs | |\n|---|---|---|---|")
        for route in routes:
            path = route.path.replace(":.+}", "}")
            what = _sentence((route.handler.__doc__ or "").strip().splitlines()[0])
            parts[-1] += f"\n| `{route.method}` | `{path}` | {_needs(path)} | {_cell(what)} |"
        parts[-1] += "\n"
    return "\n".join(parts)


def _needs(path: str) -> str:
    if scopes.is_open(path):
        return "nothing"
    scope = scopes.needed(path)
    word = f"`{scope.value}`" if scope else "any key"
    return f"{word}, *pages*" if scopes.is_for_pages(path) else word


def errors_page() -> str:
    """Return the page of errors."""
    head = f"""# Errors

{NOTE}
Every error says what happened, and most say what to do next. Programs find the word of the first column as `code`
(OpenAI's dialect: `error.code`), and the HTTP status beside it; `corral` ends with exit code 1, or 2 for `usage`.

| code | status | means | what helps |
|---|---|---|---|
"""
    rows = []
    for cls in _tree(CorralError):
        status = next((number for kind, number in STATUSES if issubclass(cls, kind)), 500)
        shown = "" if cls.code == "usage" else str(status)
        means = _sentence((cls.__doc__ or "").split("; any other")[0].splitlines()[0])
        if cls is CorralError:
            means = "Something went wrong that was not foreseen."
        rows.append(f"| `{cls.code}` | {shown} | {_cell(means)} | {STEPS[cls.code]} |")
    return head + "\n".join(rows) + "\n"


def _tree(cls: type[CorralError]) -> Iterator[type[CorralError]]:
    """Yield ``cls`` and the program's classes below it, each once, in the order of definition."""
    yield cls
    for child in cls.__subclasses__():
        if child.__module__.startswith("runner."):
            yield from _tree(child)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("``", "`")


def _sentence(text: str) -> str:
    text = text.strip().replace("``", "`")
    return text[:1].upper() + text[1:].rstrip(".") + "." if text else text


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "options.md": options_page,
    "cli.md": cli_page,
    "api.md": api_page,
    "errors.md": errors_page,
}


def stale() -> list[str]:
    """Return the names of the pages that are not what the code makes of them."""
    return [
        name
        for name, page in PAGES.items()
        if not (FOLDER / name).is_file() or (FOLDER / name).read_text(encoding="utf-8") != page()
    ]


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or compare; returns 1 when one is not current."""
    if list(arguments) == ["--check"]:
        for name in (found := stale()):
            print(f"docs/reference/{name} is stale; run: make docs", file=sys.stderr)
        return int(bool(found))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
