"""``corral run``: ask a model one thing, or chat with it.

With a prompt, or with something piped in, it answers once; else it opens the chat of ``repl.py``.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from typing import Any

from runner.cli.conversation import Conversation, joined
from runner.cli.devices import introduce
from runner.cli.option_words import (
    form_word,
    option_named,
    option_value,
    options_of,
    think_word,
)
from runner.cli.output import Output
from runner.cli.parser import Subparsers, UsageError
from runner.cli.pull import fetch, local_path
from runner.cli.suggest import suggest_model
from runner.client.client import Client
from runner.client.decode import ShownModel
from runner.domain.duration import keep_alive_seconds
from runner.domain.option_meanings import MEANINGS, default_text
from runner.domain.options import OPTION_SPECS
from runner.domain.request import Think
from runner.errors import CorralError, ModelNotFound

_PATIENCE_S = 2.0  # of somebody who does not know that standard input is being read


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "run",
        help="ask a model something, or chat with it",
        description="Ask a model one thing, or chat with it when no prompt is given. "
        "What is piped in stands before the prompt. A model that is missing is pulled first.",
        epilog="model options (-o), with the default of those that have one:\n"
        + "\n".join(_option_line(name) for name in OPTION_SPECS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="smollm2 or ./file.gguf")
    parser.add_argument(
        "prompt",
        nargs="*",
        default=[],  # with a default of its own, argparse does not call it required
        help="what to ask, with paths of images for a model that sees; none: open a chat",
    )
    parser.add_argument("--system", default="", metavar="TEXT", help="the system message")
    parser.add_argument(
        "-o",
        "--option",
        dest="options",
        action="append",
        default=[],
        type=_option,
        metavar="NAME=VALUE",
        help="a model option, for example temperature=0.2; may be repeated; all are listed below",
    )
    parser.add_argument(
        "--device",
        dest="devices",
        action="append",
        default=[],
        metavar="NAME",
        help="where layers go: HOST:PORT of another machine's 'corral share', a device as 'corral "
        "doctor' names it, or =-NAME to leave one out; may be repeated, the first is filled first",
    )
    parser.add_argument(
        "--keepalive",
        type=_keep_alive,
        metavar="TIME",
        help="how long the model stays loaded afterwards: 5m, 1h, 0, or -1 for ever",
    )
    parser.add_argument(
        "--think",
        type=_think,
        metavar="HOW",
        help="let the model think first: true, which may be left out, false, or low, medium, high, "
        "max",
    )
    parser.add_argument(
        "--hidethinking", action="store_true", help="do not show what the model thinks"
    )
    parser.add_argument(
        "--format",
        dest="form",
        type=_form,
        metavar="FORM",
        help="the form of the answer: json, or a JSON schema as text",
    )
    parser.add_argument("--verbose", action="store_true", help="show timings after each answer")
    parser.add_argument(
        "--nowordwrap",
        action="store_true",
        help="let the terminal cut an answer's lines, in the midst of words if need be",
    )
    parser.advise = _advise
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Answer once on stdout, or hold a chat; a model of vectors gives its vector as JSON."""
    piped = _valid(_piped(out))
    text = " ".join(map(_valid, args.prompt))
    is_chat = not args.prompt and not piped.strip()
    if is_chat and not (_stdin_is_tty() and out.answer_is_tty):
        raise UsageError(
            "there is no prompt, and nothing came in through standard input",
            hint=f'ask something: corral run {args.model} "Why is the sky blue?"',
        )
    introduce(args.devices, client, out)
    chosen = [("devices", word) for word in args.devices]
    name, is_embedder = _present(client, args.model, out)
    if is_embedder:
        return _embed(client, name, joined(piped, text), out)
    conversation = Conversation(
        client,
        name,
        system=_valid(args.system),
        options=options_of([*args.options, *chosen]),
        keep_alive=args.keepalive,
        is_verbose=args.verbose,
        is_wrapped=not args.nowordwrap,
        think=args.think,
        shows_thinking=not args.hidethinking,
        form=args.form,
    )
    if is_chat:
        from runner.cli.repl import Repl  # the line editor takes longer to import than all else

        return Repl(conversation, out).run()
    if text.strip() or piped.strip():
        conversation.ask(text, out, f"loading {name}", before=piped)
    else:
        conversation.load(out)  # as in Ollama: an empty prompt only loads
    return 0


def _embed(client: Client, name: str, text: str, out: Output) -> int:
    """Print the vector of a text as one line of JSON, as Ollama does for such a model."""
    if not text.strip():
        raise UsageError(
            f"'{name}' makes vectors and no answers: it needs a text",
            hint=f'give it one: corral run {name} "some text"',
        )
    with out.waiting(f"loading {name}"):
        vector = client.embed(name, text)
    out.text(json.dumps(vector, separators=(",", ":")))
    return 0


def _present(client: Client, name: str, out: Output) -> tuple[str, bool]:
    """Return the name of a model that is in the library now, and whether it makes vectors alone.

    A missing one was pulled.
    """
    if path := local_path(name):
        name = fetch(client, "", out, path=path)
        return name, _is_embedder(client.show(name))
    try:
        return name, _is_embedder(client.show(name))
    except ModelNotFound:
        out.say(f"'{name}' is not in the library; pulling it")
    try:
        fetch(client, name, out)
    except ModelNotFound as error:  # main.py suggests what was perhaps meant
        error.name = name
        raise
    except CorralError as error:
        suggest_model(error, client, name)
        raise
    _tell_unused(client, out)
    return name, _is_embedder(client.show(name))


def _is_embedder(model: ShownModel) -> bool:
    capabilities = model.details.info.capabilities
    return "embedding" in capabilities and "completion" not in capabilities


def _tell_unused(client: Client, out: Output) -> None:
    """Say which graphics cards models cannot use as the engine was built: when one is new here."""
    try:
        cards = client.machine().unused_cards
    except CorralError:  # another machine's daemon need not tell
        return
    for card in cards:
        out.say(
            f"a graphics card of {card.vendor} is not used: the engine was not built for it;"
            f" install {card.needs}, then: {card.command}"
        )


def _piped(out: Output) -> str:
    """Return all of standard input, unless that is a terminal or closed."""
    if sys.stdin is None or sys.stdin.closed or _stdin_is_tty():
        return ""
    note = threading.Timer(_PATIENCE_S, out.say, ["reading standard input ..."])
    note.daemon = True
    note.start()
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig", errors="replace")
    except OSError:  # a folder, for example
        return ""
    finally:
        note.cancel()


def _stdin_is_tty() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _valid(text: str) -> str:
    """Return ``text`` without the half characters that bytes outside UTF-8 become."""
    return text.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")


def _option_line(name: str) -> str:
    default = f" ({text})" if (text := default_text(name)) else ""
    return f"  {name:22} {MEANINGS[name]}{default}"


def _advise(word: str) -> str:
    name = option_named(word)
    return f"a model option is given by: -o {name}=VALUE" if name else ""


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(
            f"-o wants NAME=VALUE, not '{text}'", hint="for example: -o temperature=0.2"
        )
    try:
        option_value(name, value)
    except CorralError as error:
        raise UsageError(error.message, hint=error.hint) from None
    return name, value


def _form(text: str) -> str | dict[str, Any]:
    try:
        return form_word(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _think(text: str) -> Think:
    try:
        return think_word(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _keep_alive(text: str) -> float:
    try:
        return keep_alive_seconds(float(text))
    except ValueError:
        pass
    try:
        return keep_alive_seconds(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"want a time like 5m, 1h or -1, not '{text}'") from None
