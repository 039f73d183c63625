"""Blocks are found as they are written, every one has a known kind, and none is malformed."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess

import pytest
from hypothesis import given, strategies as st

from runner import __version__
from runner.cli.main import ALIASES, build_parser
from runner.cli.parser import UsageError, commands_of as commands_below
from tests.docs.snippets import (
    MARKS,
    PROGRAMS,
    ROOT,
    SHOWN,
    all_snippets,
    commands_of,
    console_steps,
    pages,
    snippets_of,
)

SNIPPETS = all_snippets()
SHELL = [one for one in SNIPPETS if one.language in ("sh", "console")]

texts = st.lists(st.text("ab #$>\\", max_size=8), max_size=4)


@given(st.lists(st.tuples(st.sampled_from(["sh", "python hub", ""]), texts), max_size=4))
def test_what_is_fenced_comes_out_as_it_went_in(blocks):
    page = "".join(
        f"words\n```{info}\n" + "".join(f"{x}\n" for x in b) + "```\n" for info, b in blocks
    )
    found = snippets_of("page.md", page)
    assert [(s.language, sorted(s.marks), s.text) for s in found] == [
        (info.partition(" ")[0], info.split()[1:], "".join(f"{x}\n" for x in body))
        for info, body in blocks
    ]
    lines = page.splitlines()
    assert all(lines[s.line - 2].startswith("```") for s in found)


def test_a_block_without_an_end_is_refused():
    with pytest.raises(ValueError, match=r"page\.md:2: this block is not closed"):
        snippets_of("page.md", "words\n```sh\ncorral list\n")


def test_a_console_block_has_commands_and_what_is_typed_into_them():
    text = "$ corral run x\n>>> hello\nhi there\n>>> /bye\n$ corral ps\nNAME\n"
    assert console_steps(text) == [("corral run x", ["hello", "/bye"]), ("corral ps", [])]


def test_every_block_has_a_kind_that_is_known():
    strange = {str(s): s.language for s in SNIPPETS if s.language not in PROGRAMS | SHOWN}
    assert strange == {}
    assert {str(s): s.marks for s in SNIPPETS if s.marks - MARKS} == {}


def test_no_command_hides_in_a_block_that_is_only_shown():
    """The epilogs of commands, in the reference, are the command line's own words."""
    hidden = [
        f"{snippet}: {line}"
        for snippet in SNIPPETS
        if snippet.language in SHOWN and not snippet.page.startswith("docs/reference/")
        for line in snippet.text.splitlines()
        if re.match(r"(\$ )?(corral|curl|make|pip|python3?) ", line)
    ]
    assert hidden == []


@pytest.mark.parametrize("snippet", [s for s in SNIPPETS if s.language in PROGRAMS], ids=str)
def test_a_block_can_be_parsed(snippet, tmp_path):
    match snippet.language:
        case "python":
            compile(snippet.text, str(snippet), "exec")
        case "js":
            if not (node := shutil.which("node")):
                pytest.skip("no node on this machine")
            script = tmp_path / "snippet.mjs"
            script.write_text(snippet.text)
            subprocess.run([node, "--check", script], check=True)
        case _:
            text = snippet.text
            if snippet.language == "console":
                text = "".join(f"{command}\n" for command, _ in console_steps(text))
            done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True)
            assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("snippet", SHELL, ids=str)
def test_our_own_commands_are_understood(snippet):
    """Also those in blocks that are not run: no flag in them is unknown."""
    text = snippet.text
    if snippet.language == "console":
        text = "".join(f"{command}\n" for command, _ in console_steps(text))
    _, table = build_parser()
    for command in commands_of(text):
        words = shlex.split(command, comments=True)[1:]
        if not words or words[0] in ("--version", "--help", "-h", "-v"):
            continue
        child = table.choices.get(ALIASES.get(words[0], words[0]))
        assert child is not None, f"{snippet}: no such command: {command}"
        try:
            if commands_below(child):
                child.parse_args(words[1:])
            else:
                child.parse_intermixed_args(words[1:])
        except UsageError as error:
            pytest.fail(f"{snippet}: {command}: {error.message}")


def test_every_task_of_make_that_the_docs_name_is_one():
    tasks = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    typed = "".join(snippet.text for snippet in SHELL)
    told = "".join(path.read_text("utf-8") for path in pages())
    named = set(re.findall(r"^(?:\$ )?make ([a-z-]+)", typed, re.MULTILINE))
    named |= set(re.findall(r"`make ([a-z-]+)", told))
    assert named <= tasks, named - tasks


def test_what_changes_the_machine_was_run_in_a_root_of_its_own():
    """The last result of ``try_deb`` has every such line, as it stands on its page now."""
    result = (ROOT / "packaging" / "linux" / "try_deb.txt").read_text("utf-8").splitlines()
    lines = [
        re.sub(r" +#.*", "", line)
        for snippet in SNIPPETS
        if "root" in snippet.marks
        for line in snippet.text.splitlines()
    ]
    assert lines and [line for line in lines if f"ok    $ {line}" not in result] == []


def test_files_of_ours_are_named_with_the_version_that_this_is():
    named = {
        version
        for snippet in SNIPPETS
        for version in re.findall(r"dist/corral[-_](\d+\.\d+\.\d+)[-_]", snippet.text)
    }
    assert named == {__version__}
