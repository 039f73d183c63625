"""The fenced blocks of the documentation: found, and told apart by what can be done with them.

A block opens with three backquotes, a language and maybe marks: ``sh``, ``python``, ``js`` and
``console`` blocks are programs, and are run by ``test_docs_run.py``; ``gpu`` and ``hub`` say that a
block needs a graphics card or a hub of the network (of models, or of container images), and it is
parsed alone; ``root`` says that it changes the machine, and ``packaging/linux/try_deb`` runs it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Languages that are run.
PROGRAMS = frozenset({"sh", "python", "js", "console"})
#: Languages that are shown alone.
SHOWN = frozenset({"", "text", "json", "toml", "yaml", "ini", "modelfile"})
MARKS = frozenset({"gpu", "hub", "root"})

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^`]*)$")


@dataclass(frozen=True, slots=True)
class Snippet:
    """One fenced block.

    Attributes:
        page: Path from the root of the repository.
        line: Of its first line of text, from 1.
        language: First word after the backquotes; may be empty.
        marks: The other words.
        text: Its lines, without the fence's own indent.
    """

    page: str
    line: int
    language: str
    marks: frozenset[str]
    text: str

    @property
    def is_run(self) -> bool:
        return self.language in PROGRAMS and not self.marks

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """The pages for people: those beside the sources, and all of ``docs/``."""
    beside = [path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md"]
    rooms = [ROOT / room / "README.md" for room in ("bench", "modelfiles", "packaging")]
    return sorted([*beside, *rooms, *(ROOT / "docs").rglob("*.md")])


def snippets_of(page: str, text: str) -> list[Snippet]:
    """Return the blocks of one page, in their order.

    Raises:
        ValueError: A block is not closed.
    """
    found: list[Snippet] = []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        opening = _FENCE.match(lines[at])
        at += 1
        if not opening:
            continue
        indent, ticks = len(opening["indent"]), opening["ticks"]
        start = at
        while at < len(lines) and lines[at].strip() != ticks:
            at += 1
        if at == len(lines):
            raise ValueError(f"{page}:{start}: this block is not closed")
        words = opening["info"].split()
        body = "".join(line[indent:] + "\n" for line in lines[start:at])
        found.append(
            Snippet(page, start + 1, words[0] if words else "", frozenset(words[1:]), body)
        )
        at += 1
    return found


def all_snippets() -> list[Snippet]:
    """Return the blocks of all pages."""
    return [
        snippet
        for path in pages()
        for snippet in snippets_of(
            path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        )
    ]


def console_steps(text: str) -> list[tuple[str, list[str]]]:
    """Return the commands of a ``console`` block, each with what is typed into it.

    A command follows ``$ ``; what is typed into the chat that it opens follows ``>>> ``.
    """
    steps: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        elif line.startswith(">>> ") and steps:
            steps[-1][1].append(line[4:])
    return steps


def commands_of(text: str) -> list[str]:
    """Return the lines of a shell script that name a command of ours, comments left out."""
    joined = text.replace("\\\n", " ")
    found = []
    for line in joined.splitlines():
        for part in re.split(r"\s(?:\||&&|;)\s", line):
            words = re.sub(r"^(?:[A-Z_]+=\S* +)+", "", part.strip())
            words = re.sub(r"\s(?:\d?>|<|&$).*", "", words)
            if words.startswith("corral "):
                found.append(words)
    return found
