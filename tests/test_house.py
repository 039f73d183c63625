"""The rules of the house, checked on every file: imports, fences, cycles and length.

A room is a folder of ``runner/``, or a file beside them.  Its row in ``docs/architecture.md`` says
which rooms it may import; ``ROOMS`` is the same table, and a test keeps the two equal.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ARCHITECTURE = ROOT / "docs" / "architecture.md"

#: Each room and the rooms it may import, itself and ``OPEN`` apart.
ROOMS: dict[str, set[str]] = {
    "domain": set(),
    "errors": set(),
    "logs": set(),
    "paths": set(),
    "config": {"domain"},
    "protocol": {"domain"},
    "kv": set(),
    "relay": set(),
    "gguf": {"domain"},
    "prompt": {"domain"},
    "dialects": {"domain"},
    "modelfile": {"domain"},
    "hub": {"domain", "modelfile"},
    "store": {"domain", "gguf", "prompt"},
    "engine": {"domain", "protocol", "prompt", "kv", "relay"},
    "workers": {"domain", "protocol"},
    "tools": {"domain", "protocol", "gguf", "engine"},
    "service": {
        *("domain", "protocol", "gguf", "modelfile", "store", "hub", "prompt", "workers", "kv"),
        "relay",
    },
    "server": {"domain", "service", "dialects"},
    "client": {"domain", "dialects", "config", "paths"},
    "cli": {"domain", "client", "modelfile", "config", "paths", "relay"},
    "daemon": {
        *("domain", "config", "paths", "protocol", "gguf", "prompt", "dialects"),
        *("hub", "store", "workers", "service", "server", "client", "kv"),
    },
    "gui": {"domain", "client", "modelfile", "config", "paths"},
    # The dispatcher: it imports the one main function that its first argument asks for.
    "__main__": {"cli", "daemon", "engine", "tools"},
}
#: Rooms that every room may import; the package itself holds only the version.
OPEN = {"errors", "logs", "runner"}

#: Libraries that only the named folders may import.
FENCED = {
    "llama_cpp": ("runner/engine/llama/",),
    "llguidance": ("runner/engine/",),
    "huggingface_hub": ("runner/hub/",),
    "modelscope": ("runner/hub/",),
    "modelscope_hub": ("runner/hub/",),
    "aiohttp": ("runner/server/", "runner/hub/", "runner/daemon/"),
    "jinja2": ("runner/prompt/",),
    "PySide6": ("gui/",),
    "keyring": ("runner/service/wallet.py",),
    "prompt_toolkit": ("runner/cli/",),
    "wcwidth": ("runner/cli/wrap.py",),
}
#: What the engine and the protocol may not know, though the standard library has it.
FORBIDDEN = {"engine": {"asyncio", "http"}, "protocol": {"asyncio", "http"}}

#: Words that say nothing about what a file is for.
NOT_A_NAME = {"utils", "util", "helpers", "common", "core", "base", "manager", "misc", "types"}

MAX_LINES = 500

FILES = sorted(path for folder in ("runner", "gui") for path in (ROOT / folder).rglob("*.py"))
ALL_FILES = sorted(
    path
    for folder in ("runner", "gui", "tests", "bench", "packaging")
    for path in (ROOT / folder).rglob("*.py")
)


def module_of(path: Path) -> str:
    """Return the dotted name that ``path`` is imported by."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def room_of(module: str) -> str:
    """Return the room of a module of ours: the name after ``runner``, or ``runner`` itself."""
    top, _, rest = module.partition(".")
    return rest.partition(".")[0] if top == "runner" and rest else top


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def imports(path: Path) -> list[tuple[str, ast.stmt]]:
    """Return what ``path`` imports, as modules; imports inside functions count too."""
    found: list[tuple[str, ast.stmt]] = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found += [(alias.name, node) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            assert node.module is not None
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                # `from runner.domain import chat` imports a module, not a name of one.
                found.append((full if full in MODULES else node.module, node))
    return found


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_file_imports_only_what_its_room_may(path):
    room = room_of(module_of(path))
    allowed = ROOMS.get(room, set()) | OPEN | {room}
    for module, node in imports(path):
        if module.partition(".")[0] in ("runner", "gui"):
            assert room_of(module) in allowed, f"line {node.lineno}: {room} may not know {module}"
        assert module.partition(".")[0] not in ("tests", "bench"), f"line {node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_fenced_library_stays_in_its_rooms(path):
    forbidden = FORBIDDEN.get(room_of(module_of(path)), set())
    for module, node in imports(path):
        library = module.partition(".")[0]
        fence = FENCED.get(library)
        inside = fence is None or named(path).replace("\\", "/").startswith(fence)
        assert inside, f"line {node.lineno}: {library} belongs to {', '.join(fence or ())}"
        assert library not in forbidden, f"line {node.lineno}: {library} is not for this room"


def test_no_module_imports_itself_through_others():
    """Imports that run when a module is loaded form no cycle; those for types alone run never."""
    graph = {}
    for module, path in MODULES.items():
        skipped = {node for block in typing_blocks(path) for node in ast.walk(block)}
        graph[module] = {
            name
            for name, node in imports(path)
            if name in MODULES and name != module and node not in skipped
        }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def typing_blocks(path: Path) -> list[ast.If]:
    """Return the ``if TYPE_CHECKING:`` blocks of ``path``."""
    blocks = (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.If))
    return [node for node in blocks if "TYPE_CHECKING" in ast.unparse(node.test)]


@pytest.mark.parametrize("path", ALL_FILES, ids=named)
def test_a_file_says_what_it_is_and_stays_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES
    assert ast.get_docstring(tree_of(path)), "the first lines say what the file is"
    assert path.stem not in NOT_A_NAME, "a helper lives with its user, or gets a noun"


@pytest.mark.parametrize("path", [p for p in FILES if p.name == "__init__.py"], ids=named)
def test_the_door_of_a_room_holds_only_its_docstring(path):
    body = tree_of(path).body[1:]
    is_package_itself = path.parent.name == "runner"
    assert len(body) == (1 if is_package_itself else 0)
    assert not is_package_itself or ast.unparse(body[0]).startswith("__version__ =")


def test_every_room_has_a_row():
    assert {room_of(module) for module in MODULES} - {"runner"} <= set(ROOMS)


def test_the_table_in_the_docs_is_this_one():
    """``docs/architecture.md`` promises exactly the imports and fences that are checked here."""
    assert import_table() == ROOMS
    assert fence_table() == {library: set(folders) for library, folders in FENCED.items()}


def import_table() -> dict[str, set[str]]:
    """Return the docs' import table; rooms stand in backquotes, and the open ones left out."""
    return {row[0]: set(row[1:]) for row in table_under("room")}


def fence_table() -> dict[str, set[str]]:
    return {row[0]: set(row[1:]) for row in table_under("library")}


def table_under(heading: str) -> list[list[str]]:
    """Return the backquoted words in the first two columns of the table that opens so."""
    lines = ARCHITECTURE.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(re.findall(r"`([^`]+)`", "|".join(line.split("|")[1:3])))
    return rows
