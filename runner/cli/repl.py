"""The chat: a line editor, slash commands, and answers that Ctrl-C stops without ending the chat.

The only file that imports ``prompt_toolkit``.  What is said to the model is ``conversation.py``'s.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import create_app_session, get_app
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth, Output as Screen, create_output
from prompt_toolkit.output.plain_text import PlainTextOutput
from prompt_toolkit.utils import is_dumb_terminal

from runner.cli.connect import Need, connect, place
from runner.cli.conversation import Conversation
from runner.cli.list_ import matching, print_table
from runner.cli.option_words import form_word, option_named, options_of, think_word
from runner.cli.output import Output
from runner.cli.show import part_text, print_all
from runner.cli.suggest import nearest
from runner.domain.options import OPTION_SPECS
from runner.errors import CorralError, DaemonError, InvalidRequest

_PROMPT = ">>> "
_FENCE = '"""'
_ENDS = ("/bye", "/exit", "/quit")
_HISTORY_LIMIT = 512 * 1024  # bytes; half of it is kept when it is full
_HELP = """\
Commands:
  /set system TEXT            set the system message; no TEXT: the model's own
  /set parameter NAME VALUE   set a model option, for example temperature 0.2
  /set verbose | quiet        show timings after each answer, or not
  /set think [HOW] | nothink  think first: low, medium, high, max; or not
  /set format json | SCHEMA   answers in this form; noformat: any text
  /set wordwrap | nowordwrap  break lines of answers between words, or not
  /set history | nohistory    keep what you type for the next chat, or not
  /show info | license | modelfile | parameters | system | template
  /load MODEL                 go on with another model, from the beginning
  /save MODEL                 make a model of this chat: settings and turns
  /list [PREFIX]              list the models in the library
  /clear                      forget what was said
  /bye, /exit                 end the chat
  /?, /help                   this text

Images:
  ./cat.png                   a path in a message: shown to a model that sees

Keys:
  Ctrl-J                      a new line in the message
  \"\"\"                         begins and ends a message of several lines
  Ctrl-C                      stops the answer
  Ctrl-Z                      back to the shell for a while; fg goes on
  Ctrl-D                      ends the chat"""


_SET_USAGE = (
    "Usage: /set system TEXT | parameter NAME VALUE\n"
    "       /set format json | SCHEMA | noformat\n"
    "       /set verbose | quiet | wordwrap | nowordwrap | history | nohistory\n"
    "       /set think [low | medium | high | max] | nothink"
)
_SHOW_USAGE = "Usage: /show info | license | modelfile | parameters | system | template"


class Repl:
    """One chat on a terminal.

    Args:
        conversation: Its model and settings.
        out: Where answers and notes go.
    """

    def __init__(self, conversation: Conversation, out: Output) -> None:
        self._chat = conversation
        self._out = out
        self._history = _History(place()[0].history)
        self._commands: dict[str, Callable[[str], None]] = {
            "/?": self._help,
            "/help": self._help,
            "/clear": self._clear,
            "/set": self._set,
            "/show": self._show,
            "/load": self._load,
            "/save": self._save,
            "/list": self._list,
        }

    def run(self) -> int:
        """Hold the chat until its user ends it; return the exit code.

        Raises:
            CorralError: The model cannot be loaded; the chat has not begun.
        """
        with _silent_terminal():
            self._chat.load(self._out)
            self._greet()
            self._replay()
            session = _session(self._history)
            draft = ""
            while (text := self._read(session, draft)) is not None:
                draft = self._take(text) if text else ""
        return 0

    def _greet(self) -> None:
        """Say on a terminal who listens, and how much of the talk it can keep in mind."""
        if self._out.notes_are_tty:
            n_ctx = self._chat.n_ctx()
            context = f"context {n_ctx} tokens, " if n_ctx else ""
            self._out.whisper(f"{self._chat.model}: {context}/? for help")

    def _replay(self) -> None:
        """Show what the model itself begins a conversation with, of which answers may speak."""
        if self._out.notes_are_tty:
            for turn in self._chat.own_turns():
                mark = _PROMPT if turn.role == "user" else ""
                self._out.whisper(mark + turn.content)

    def _read(self, session: PromptSession[str], draft: str) -> str | None:
        """Return the next message without its fences; ``None`` at the end of the chat."""
        # A dumb terminal's prompt echoes what is typed, but not what it begins with.
        shown = _PROMPT + (draft if is_dumb_terminal() else "")
        try:
            with _keys_alone():
                line = session.prompt(shown, default=draft)
        except EOFError:
            return None
        except KeyboardInterrupt:
            if not session.default_buffer.text:
                self._out.say("Use Ctrl + d or /bye to exit.")
            return ""
        text = line.strip()
        return None if text in _ENDS else text

    def _take(self, text: str) -> str:
        """Do what one message asks for; return what shall stand at the next prompt."""
        try:
            self._do(text)
        except KeyboardInterrupt:
            self._out.text("")
        except CorralError as error:
            self._out.fail(error)
            return "" if _is_command(text) else text  # the words were not answered: not lost
        return ""

    def _do(self, text: str) -> None:
        """Do what one message asks for; a daemon that is no more is started again for it."""
        try:
            self._do_once(text)
        except DaemonError as error:
            if not isinstance(error.__cause__, ConnectionRefusedError | FileNotFoundError):
                raise
            self._chat.client = connect(Need.STARTED, self._out)  # nobody has heard the message yet
            self._do_once(text)

    def _do_once(self, text: str) -> None:
        if _is_command(text):
            self._command(text)
        else:
            self._chat.ask(unfenced(text), self._out)
            self._out.text("")

    def _command(self, text: str) -> None:
        name, _, rest = text.partition(" ")
        command = self._commands.get(name)
        if command is None:
            near = nearest(name, [*self._commands, *_ENDS])
            question = f" Did you mean '{near}'?" if near else ""
            self._out.say(f"Unknown command '{name}'.{question} Type /? for help")
        else:
            command(rest.strip())

    def _help(self, rest: str) -> None:
        self._out.text(_HELP)

    def _clear(self, rest: str) -> None:
        self._chat.turns.clear()
        self._out.say("Forgot what was said.")

    def _set(self, rest: str) -> None:
        what, _, value = rest.partition(" ")
        match what:
            case "verbose" | "quiet":
                self._chat.is_verbose = what == "verbose"
                self._out.say(f"Set '{what}' mode.")
            case "wordwrap" | "nowordwrap":
                self._chat.is_wrapped = what == "wordwrap"
                self._out.say(f"Set '{what}' mode.")
            case "history" | "nohistory":
                self._history.is_kept = what == "history"
                self._out.say(f"Set '{what}' mode.")
            case "format" | "noformat":
                self._set_form(what, value.strip())
            case "think" | "nothink":
                self._set_thinking(what, value.strip())
            case "system":
                self._chat.system = unfenced(value.strip())
                self._out.say("Set the system message." if value else "Back to the model's own.")
            case "parameter":
                self._set_parameter(value)
            case _ if option := option_named(what):
                self._out.say(f"Did you mean '/set parameter {option} {value or 'VALUE'}'?")
            case _:
                self._out.say(_SET_USAGE)

    def _set_thinking(self, what: str, level: str) -> None:
        try:
            think = what == "think" and think_word(level or "true")
        except ValueError as error:
            raise InvalidRequest(str(error), hint="/set think high") from None
        if think and not self._chat.can_think():
            raise InvalidRequest(
                f"'{self._chat.model}' does not think first",
                hint="what it can do is told by: /show info",
            )
        self._chat.think = think
        self._out.say(f"Set '{what}' mode.")

    def _set_form(self, what: str, form: str) -> None:
        try:
            self._chat.form = form_word(unfenced(form)) if what == "format" else None
        except ValueError as error:
            raise InvalidRequest(str(error), hint="/set format json") from None
        self._out.say(f"Set '{what}' mode.")

    def _set_parameter(self, rest: str) -> None:
        name, *values = rest.split()
        if not values:
            raise InvalidRequest("a name and a value are wanted", hint="/set parameter NAME VALUE")
        takes_many = name in OPTION_SPECS and OPTION_SPECS[name].kind is str
        if len(values) > 1 and not takes_many:
            raise InvalidRequest(f"{name} takes one value", hint=f"/set parameter {name} VALUE")
        options = options_of([(name, _unquoted(value)) for value in values])
        self._chat.options = options.over(self._chat.options)
        self._out.say(f"Set '{name}' to {' '.join(values)}.")

    def _show(self, part: str) -> None:
        model = self._chat.client.show(self._chat.model)
        match part:
            case "info":
                print_all(model, self._out)
            case "parameters":
                self._out.text(model.parameters.strip() or "The model sets no parameters.")
                for name, value in self._chat.options.set_values().items():
                    self._out.text(f"{name:30} {value}  (set in this chat)")
            case "system":
                text = self._chat.system or part_text(model, "system")
                self._out.text(text.strip() or "There is no system message.")
            case "template" | "license" | "modelfile":
                self._out.text(part_text(model, part).strip() or f"The model has no {part}.")
            case _:
                self._out.say(_SHOW_USAGE)

    def _load(self, name: str) -> None:
        if not name:
            self._out.say("Usage: /load MODEL")
            return
        before = self._chat.model
        self._chat.model = name
        try:
            self._chat.load(self._out)
        except BaseException:
            self._chat.model = before
            raise
        self._chat.turns.clear()
        self._out.say(f"Talking to '{name}' now.")
        self._replay()

    def _save(self, name: str) -> None:
        if not name:
            self._out.say("Usage: /save MODEL")
            return
        self._chat.save(name)
        self._out.say(f"Created new model '{name}'.")

    def _list(self, prefix: str) -> None:
        print_table(matching(self._chat.client.list_models(), prefix), self._out)


def unfenced(text: str) -> str:
    """Return ``text`` without the triple quotes around it."""
    if text.startswith(_FENCE):
        text = text.removeprefix(_FENCE).removesuffix(_FENCE).strip("\n")
    return text


def is_open(text: str) -> bool:
    """Whether a triple quote in ``text`` still waits for its partner."""
    return text.count(_FENCE) % 2 == 1


def _is_command(text: str) -> bool:
    """A path is no command: ``/home/me/notes says ...`` is for the model."""
    word = text.split(maxsplit=1)[0]
    return word.startswith("/") and "/" not in word[1:]


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _session(history: History) -> PromptSession[str]:
    no_colour = bool(os.environ.get("NO_COLOR"))
    grey = FormattedText([("" if no_colour else "ansibrightblack", "Send a message (/? for help)")])

    def placeholder() -> FormattedText:
        return FormattedText() if get_app().is_done else grey

    output = _screen()
    # A dumb terminal gets its plain prompt only when no output is handed to the prompt itself.
    with create_app_session(output=output):
        return PromptSession(
            prompt_continuation="... ",
            multiline=True,
            key_bindings=_bindings(),
            history=history,
            placeholder=placeholder,
            reserve_space_for_menu=0,
            color_depth=ColorDepth.DEPTH_1_BIT if no_colour else None,
            enable_open_in_editor=False,
            enable_suspend=True,
        )


def _screen() -> Screen:
    if is_dumb_terminal():
        return PlainTextOutput(sys.stdout)
    output = create_output()
    if hasattr(output, "enable_cpr"):
        # The cursor's place matters to menus, and there are none: a terminal that does not tell
        # it would get a warning instead of a prompt.
        output.enable_cpr = False
    return output


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_open(buffer.text):
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @bindings.add("c-j")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return bindings


class _History(FileHistory):
    """The lines of former chats, in a file that is its user's alone.

    Attributes:
        is_kept: Whether lines go to the file; those of this chat can be had back all the same.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.is_kept = not (
            os.environ.get("CORRAL_NOHISTORY") or os.environ.get("OLLAMA_NOHISTORY")
        )
        if self.is_kept:
            self.is_kept = _made_ready(path)

    def load_history_strings(self) -> Iterable[str]:
        """Return the lines of former chats, the last one first."""
        return super().load_history_strings() if self.is_kept else ()

    def store_string(self, string: str) -> None:
        """Put a line into the file, if lines are kept."""
        if self.is_kept:
            with contextlib.suppress(OSError):
                super().store_string(string)


def _made_ready(path: Path) -> bool:
    """Make the file, and cut a long one to half of the limit; return whether it can be had."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(fd, "r+b") as file:
            raw = file.read()
            if len(raw) > _HISTORY_LIMIT:
                # Each entry of the file format begins with an empty line and a comment.
                start = raw.find(b"\n# ", len(raw) - _HISTORY_LIMIT // 2)
                file.seek(0)
                file.write(raw[start:] if start >= 0 else b"")
                file.truncate()
    except OSError:
        return False
    return True


def _silent_terminal() -> contextlib.AbstractContextManager[None]:
    """Keep what is typed during an answer out of it, and for the next prompt.

    Without this the terminal would echo keys into the answer and turn Enter into Ctrl-J, which
    the prompt takes for a new line.  Ctrl-C works as ever.
    """
    return _terminal_without(["ICRNL"], ["ECHO", "ICANON"])


def _keys_alone() -> contextlib.AbstractContextManager[None]:
    """Have Ctrl-C be a key, for the prompt to read: a signal may come while it is being set up."""
    return _terminal_without([], ["ISIG"])


@contextlib.contextmanager
def _terminal_without(of_input: Sequence[str], of_lines: Sequence[str]) -> Iterator[None]:
    """Switch flags of the terminal off, by their names in ``termios``; later all is as before."""
    if sys.platform == "win32":
        yield
        return
    import termios

    try:
        fd = sys.stdin.fileno()
        before = termios.tcgetattr(fd)
    except (OSError, ValueError, termios.error):
        yield
        return
    changed = termios.tcgetattr(fd)
    for at, names in ((0, of_input), (3, of_lines)):
        for name in names:
            changed[at] &= ~getattr(termios, name)
    termios.tcsetattr(fd, termios.TCSADRAIN, changed)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
