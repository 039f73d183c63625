"""A process killed at any moment leaves a library in which all that is listed is whole."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runner.domain.name import ModelName
from runner.store.library import Library
from tests.fakes.gguf_files import write_model

ROOT = Path(__file__).parents[2]
N_KILLS = 12

#: Changes a library in every way, and dies at the given one of its steps on the disk.
CHILD = """
import os, signal, sys
from pathlib import Path
from runner.domain.name import ModelName
from runner.store.library import Library

models, small, large, fatal = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
n_steps = 0

def step():
    global n_steps
    n_steps += 1
    if n_steps == fatal:
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

def hook(event, args):
    if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"):
        if isinstance(args[0], (str, bytes, Path)) and os.fsdecode(args[0]).startswith(models):
            step()

sys.addaudithook(hook)
library = Library(Path(models))
N = ModelName.parse

def put(path, name):
    for _ in library.import_file(path, N(name), provenance={"source": "test"}):
        step()

put(small, "one")
put(large, "two")
library.copy(N("one"), N("three"))
put(large, "one")
library.delete(N("two"))
put(small, "two")
library.prune()
print(n_steps)
"""


def run_child(models: Path, small: Path, large: Path, fatal: int) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(models), str(small), str(large), str(fatal)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sources")
    return (
        write_model(folder / "small.gguf"),
        write_model(folder / "large.gguf", n_vocab=80_000, seed=2),  # three chunks
    )


@pytest.fixture(scope="module")
def n_steps(sources, tmp_path_factory) -> int:
    """How many steps the whole change takes when nobody kills it."""
    done = run_child(tmp_path_factory.mktemp("whole") / "models", *sources, 0)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("part", range(N_KILLS))
def test_a_killed_change_leaves_a_whole_library(part, n_steps, sources, tmp_path):
    assert n_steps > 4 * N_KILLS
    models = tmp_path / "models"
    killed = run_child(models, *sources, 1 + part * (n_steps - 1) // (N_KILLS - 1))
    assert killed.returncode == -getattr(signal, "SIGKILL", -1), killed.stderr

    library = Library(models, lock_wait_s=0)  # the dead one's lock is no lock
    assert library.broken() == []
    listed = library.list()
    for info in listed:
        assert list(library.verify(info.name))

    library.prune()
    assert library.list() == listed
    used = {layer.digest for info in listed for layer in library.find(info.name).layers}
    assert set(library.blobs.digests()) == used
    assert not models.joinpath("partial").exists() or not any((models / "partial").iterdir())

    list(library.import_file(sources[1], ModelName.parse("one"), provenance={"source": "test"}))
    assert list(library.verify(ModelName.parse("one")))
