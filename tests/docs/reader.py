"""Somebody who reads a page of the documentation and types what stands there, block after block.

What is otherwise than on a reader's machine, all of it:

- ``Reader.names`` takes the place of what only the reader has: ports are free ones, the other
  machine is this one, its disk is a folder, keys and ids are those that commands before printed;
- a page that has tasks of ``make`` is read in a copy of the checkout, whose ``.venv`` is the one
  that runs the tests: what ``make`` would install first is installed already;
- the network is out of reach: proxies lead nowhere, and uv takes what it has in its cache;
- answers are short, since the context is;
- a chat that nothing is typed into, as ``make run``, is left with ``/bye``, and what serves until
  Ctrl-C gets it when the page is over, or when the next one is started.

A block that begins with ``# on the other machine`` is typed with a home of its own.  Variables, and
the folder that one has gone to, hold until the page ends, as in a terminal.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs.snippets import ROOT, Snippet, console_steps
from tests.fakes.models import tiny_model
from tests.fakes.terminal import Terminal
from tests.real_daemon import command, environment, wait_for

#: Seconds that one block may take.
BLOCK_S = 180.0
#: Of starting the daemon.
N_TRIES = 4
#: Nothing listens there, so nothing leaves the machine.
NOWHERE = "http://127.0.0.1:9"
MODELFILE = 'FROM smollm2\nPARAMETER temperature 0.6\nSYSTEM """You are brief."""\n'
ELSEWHERE = "# on the other machine"

#: What makes a page one that is read in a checkout.
OF_CHECKOUT = re.compile(r"^(?:make\b|source \.venv|\.venv/)", re.MULTILINE)
#: What is no part of a fresh one, nor is what has a name that begins with a dot, but one.
NOT_COPIED = frozenset({"node_modules", "__pycache__", "build", "dist"})
#: A line that opens a chat and types nothing into it.
CHAT = re.compile(
    r"^(?:make run|\S*corral run (?:--device \S+ )*[^\s-]\S*) *(?:#.*)?$", re.MULTILINE
)
#: What serves until Ctrl-C, and what it says when it does.
SERVES = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S* +)*corral (serve|share)\b", re.MULTILINE)
READY = {"serve": "serving address=", "share": "when it asks for the key:\n"}
#: Exit codes after Ctrl-C: of a server that has ended in order, and of a command.
ENDED = (0, 130)

#: What is printed once, and stands in a page by another name; the group is what is kept.
PRINTED = {
    "corral-KEY": re.compile(r"^(corral-[\w-]{40,})$", re.MULTILINE),
    "1a2b3c4d": re.compile(r"\(id ([0-9a-f]{8})\)"),
    "V1q0mQm3hS2p0sQ5c1t6Jq5yWgS0p2rH": re.compile(r"asks for the key:\n +(\S+)\n"),
}
_JOB = re.compile(r"(corral jobs (?:pause|resume|cancel)) 4\b")


class Reader:
    """Reads one page, with a daemon of its own.

    Args:
        folder: Empty; work and home are made in it.
        library: Models that the home has from the beginning.
        blocks: The page's.
    """

    def __init__(self, folder: Path, library: Path, blocks: list[Snippet]) -> None:
        self._top = folder
        self._folder = folder / "work"
        self._serving: list[tuple[str, subprocess.Popen[bytes], Path]] = []
        in_checkout = any(OF_CHECKOUT.search(block.text) for block in blocks)
        if in_checkout:
            copy_checkout(self._folder)
        else:
            self._folder.mkdir()
        home = folder / "home"
        shutil.copytree(library, home / "models", copy_function=os.link)
        port, other = free_ports()
        self.names = {"11434": port, "11435": other, "192.168.1.5": "127.0.0.1"}
        self.names |= {"box.example": "localhost", "/mnt/disk": str(folder / "disk")}
        (folder / "disk").mkdir()
        names = folder / "bin"
        names.mkdir()
        self._name(names / "corral", "-P", "-m", "runner")
        self._name(names / "python")
        # Long enough for what pages show, short enough for a test.
        short = {"CORRAL_CONTEXT_LENGTH": "512", "HF_HUB_OFFLINE": "1"}
        short |= {"UV_OFFLINE": "1", "UV_CACHE_DIR": cache_of_uv()}
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "https_proxy", "http_proxy"), NOWHERE)
        proxies |= dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        self._environ = environment(home, f"127.0.0.1:{port}", **short, **proxies)
        self._environ |= {"PATH": f"{names}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder)}
        self._environ |= {"TERM": "xterm"}
        (self._folder / "notes.txt").write_text("Hay is stored dry, or it burns.\n")
        (self._folder / "Modelfile").write_text(MODELFILE)
        tiny_model(self._folder / "my-model.gguf", ends=True)

    def _name(self, path: Path, *words: str) -> None:
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {" ".join(words)} "$@"\n')
        path.chmod(0o755)

    def type(self, snippet: Snippet) -> None:
        """Run one block; it must succeed."""
        text = snippet.text
        for name, mine in self.names.items():
            text = text.replace(name, mine)
        if _JOB.search(text):
            text = _JOB.sub(rf"\1 {self._lasting_job()}", text)
        if served := SERVES.search(text):
            self._serve(served[1], text)
        elif snippet.language == "console":
            self._console(snippet, text)
        elif snippet.language == "sh" and CHAT.search(text):
            self._chat(text, ["/bye"])
        elif snippet.language == "sh":
            with self._elsewhere(text.startswith(ELSEWHERE)):
                self._run(snippet, self._bash(text))
        elif snippet.language == "python":
            self._run(snippet, [sys.executable, "-c", text])
        elif node := shutil.which("node"):
            self._run(snippet, [node, "--input-type=module", "-e", text])

    def _console(self, snippet: Snippet, text: str) -> None:
        for line, typed in console_steps(text):
            if typed:
                self._chat(line, typed)
            else:
                self._run(snippet, self._bash(line))

    def _bash(self, text: str) -> list[str]:
        """The words that run a script, and note what it leaves behind."""
        left = shlex.quote(str(self._top / "left"))
        return ["/bin/bash", "-e", "-o", "pipefail", "-c", f"trap 'env -0 >{left}' EXIT\n{text}"]

    @contextmanager
    def _elsewhere(self, is_elsewhere: bool) -> Iterator[None]:
        """Be somebody on another machine, who has none of this home's tokens and keys."""
        before = self._environ
        if is_elsewhere:
            other = str(self._top / "other")
            self._environ = before | {"HOME": other, "CORRAL_HOME": other}
        yield
        if is_elsewhere:
            self._environ = before

    def _run(self, snippet: Snippet, words: list[str]) -> None:
        done = subprocess.run(
            words,
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BLOCK_S,
        )
        assert done.returncode == 0, f"{snippet}\n{snippet.text}\n{done.stdout}"
        self._note(done.stdout)
        self._go_on()

    def _chat(self, script: str, typed: list[str]) -> None:
        words = self._bash(f"cd {shlex.quote(str(self._folder))}\n{script}")
        with Terminal(words, self._environ) as terminal:
            for line in typed:
                terminal.wait_for(">>> ", within_s=BLOCK_S)
                terminal.type(f"{line}\r")
            assert terminal.exit_code(within_s=BLOCK_S) == 0, terminal.seen
        self._go_on()

    def _serve(self, what: str, text: str) -> None:
        """Run what serves in a terminal of its own; the one before is told to end first."""
        self._end(what)
        script = "".join(f"{line}\n" for line, _ in console_steps(text)) or text
        said = self._top / f"{what}.log"
        with said.open("wb") as out:
            process = subprocess.Popen(
                ["/bin/bash", "-e", "-c", script],
                cwd=self._folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._serving.append((what, process, said))
        wait_for(
            lambda: READY[what] in said.read_text() or process.poll() is not None, what, BLOCK_S
        )
        assert process.poll() is None, said.read_text()
        self._note(said.read_text())

    def _end(self, what: str) -> bool:
        """Press Ctrl-C where ``what`` serves; returns whether anything did."""
        mine = [one for one in self._serving if one[0] == what]
        for one in mine:
            self._serving.remove(one)
            _, process, said = one
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(BLOCK_S) in ENDED, said.read_text()
        return bool(mine)

    def _note(self, printed: str) -> None:
        """Keep what is printed once; of secrets the first, which is not taken away again."""
        for name, pattern in PRINTED.items():
            if found := pattern.findall(printed):
                if name == "corral-KEY":
                    self.names.setdefault(name, found[0])
                else:
                    self.names[name] = found[-1]

    def _go_on(self) -> None:
        """Take over the variables and the folder that the last script has left."""
        left = self._top / "left"
        if left.exists():
            pairs = (pair.partition("=") for pair in left.read_text().split("\0") if pair)
            self._environ = {name: value for name, _, value in pairs}
            self._folder = Path(self._environ["PWD"])
            left.unlink()

    def _lasting_job(self) -> int:
        """Start a job that lasts for some time; returns its number.

        The model is written again in several types: what pages begin with needs one of a hub.
        """
        types = ["Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K_S"]
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.names['11434']}/api/quantize",
            json.dumps({"model": "smollm2", "types": types, "requantize": True}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=BLOCK_S) as answer:
            return int(json.load(answer)["id"])

    def __enter__(self) -> Reader:
        """Start a daemon as commands do; on a busy machine it may not answer in their time."""
        for _ in range(N_TRIES):
            done = self._corral("daemon", "start")
            if done.returncode == 0:
                return self
        raise AssertionError(done.stderr)

    def __exit__(self, *_: object) -> None:
        self._end("share")
        if not self._end("serve"):
            assert self._corral("daemon", "stop").returncode == 0

    def _corral(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*words), env=self._environ, capture_output=True, text=True, timeout=90
        )


def free_ports() -> tuple[str, str]:
    """Return two ports where nobody listens."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1]), str(other.getsockname()[1])


def cache_of_uv() -> str:
    """Where uv keeps what ``make`` has installed: in the home of whoever runs the tests."""
    uv = Path(sys.executable).parent / "uv"
    return subprocess.run((uv, "cache", "dir"), capture_output=True, text=True).stdout.strip()


def copy_checkout(folder: Path) -> None:
    """Copy the sources, and put the environment that runs the tests beside them as ``.venv``.

    Its stamps are as new as can be: ``make`` has installed everything.
    """

    def left_out(_: str, names: list[str]) -> set[str]:
        hidden = {name for name in names if name.startswith(".") and name != ".gitignore"}
        return hidden | NOT_COPIED.intersection(names)

    shutil.copytree(ROOT, folder, ignore=left_out)
    venv = folder / ".venv"
    venv.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if not entry.name.startswith("."):
            (venv / entry.name).symlink_to(entry)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for stamp in re.findall(r"^\$\(VENV\)/(\.\w+):", makefile, re.MULTILINE):
        (venv / stamp).touch()
