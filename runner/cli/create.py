"""``corral create``: make a model of one's own from a Modelfile.

What the Modelfile means is read here, since its paths are of this folder; the daemon does the rest.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runner.cli.follow import say_goes_on
from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.client.client import Client
from runner.domain.job import Job
from runner.domain.name import ModelName
from runner.errors import BadModelFile, CorralError, InvalidRequest, TemplateFailed
from runner.modelfile.meaning import meaning_of
from runner.modelfile.parse import Instruction, decode, parse
from runner.paths import given_path

_DEFAULT = "Modelfile"
#: More than any licence is long.
_MOST_BYTES = 16 << 20
_PATH = re.compile(r"\.{1,2}(?:[/\\]|\Z)|[/\\]|~|[A-Za-z]:[/\\]")
_FILES = (".gguf", ".safetensors", ".bin", ".pt", ".pth")
#: What lies beside safetensors: settings, the tokenizer, the chat template, how vectors are pooled.
_BESIDE = ("*.json", "*.jinja", "vocab.txt", "tokenizer.model", "1_Pooling/config.json")


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "create",
        help="make a model of your own from a Modelfile",
        description="Make a model of your own: a base model, GGUF files or a folder of safetensors,"
        " with a system message, parameters, a template or an adapter laid over it.",
    )
    parser.add_argument("model", help="what the new model will be called")
    parser.add_argument(
        "-f",
        "--file",
        metavar="FILE",
        help="the Modelfile, '-' for standard input; else ./Modelfile, or else FROM .",
    )
    parser.add_argument(
        "-q", "--quantize", metavar="TYPE", help="write the weights in this type, such as Q4_K_M"
    )
    parser.add_argument(
        "--unset",
        action="append",
        metavar="PARAMETER",
        help="leave out what FROM has set, such as temperature; may come often",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Make the model, with its progress on stderr."""
    text, folder = read_modelfile(args.file)
    found = parse(text)
    body = body_of(found, folder)
    if args.unset:
        body["unset"] = args.unset
    if args.quantize:
        body["quantize"] = args.quantize
    try:
        with client.create(args.model, body) as steps, out.progress() as bars:
            for step in steps:
                bars.show(step)
    except KeyboardInterrupt:
        if job := _job_of(client, args.model):
            say_goes_on(job, out)
        raise
    except CorralError as error:
        if line := line_of(error, found):
            error.message = f"(line {line}): {error.message}"
        raise
    name = str(steps.last.get("name") or args.model)
    out.say(f"{name} is ready; try: corral run {name}")
    return 0


def _job_of(client: Client, name: str) -> Job | None:
    """Return the job that makes ``name``, where that is one: it goes on without us."""
    full = _full_name(name).lower()
    try:
        jobs = client.jobs()
    except CorralError:
        return None
    ours = (job for job in jobs if (job.kind, job.name.lower()) == ("create", full))
    return next((job for job in ours if not job.state.is_over), None)


def line_of(error: CorralError, found: tuple[Instruction, ...]) -> int:
    """Return the line that the daemon's ``error`` is about; 0 where that cannot be told.

    The daemon knows no lines: its words name the file, or the model, that a line names, too.
    """
    for one in found:
        match one.command:
            case "template" if isinstance(error, TemplateFailed):
                return one.line
            case "from" | "adapter" | "draft":
                words = [one.value, Path(one.value).name, _full_name(one.value)]
                quoted = (f"'{word}'" for word in words if word)
                if error.message.startswith((f"{words[1]}:", f"{words[1]} ")) or any(
                    word in error.message for word in quoted
                ):
                    return one.line
            case _:
                pass
    return _line_of_folder(error, found)


def _line_of_folder(error: CorralError, found: tuple[Instruction, ...]) -> int:
    """Return the line of the one model, or adapter: of files in a folder no line has a word."""
    if not isinstance(error, BadModelFile) and " is a pickle file" not in error.message:
        return 0
    command = "adapter" if "adapter" in error.message else "from"
    lines = [one.line for one in found if one.command == command]
    return lines[0] if len(lines) == 1 else 0


def _full_name(text: str) -> str:
    try:
        return str(ModelName.parse(text))
    except CorralError:
        return ""


def read_modelfile(file: str | None) -> tuple[str, Path]:
    """Return a Modelfile's text and the folder that its paths start from.

    Raises:
        InvalidRequest: There is none, or it is no text.
    """
    if file == "-":
        return decode(sys.stdin.buffer.read()), Path.cwd()
    path = given_path(file or _DEFAULT)
    if file is None and not path.exists():
        if not any(one.suffix.lower() in _FILES for one in Path.cwd().iterdir()):
            raise InvalidRequest(
                f"there is no file '{_DEFAULT}' in this folder, and no model's file either",
                hint="write one that begins with a line such as: FROM smollm2\n"
                "or name it with -f FILE",
            )
        return "FROM .\n", Path.cwd()
    # What a shell makes of a command's output is a pipe, and as good as a file.
    if not path.exists() or path.is_dir():
        what = f"'{path}' is a folder" if path.is_dir() else f"there is no file '{path}'"
        raise InvalidRequest(what, hint="give the path of a Modelfile")
    try:
        with path.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InvalidRequest(f"cannot read '{path}': {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise InvalidRequest(
            f"'{path}' has more than {_MOST_BYTES} bytes: that is no Modelfile",
            hint="give the path of a Modelfile; a model's file goes behind FROM inside of it",
        )
    return decode(content), path.absolute().parent if path.is_file() else Path.cwd()


def body_of(found: tuple[Instruction, ...], folder: Path) -> dict[str, Any]:
    """Return what ``/api/create`` is to be asked for.

    Raises:
        InvalidRequest: An instruction cannot be followed; the message has its line.
    """
    meaning = meaning_of(found)
    body: dict[str, Any] = {"parameters": meaning.options.set_values()}
    for one in found:
        match one.command:
            case "from" if (paths := _paths(one, folder)) is not None:
                body.setdefault("paths", []).extend(paths)
            case "from" if "from" in body:
                raise InvalidRequest(
                    f"(line {one.line}): a model is made from one model",
                    hint="a second FROM may name a projector's file",
                    param="from",
                )
            case "from":
                body["from"] = one.value
            case "adapter" | "draft":
                paths = _paths(one, folder, is_file=True) or []
                body.setdefault(f"{one.command}_paths", []).extend(paths)
            case _:
                pass  # in ``meaning``
    told = {
        "template": meaning.template,
        "system": meaning.system,
        "license": list(meaning.licenses) or None,
        "messages": [_turn(asdict(turn)) for turn in meaning.messages] or None,
        "mirrors": list(meaning.mirrors) or None,
        "sha256": meaning.sha256 or None,
        "requires": meaning.requires or None,
    }
    return body | {name: value for name, value in told.items() if value is not None}


def _turn(turn: dict[str, Any]) -> dict[str, Any]:
    return {"role": turn["role"], "content": turn["content"]}


def _paths(one: Instruction, folder: Path, *, is_file: bool = False) -> list[str] | None:
    """The files that an instruction names; ``None`` when it names a model."""
    path = folder / given_path(one.value)
    is_path = is_file or _PATH.match(one.value) is not None
    if not is_path and not (path.suffix.lower() in _FILES and path.is_file()):
        return None
    if path.is_dir():
        return _inside(one, path)
    if not path.is_file():
        raise InvalidRequest(
            f"(line {one.line}): there is no file '{one.value}'",
            hint=f"paths start from {folder}",
            param=one.command,
        )
    return [str(path)]


def _inside(one: Instruction, folder: Path) -> list[str]:
    """The model files of a folder: GGUF ones, or else those in another form.

    With safetensors comes all that a hub publishes beside them to say what they are.
    """
    for suffix in _FILES:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() == suffix)
        if found and suffix == ".safetensors":
            found += sorted(path for name in _BESIDE for path in folder.glob(name))
        for path in found:
            if not path.resolve().is_relative_to(folder.resolve()):
                raise InvalidRequest(
                    f"(line {one.line}): insecure path: {path.name} leads out of its folder",
                    param=one.command,
                )
        if found:
            return [str(path) for path in found]
    raise InvalidRequest(
        f"(line {one.line}): there is no model in the folder '{one.value}'",
        hint="name a folder with a GGUF file or safetensors in it, a file itself, or a model",
        param=one.command,
    )
