"""Every program in the documentation runs: each page in a folder, a home and on a port of its own.

The daemon is a real one with the starter model.  The port that pages name is replaced by one that
is free here, the network is out of reach, and answers are short: what is tested is that a reader
who types what stands there gets no error.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest

from tests.docs.snippets import Snippet, all_snippets, console_steps
from tests.fakes.models import tiny_model
from tests.fakes.terminal import Terminal
from tests.real_daemon import RealDaemon, command, environment

pytestmark = pytest.mark.docs

#: Seconds that one block may take.
BLOCK_S = 180.0
PORT = "11434"
#: Of starting the daemon.
N_TRIES = 4
RUN = [snippet for snippet in all_snippets() if snippet.is_run]
PAGES = [(page, list(blocks)) for page, blocks in groupby(RUN, key=lambda one: one.page)]
#: Nothing listens there, so nothing leaves the machine.
NOWHERE = "http://127.0.0.1:9"
MODELFILE = 'FROM smollm2\nPARAMETER temperature 0.6\nSYSTEM """You are brief."""\n'


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """A folder of models with the starter in it."""
    home = tmp_path_factory.mktemp("docs") / "home"
    with RealDaemon(home) as daemon:
        assert daemon.ask("POST", "/api/pull", {"model": "smollm2"}).lines[-1]["status"]
    return home / "models"


class Reader:
    """Somebody who types what a page says, block after block."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        home = folder / "home"
        shutil.copytree(library, home / "models", copy_function=os.link)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])
        names = folder / "bin"
        names.mkdir()
        self._name(names / "corral", "-P", "-m", "runner")
        self._name(names / "python")
        # Long enough for what pages show, short enough for a test.
        short = {"CORRAL_CONTEXT_LENGTH": "512", "HF_HUB_OFFLINE": "1"}
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "https_proxy", "http_proxy"), NOWHERE)
        proxies |= dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        self.environ = environment(home, f"127.0.0.1:{self.port}", **short, **proxies)
        self.environ |= {"PATH": f"{names}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder)}
        self.environ |= {"TERM": "xterm"}
        (self.folder / "notes.txt").write_text("Hay is stored dry, or it burns.\n")
        (self.folder / "Modelfile").write_text(MODELFILE)
        tiny_model(self.folder / "my-model.gguf", ends=True)

    def _name(self, path: Path, *words: str) -> None:
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {" ".join(words)} "$@"\n')
        path.chmod(0o755)

    def type(self, snippet: Snippet) -> None:
        """Run one block; it must succeed."""
        text = snippet.text.replace(PORT, self.port)
        if snippet.language == "console":
            for line, typed in console_steps(text):
                if typed:
                    self._chat(line, typed)
                else:
                    self._run(snippet, ["bash", "-e", "-c", line])
        elif snippet.language == "sh":
            self._run(snippet, ["bash", "-e", "-o", "pipefail", "-c", text])
        elif snippet.language == "python":
            self._run(snippet, [sys.executable, "-c", text])
        elif node := shutil.which("node"):
            self._run(snippet, [node, "--input-type=module", "-e", text])

    def _run(self, snippet: Snippet, words: list[str]) -> None:
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BLOCK_S,
        )
        assert done.returncode == 0, f"{snippet}\n{snippet.text}\n{done.stdout}"

    def _chat(self, line: str, typed: list[str]) -> None:
        shell = ["/bin/bash", "-c", f"cd '{self.folder}' && exec {line}"]
        with Terminal(shell, self.environ) as terminal:
            for words in typed:
                terminal.wait_for(">>> ", within_s=BLOCK_S)
                terminal.type(f"{words}\r")
            assert terminal.exit_code(within_s=BLOCK_S) == 0, terminal.seen

    def __enter__(self) -> Reader:
        """Start a daemon as commands do; on a busy machine it may not answer in their time."""
        for _ in range(N_TRIES):
            done = self._corral("daemon", "start")
            if done.returncode == 0:
                return self
        raise AssertionError(done.stderr)

    def __exit__(self, *_: object) -> None:
        assert self._corral("daemon", "stop").returncode == 0

    def _corral(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*words), env=self.environ, capture_output=True, text=True, timeout=90
        )


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("page", "blocks"), PAGES, ids=[page for page, _ in PAGES])
def test_what_a_page_says_works(page, blocks, tmp_path, library):
    with Reader(tmp_path, library) as reader:
        for snippet in blocks:
            reader.type(snippet)
