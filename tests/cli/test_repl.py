"""The chat on a real terminal: typing, stopping, failing and leaving."""

import shlex
import sys

import pytest
from hypothesis import given, strategies as st

from runner.cli.repl import _HELP, is_open, unfenced
from tests.cli.conftest import own_record
from tests.fakes.daemon import FakeDaemon
from tests.fakes.terminal import Terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pty")


@pytest.fixture(params=["xterm", "dumb"])
def chat(corral, request):
    corral.environ["TERM"] = request.param
    with Terminal([*corral.command, "run", "smollm2"], corral.environ) as terminal:
        terminal.wait_for(">>> ")
        yield terminal


@pytest.fixture
def xterm_chat(corral):
    with Terminal([*corral.command, "run", "smollm2"], corral.environ) as terminal:
        terminal.wait_for(">>> ")
        yield terminal


def said(daemon):
    """What the last question's request carried, as ``role: content``."""
    messages = daemon.bodies("/api/chat")[-1]["messages"]
    return [f"{message['role']}: {message['content']}" for message in messages]


def test_a_chat_remembers_what_was_said_and_ends_with_ctrl_d(chat, daemon):
    chat.type("Why?\r")
    chat.wait_for("scatters.")
    chat.wait_for(">>> ")
    chat.type("And?\r")
    chat.wait_for("scatters.")
    chat.wait_for(">>> ")
    chat.type("\x04")
    assert chat.exit_code() == 0
    assert said(daemon) == ["user: Why?", "assistant: Blue light scatters.", "user: And?"]


def test_ctrl_c_stops_the_answer_and_not_the_chat(chat, daemon):
    daemon.script.event = "stall"
    chat.type("Why?\r")
    chat.wait_for("Blue")
    chat.type("\x03")
    assert daemon.left.wait(60)
    chat.wait_for(">>> ")
    daemon.script.event = ""
    chat.type("Go on\r")
    chat.wait_for("scatters.")
    assert said(daemon) == ["user: Why?", "assistant: Blue", "user: Go on"]
    chat.wait_for(">>> ")
    chat.type("/bye\r")
    assert chat.exit_code() == 0


def test_ctrl_c_while_the_model_loads_stops_the_question(xterm_chat, daemon):
    daemon.script.load_s = 60
    xterm_chat.type("Why?\r")
    xterm_chat.wait_for("⠋")
    xterm_chat.type("\x03")
    xterm_chat.wait_for(">>> ")
    daemon.script.load_s = 0
    xterm_chat.type("Next\r")
    xterm_chat.wait_for("scatters.")
    assert said(daemon) == ["user: Next"]


def test_ctrl_c_at_an_empty_prompt_says_how_to_leave(chat):
    chat.type("\x03")
    chat.wait_for("Use Ctrl + d or /bye to exit.")
    chat.wait_for(">>> ")
    chat.type("\x04")
    assert chat.exit_code() == 0


def test_ctrl_c_clears_a_line_that_was_begun(xterm_chat, daemon):
    xterm_chat.type("nonsense")
    xterm_chat.wait_for("nonsense")
    xterm_chat.type("\x03")
    xterm_chat.wait_for(">>> ")
    xterm_chat.type("Why?\r")
    xterm_chat.wait_for("scatters.")
    assert said(daemon) == ["user: Why?"]
    assert "Use Ctrl" not in xterm_chat.seen


def test_triple_quotes_hold_several_lines(chat, daemon):
    chat.type('"""one\rtwo\r"""\r')
    chat.wait_for("scatters.")
    assert said(daemon) == ["user: one\ntwo"]


def test_ctrl_j_begins_a_new_line(xterm_chat, daemon):
    xterm_chat.type("one\ntwo\r")
    xterm_chat.wait_for("scatters.")
    assert said(daemon) == ["user: one\ntwo"]
    assert "... two" in xterm_chat.seen


def test_what_is_pasted_stays_one_message(xterm_chat, daemon):
    xterm_chat.type("\x1b[200~one\rtwo\r\x1b[201~")
    xterm_chat.wait_for("two")
    xterm_chat.type("\r")
    xterm_chat.wait_for("scatters.")
    assert said(daemon) == ["user: one\ntwo"]


def test_what_is_typed_during_an_answer_waits_for_the_prompt(chat, daemon):
    """It does not mix with the answer, and Enter counts."""
    daemon.script.event = "pause"
    chat.type("Why?\r")
    chat.wait_for("Blue")
    chat.type("Early\r")
    daemon.go.set()
    chat.wait_for(" light scatters.")
    chat.wait_for("Early")
    chat.wait_for("scatters.")
    assert said(daemon)[-1] == "user: Early"


@pytest.mark.parametrize(("event", "words"), [("fail", "the worker died"), ("cut", "was lost")])
def test_a_question_that_failed_is_not_lost(chat, daemon, event, words):
    """The error is told, the words stand at the prompt again, and Enter asks once more."""
    daemon.script.event = event
    chat.type("A long question\r")
    chat.wait_for("error:")
    chat.wait_for(words)
    chat.wait_for("A long question")
    daemon.script.event = ""
    chat.type("\r")
    chat.wait_for("scatters.")
    assert said(daemon) == ["user: A long question"]


def test_a_daemon_that_ended_is_started_again_by_the_next_question(lonely):
    """As by any other command; what was said stays, since the chat has it."""
    with Terminal([*lonely.command, "run", "smollm2"], lonely.environ) as terminal:
        terminal.wait_for("starting the Corral daemon ...")
        for _ in range(2):
            terminal.wait_for(">>> ")
            terminal.type("Why?\r")
            terminal.wait_for("scatters.")
            assert lonely("daemon", "stop").returncode == 0
        terminal.wait_for(">>> ")
        terminal.type("/list\r")
        terminal.wait_for("starting the Corral daemon ...")
        terminal.wait_for("smollm2:latest")


def test_a_model_that_cannot_be_loaded_ends_the_chat_before_it_begins(corral, daemon):
    refusal = {"error": "it does not fit", "code": "not_enough_memory", "hint": "stop another"}
    daemon.script.failures["/api/chat"] = (503, refusal)
    with Terminal([*corral.command, "run", "smollm2"], corral.environ) as terminal:
        terminal.wait_for("it does not fit")
        assert terminal.exit_code() == 1
        assert ">>> " not in terminal.seen


def test_settings_change_what_is_asked(chat, daemon):
    for line, reply in (
        ("/set system Be brief.", "Set the system message."),
        ("/set parameter temperature 0", "Set 'temperature' to 0."),
        ("/set parameter stop a b", "Set 'stop' to a b."),
        ("/set parameter temprature 0", "did you mean 'temperature'?"),
        ("/set parameter top_p", "a name and a value are wanted"),
        ("/set verbose", "Set 'verbose' mode."),
        ("/show system", "Be brief."),
        ("/show parameters", "(set in this chat)"),
    ):
        chat.type(line + "\r")
        chat.wait_for(reply)
        chat.wait_for(">>> ")
    chat.type("Why?\r")
    chat.wait_for("eval rate:")
    assert said(daemon) == ["system: Be brief.", "user: Why?"]
    assert daemon.bodies("/api/chat")[-1]["options"] == {"temperature": 0.0, "stop": ["a", "b"]}


def test_ctrl_z_leads_to_the_shell_and_back_to_what_was_typed(corral, daemon):
    corral.environ["TERM"] = "xterm"
    words = f"{shlex.join([*corral.command, 'run', 'smollm2'])}; echo put aside; fg"
    with Terminal(["/bin/sh", "-m", "-c", words], corral.environ) as shell:
        shell.wait_for(">>> ")
        shell.type("Why ")
        shell.wait_for("Why")
        shell.type("\x1a")
        shell.wait_for("put aside")
        shell.wait_for("Why")
        shell.type("so?\r")
        shell.wait_for("scatters.")
        assert said(daemon) == ["user: Why so?"]
        shell.wait_for(">>> ")
        shell.type("\x04")
        assert shell.exit_code() == 0


def test_a_model_that_cannot_think_is_not_asked_to(chat, daemon):
    """Else every question after it would fail, until somebody finds out why."""
    chat.type("/set think\r")
    chat.wait_for("'smollm2' does not think first")
    chat.wait_for(">>> ")
    chat.type("/set nothink\r")
    chat.wait_for("Set 'nothink' mode.")
    chat.wait_for(">>> ")
    chat.type("Why?\r")
    chat.wait_for("scatters.")
    assert daemon.bodies("/api/chat")[-1].get("think") is not True


def test_the_help_of_the_chat_fits_in_a_window_of_80_columns():
    assert max(map(len, _HELP.splitlines())) < 80


def test_the_other_commands_do_what_they_say(chat, daemon):
    for line, reply in (
        ("/?", "/bye, /exit"),
        ("/help", "Ctrl-J"),
        ("/x", "Unknown command '/x'. Type /? for help"),
        ("/show info", "134.52M"),
        ("/show template", "{% for m in messages %}"),
        ("/show", "Usage: /show"),
        ("/set", "Usage: /set"),
        ("/set temp 0.1", "Did you mean '/set parameter temperature 0.1'?"),
        ("/set num_ctx", "Did you mean '/set parameter num_ctx VALUE'?"),
        ("/list", "91 MB"),
        ("/load none", "model 'none' not found"),
        ("Why?", "scatters."),
        ("/clear", "Forgot what was said."),
    ):
        chat.type(line + "\r")
        chat.wait_for(reply)
        chat.wait_for(">>> ")
    chat.type("And?\r")
    chat.wait_for("scatters.")
    assert said(daemon) == ["user: And?"]


def test_answers_can_have_a_form_in_the_chat(chat, daemon):
    for line, reply in (
        ("/set format nonsense", "want json or a JSON schema"),
        ("/set format json", "Set 'format' mode."),
    ):
        chat.type(line + "\r")
        chat.wait_for(reply)
        chat.wait_for(">>> ")
    chat.type("Why?\r")
    chat.wait_for("scatters.")
    chat.wait_for(">>> ")
    assert daemon.bodies("/api/chat")[-1]["format"] == "json"
    chat.type("/set noformat\r")
    chat.wait_for("Set 'noformat' mode.")
    chat.wait_for(">>> ")
    chat.type("Why?\r")
    chat.wait_for("scatters.")
    assert "format" not in daemon.bodies("/api/chat")[-1]


def test_a_chat_can_be_saved_as_a_model_with_what_was_said(chat, daemon):
    own = {"role": "user", "content": "What the model begins with"}
    daemon.script.shown["messages"] = [own]
    for line, reply in (
        ("/save", "Usage: /save MODEL"),
        ("/set system Be brief.", "Set the system message."),
        ("/set parameter temperature 0", "Set 'temperature' to 0."),
        ("Why?", "scatters."),
        ("/save mine", "Created new model 'mine'."),
    ):
        chat.type(line + "\r")
        chat.wait_for(reply)
        chat.wait_for(">>> ")
    (body,) = daemon.bodies("/api/create")
    assert body == {
        "model": "mine",
        "from": "smollm2",
        "system": "Be brief.",
        "parameters": {"temperature": 0.0},
        "messages": [
            own,
            {"role": "user", "content": "Why?"},
            {"role": "assistant", "content": "Blue light scatters."},
        ],
        "stream": True,
    }


def test_what_a_model_begins_with_is_shown_and_sent_by_nobody_twice(corral, daemon):
    daemon.script.shown["messages"] = [
        {"role": "user", "content": "An old question"},
        {"role": "assistant", "content": "An old answer"},
    ]
    with Terminal([*corral.command, "run", "smollm2"], corral.environ) as terminal:
        terminal.wait_for(">>> An old question")
        terminal.wait_for("An old answer")
        terminal.wait_for(">>> ")
        terminal.type("Why?\r")
        terminal.wait_for("scatters.")
    assert said(daemon) == ["user: Why?"]


def test_a_chat_may_leave_no_lines_behind(corral, tmp_path):
    with Terminal([*corral.command, "run", "smollm2"], corral.environ) as terminal:
        for line, reply in (
            ("One to keep", "scatters."),
            ("/set nohistory", "Set 'nohistory' mode."),
            ("One to forget", "scatters."),
        ):
            terminal.wait_for(">>> ")
            terminal.type(f"{line}\r")
            terminal.wait_for(reply)
        terminal.wait_for(">>> ")
        terminal.type("/bye\r")
        assert terminal.exit_code() == 0
    kept = (tmp_path / "home/state/history").read_text()
    assert "One to keep" in kept
    assert "One to forget" not in kept


def test_a_slip_in_a_command_of_the_chat_is_named(chat, daemon):
    chat.type("/cleer\r")
    chat.wait_for("Unknown command '/cleer'. Did you mean '/clear'?")


def test_a_path_is_no_command(chat, daemon):
    chat.type("/etc/hosts is what?\r")
    chat.wait_for("scatters.")
    assert said(daemon) == ["user: /etc/hosts is what?"]


def test_another_model_can_be_loaded(chat, daemon):
    daemon.script.models.append(daemon.script.models[0] | {"name": "qwen3:latest"})
    chat.type("Why?\r")
    chat.wait_for("scatters.")
    chat.wait_for(">>> ")
    chat.type("/load qwen3\r")
    chat.wait_for("Talking to 'qwen3' now.")
    chat.type("Hello\r")
    chat.wait_for("scatters.")
    assert daemon.bodies("/api/chat")[-1]["model"] == "qwen3"
    assert said(daemon) == ["user: Hello"]


def test_lines_are_remembered_for_their_user_alone(corral, tmp_path):
    for _ in range(2):
        with Terminal([*corral.command, "run", "smollm2"], corral.environ) as terminal:
            terminal.wait_for(">>> ")
            terminal.type("\x1b[A" if _ else "A thing said before")
            terminal.wait_for("A thing said before")
            terminal.type("\r")
            terminal.wait_for("scatters.")
            terminal.wait_for(">>> ")
            terminal.type("\x04")
            assert terminal.exit_code() == 0
    history = tmp_path / "home/state/history"
    assert "A thing said before" in history.read_text()
    assert history.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["CORRAL_NOHISTORY", "OLLAMA_NOHISTORY"])
def test_lines_are_not_kept_when_that_is_not_wanted(corral, tmp_path, name):
    corral.environ[name] = "1"
    with Terminal([*corral.command, "run", "smollm2"], corral.environ) as terminal:
        terminal.wait_for(">>> ")
        terminal.type("A secret\r")
        terminal.wait_for("scatters.")
        terminal.wait_for(">>> ")
        terminal.type("\x04")
        assert terminal.exit_code() == 0
    assert not (tmp_path / "home/state/history").exists()


def test_a_history_that_has_grown_loses_its_oldest_half(corral, tmp_path):
    history = tmp_path / "home/state/history"
    history.parent.mkdir(parents=True)
    history.write_text("".join(f"\n# then\n+line {n} {'x' * 1000}\n" for n in range(1000)))
    with Terminal([*corral.command, "run", "smollm2"], corral.environ) as terminal:
        terminal.wait_for(">>> ")
        terminal.type("\x04")
        assert terminal.exit_code() == 0
    kept = history.read_text()
    assert len(kept) <= 256 * 1024
    assert kept.startswith("\n# then\n+line ")
    assert "+line 999 " in kept


@pytest.mark.parametrize(("answer", "version"), [("\r", "0.1.0"), ("n\r", "9.9.9")])
def test_a_daemon_of_another_version_is_replaced_when_its_user_agrees(
    lonely, unused_port, answer, version
):
    """Nobody is asked twice, and No leaves the daemon as it is."""
    with FakeDaemon(port=unused_port) as old:
        old.script.version = "9.9.9"
        own_record(old.place)
        with Terminal([*lonely.command, "list"], lonely.environ) as terminal:
            terminal.wait_for("the daemon is Corral 9.9.9, this command is Corral 0.1.0")
            terminal.wait_for("restart it? [Y/n] ")
            terminal.type(answer)
            if version == "0.1.0":
                assert old.over.wait(60)
                old.__exit__()
                terminal.wait_for("starting the Corral daemon ...")
            terminal.wait_for("smollm2:latest")
            assert terminal.exit_code() == 0
        if version == "0.1.0":
            return
    assert not [path for _, path, _, _ in old.requests if path == "/api/shutdown"]


def test_a_daemon_that_is_answering_is_not_offered_up(corral, daemon):
    daemon.script.version = "9.9.9"
    daemon.script.active = 2
    with Terminal([*corral.command, "list"], corral.environ) as terminal:
        terminal.wait_for("it is answering 2 requests; restart it later with")
        terminal.wait_for("smollm2:latest")
        assert terminal.exit_code() == 0


def test_bars_are_drawn_on_a_terminal_and_colours_can_be_refused(corral):
    corral.environ["NO_COLOR"] = "1"
    with Terminal([*corral.command, "pull", "qwen3"], corral.environ) as terminal:
        assert terminal.exit_code() == 0
    assert "pulling 0123456789ab: 100% ▕███" in terminal.seen
    assert terminal.seen.endswith("qwen3:latest is ready; try: corral run qwen3:latest\r\n")
    assert "\x1b[31m" not in terminal.seen


@pytest.mark.parametrize("line", ["/set nowordwrap", "/set wordwrap"])
def test_an_answer_breaks_between_words_unless_that_is_not_wanted(chat, daemon, line):
    daemon.script.answer = ("word " * 15, "sta", "ys whole")
    chat.type("Why?\r")
    chat.wait_for("word word\r\nstays whole\r\n")
    chat.wait_for(">>> ")
    chat.type(f"{line}\r")
    chat.wait_for(f"Set '{line.removeprefix('/set ')}' mode.")
    chat.wait_for(">>> ")
    chat.type("Why?\r")
    chat.wait_for("word word stays whole" if "no" in line else "word word\r\nstays whole\r\n")


@pytest.mark.parametrize("option", [(), ("--nowordwrap",)])
def test_one_answer_on_a_terminal_is_fitted_to_it(corral, daemon, option):
    """The window is read again at each line, and no option leaves a line to the terminal."""
    daemon.script.answer = ("Blue light scatters more", " than red light does.")
    corral.environ["COLUMNS"] = "16"
    with Terminal([*corral.command, "run", *option, "smollm2", "Why?"], corral.environ) as terminal:
        assert terminal.exit_code() == 0
    lines = ["Blue light", "scatters more", "than red light", "does."]
    assert (" " if option else "\r\n").join(lines) + "\r\n" in terminal.seen


def test_an_answer_that_is_stopped_keeps_the_word_that_was_held_back(xterm_chat, daemon):
    daemon.script.answer = ("Blue lig", "ht")
    daemon.script.event = "stall"
    xterm_chat.type("Why?\r")
    xterm_chat.wait_for("Blue")
    xterm_chat.type("\x03")
    xterm_chat.wait_for(" lig\r\n")


@pytest.mark.parametrize(("option", "n_ctx"), [((), 4096), (("-o", "num_ctx=2048"), 2048)])
def test_a_chat_begins_with_a_line_about_the_model(corral, option, n_ctx):
    with Terminal([*corral.command, "run", *option, "smollm2"], corral.environ) as terminal:
        terminal.wait_for(f"smollm2: context {n_ctx} tokens, /? for help")
        terminal.wait_for(">>> ")


@given(st.text())
def test_fences_come_off_in_pairs(text):
    if '"""' not in text:
        assert not is_open(text)
        assert is_open(f'"""{text}')
        assert unfenced(text) == text
        if text == text.strip("\n") and not text.startswith('"') and not text.endswith('"'):
            assert unfenced(f'"""{text}"""') == text
