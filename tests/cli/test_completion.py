"""Completions know every command and option, and the shells that are here can read them."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from runner.cli.completion import SHELLS, Place, places
from runner.cli.main import COMMANDS, build_parser

FOUND = places(build_parser()[0])


def complete(*words: str) -> list[str]:
    """What bash offers after ``words``, the last of which is being typed."""
    quoted = " ".join(f"'{word}'" for word in words)
    script = SHELLS["bash"](FOUND) + (
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; PATH=/nowhere; _corral 2>/dev/null;"
        ' printf "%s\\n" "${COMPREPLY[@]}"'
    )
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash on this machine")
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_every_command_and_option_is_known_to_every_shell():
    for make in SHELLS.values():
        script = make(FOUND)
        for name in COMMANDS:
            assert name in script
        for place in FOUND.values():
            for option in place.options:
                assert option.lstrip("-") in script


def test_commands_that_name_a_model_say_so():
    named = {path for path, place in FOUND.items() if place.takes_model}
    assert {"run", "show", "rm", "stop", "cp", "pull"} <= named
    assert not named & {"", "list", "daemon logs", "doctor"}


def test_bash_completes_commands_and_those_below_them():
    assert set(complete("corral", "")) >= set(COMMANDS)
    assert complete("corral", "ver") == ["verify"]
    assert set(complete("corral", "daemon", "sta")) == {"status", "start"}
    assert "--follow" in complete("corral", "daemon", "logs", "--f")
    assert complete("corral", "run", "--ver") == ["--verbose"]


@pytest.mark.parametrize(
    ("shell", "check"), [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")]
)
def test_a_shell_can_read_its_script(shell, check, tmp_path):
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} on this machine")
    script = tmp_path / "script"
    script.write_text(SHELLS[shell](FOUND))
    done = subprocess.run([program, check, script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_words_with_quotes_stay_inside_their_quotes():
    place = Place({}, {"--odd": "it's 'odd' $(boom) `boom`"}, takes_model=False)
    script = SHELLS["fish"]({"odd": place})
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash on this machine")
    line = script.splitlines()[-1].replace("complete", "printf '%s|'", 1)
    done = subprocess.run([bash, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("it's 'odd' $(boom) `boom`|")
