"""What people type by habit, from other runners or by a slip, works or is answered in words."""

import re

import pytest

from runner.cli.instead import INSTEAD
from runner.cli.main import ALIASES, COMMANDS
from tests.real_daemon import wait_for


def test_an_answer_can_have_a_form(corral, daemon):
    for words, sent in (("json", "json"), ('{"type": "object"}', {"type": "object"})):
        assert corral("run", "smollm2", "--format", words, "Why?").returncode == 0
        assert daemon.bodies("/api/chat")[-1]["format"] == sent
    for words in ("yaml", "[1]", "[" * 100_000):
        done = corral("run", "smollm2", "--format", words, "Why?")
        assert done.returncode == 2
        assert "want json or a JSON schema" in done.err


def test_a_model_of_vectors_gives_the_vector_of_what_it_is_told(corral, daemon):
    daemon.script.shown["capabilities"] = ["embedding"]
    done = corral("run", "smollm2", "some", "text")
    assert (done.returncode, done.out) == (0, "[0.5,-0.25]\n")
    assert daemon.bodies("/api/embed") == [{"model": "smollm2", "input": "some text"}]
    done = corral("run", "smollm2", "")
    assert done.returncode == 2
    assert "'smollm2' makes vectors and no answers: it needs a text" in done.err


@pytest.mark.parametrize("code", ["model_not_found", "source_failed", "offline"])
def test_a_model_that_no_hub_knows_may_be_a_slip(corral, daemon, code):
    daemon.script.pull = [{"error": "nobody has 'smolm2'", "code": code, "hint": "look"}]
    done = corral("run", "smolm2", "x")
    assert done.returncode == 1
    assert "error: nobody has 'smolm2'\n  did you mean 'smollm2:latest'?" in done.err


@pytest.mark.parametrize("words", [["pull", "no.gguf"], ["run", "no.gguf", "x"]])
def test_a_file_that_is_not_there_is_looked_for_on_no_hub(corral, daemon, words):
    done = corral(*words)
    assert done.returncode == 1
    assert "error: there is no file 'no.gguf' in this folder" in done.err
    assert daemon.bodies("/api/pull") == []


def test_an_empty_library_says_how_to_begin(corral, daemon):
    daemon.script.models.clear()
    done = corral("list")
    assert (done.out, done.err) == (
        "NAME    ID    SIZE    MODIFIED\n",
        "nothing is here yet; begin with: corral run smollm2\n",
    )
    assert corral("list", "--json").err == ""


def test_help_can_be_asked_for_one_command_below_another(lonely):
    done = lonely("help", "daemon", "logs")
    assert (done.returncode, done.err) == (0, "")
    assert done.out.startswith("usage: corral daemon logs")


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["push", "m"], "nothing can be pushed"),
        (["signin"], "no account is needed"),
        (["restart"], "did you mean 'corral daemon restart'?"),
        (["get", "qwen3"], "a model is fetched with: corral pull NAME"),
        (["unload", "m"], "a model leaves memory with: corral stop MODEL"),
        (["qwen3:4b"], "to talk to a model: corral run qwen3:4b"),
        (["config"], "settings are variables, and lines of config.toml: corral serve --help"),
    ],
)
def test_a_command_of_others_is_answered_with_what_to_do_instead(corral, words, advice):
    done = corral(*words)
    assert (done.returncode, done.out) == (2, "")
    assert f"error: unknown command '{words[0]}'\n  {advice}" in done.err


def test_no_word_of_others_hides_a_command_and_each_names_one_that_there_is():
    assert not INSTEAD.keys() & {*COMMANDS, *ALIASES}
    named = {w for text in INSTEAD.values() for w in re.findall(r"\bcorral ([a-z]+)", text)}
    assert named <= COMMANDS.keys()


def test_the_daemon_starts_by_the_word_that_others_have_for_it(lonely):
    """In the foreground, like ``serve``, whose help it has."""
    assert lonely("start", "--help").out.startswith("usage: corral serve")
    daemon = lonely.start("start")
    try:
        wait_for(lambda: lonely("daemon", "status").returncode == 0, "a daemon that answers")
        assert lonely("daemon", "stop").returncode == 0
        assert daemon.wait(60) == 0
    finally:
        daemon.kill()
        daemon.communicate()
