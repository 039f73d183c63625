"""The list of thousands: quick by what was written down, and never other than the disk is."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from runner.domain.model import Capability
from runner.domain.name import ModelName
from runner.gguf.metadata import ModelFacts
from runner.store import index as index_file, manifests
from runner.store.blobs import Blobs
from runner.store.index import Index
from runner.store.manifests import Layer, Manifest
from runner.store.probe import Tells, try_times
from runner.store.summary import FILE

FACTS = ModelFacts("llama", 1, "Q8_0", 64, 8, 1, ((8, 8),), 32, 1, "", "", (Capability.COMPLETION,))
BLOB = f"sha256:{'a' * 64}"
OTHER = f"sha256:{'b' * 64}"
NAMES = [ModelName.parse(name) for name in ("one", "one:two", "hf.co/A/b:c", "hf.co/A/d:e")]


@pytest.fixture(autouse=True)
def _always_written_down(monkeypatch):
    monkeypatch.setattr(index_file, "_MAX_UNKEPT", 0)


def later() -> int:
    """A clock by which everything on the disk has settled."""
    return time.time_ns() + 3_600_000_000_000


def opened(models: Path, now_ns=later) -> Index:
    return Index(models / "manifests", Blobs(models), now_ns=now_ns)


def tick(models: Path) -> None:
    """Wait until the disk's clock has moved on: later changes have other times.

    Where no time is believed, nobody needs to wait.
    """
    if try_times(models / "partial") == Tells(folders=False, files=False):
        return
    probe = models / "probe"
    probe.write_bytes(b"x")
    before = probe.stat().st_mtime_ns
    for _ in range(100_000):
        probe.write_bytes(b"x")
        if probe.stat().st_mtime_ns != before:
            return
    raise AssertionError("the disk's clock stands still")


def place(models: Path, name: ModelName) -> Path:
    return models / "manifests" / manifests.relative_path(name)


def content(name: ModelName, digest: str = BLOB, system: str = "") -> bytes:
    return manifests.encode(Manifest(name, (Layer("model", digest, 1),), FACTS, system=system))


def put(models: Path, name: ModelName, **more: str) -> Path:
    path = place(models, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content(name, **more))
    return path


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return fresh(tmp_path)


def fresh(folder: Path) -> Path:
    models = folder / "models"
    (models / "blobs").mkdir(parents=True)
    for digest in (BLOB, OTHER):
        Blobs(models).path(digest).write_bytes(b"x")
    return models


def told(index: Index) -> tuple[list[str], list[str]]:
    """What a list shows and what it leaves out."""
    entries, broken = index.scan()
    return sorted(map(repr, entries)), sorted(map(repr, broken))


def read_afresh(models: Path) -> tuple[list[str], list[str]]:
    kept = models / FILE
    aside = kept.rename(models / "aside") if kept.exists() else None
    try:
        return told(opened(models, now_ns=lambda: 0))  # nothing has settled: nothing is written
    finally:
        if aside is not None:
            aside.replace(kept)


EDITS = ("overwrite", "replace", "break", "delete", "utime", "move_folder")
changes = st.tuples(
    st.sampled_from((*EDITS, "write", "drop_blob", "put_blob", "stray")),
    st.sampled_from(NAMES),
    st.sampled_from((BLOB, OTHER)),
)


def change(models: Path, what: str, name: ModelName, digest: str, number: int) -> None:
    """Do what another process may do at any time."""
    path, blob = place(models, name), Blobs(models).path(digest)
    if what == "drop_blob":
        blob.unlink(missing_ok=True)
    elif what == "put_blob":
        blob.write_bytes(b"x")
    elif what == "stray":
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        (path.parent.parent / "stray").write_bytes(b"")
    elif what == "write":
        put(models, name, digest=digest)
    elif path.exists():
        edit(path, what, content(name, digest, system=f"{number}"))


def edit(path: Path, what: str, content: bytes) -> None:
    """Change a manifest that is there."""
    match what:
        case "overwrite":
            path.write_bytes(content)
        case "replace":
            beside = path.with_name(".beside")
            beside.write_bytes(content)
            beside.replace(path)
        case "break":
            path.write_bytes(content[:-9])
        case "delete":
            path.unlink()
        case "utime":
            os.utime(path, (len(content), len(content)))
        case "move_folder":
            shutil.rmtree(path.parent.with_name("moved"), ignore_errors=True)
            path.parent.rename(path.parent.with_name("moved"))


@settings(max_examples=25, deadline=None)
@given(story=st.lists(changes, min_size=1, max_size=10))
def test_whatever_others_change_the_list_is_as_one_read_afresh(story, tmp_path_factory):
    """For a process that has been here all the time, and for one that begins with the file."""
    models = fresh(tmp_path_factory.mktemp("story"))
    old = opened(models)
    for number, (what, name, digest) in enumerate(story):
        change(models, what, name, digest, number)
        tick(models)
        wanted = read_afresh(models)
        assert told(old) == wanted
        assert told(opened(models)) == wanted
        assert old.used() == opened(models).used()


def test_what_changes_within_one_tick_of_the_clock_is_seen(models):
    """Same size, same time, same file: what is so young is read again each time."""
    path = put(models, NAMES[0])
    status = path.stat()
    index = opened(models, now_ns=time.time_ns)
    digests = []
    for digest in (OTHER, BLOB, OTHER):
        with path.open("r+b") as file:
            file.write(content(NAMES[0], digest))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        digests.append(index.scan()[0][0].layers[0].digest)
        assert opened(models, now_ns=time.time_ns).scan()[0][0].layers == index.scan()[0][0].layers
    assert digests == [OTHER, BLOB, OTHER]


def test_a_start_reads_no_manifest_that_did_not_change(models, monkeypatch):
    """On a disk where each change of a file shows."""
    monkeypatch.setattr(index_file, "try_times", lambda scratch: Tells(folders=True, files=True))
    for name in NAMES:
        put(models, name)
    tick(models)
    wanted = told(opened(models))
    assert (models / FILE).is_file()
    changed = put(models, NAMES[1], system="another")
    read: list[Path] = []
    real = manifests.read_bytes
    monkeypatch.setattr(manifests, "read_bytes", lambda path: read.append(path) or real(path))
    monkeypatch.setattr(index_file, "_MAX_UNKEPT", 5)
    now = opened(models)
    assert told(now) != wanted
    assert read == [changed]
    assert len(now.entries()) == len(NAMES)
    assert now.used() == {BLOB}
    assert read == [changed]


def test_few_manifests_are_not_worth_a_file(models, monkeypatch):
    monkeypatch.setattr(index_file, "_MAX_UNKEPT", len(NAMES))
    for name in NAMES:
        put(models, name)
    assert len(opened(models).scan()[0]) == len(NAMES)
    assert not (models / FILE).exists()


def test_what_is_kept_of_one_is_not_all_of_it(models):
    """Long texts are read from the manifest, when somebody wants them."""
    put(models, NAMES[0], system="Be brief.")
    tick(models)
    opened(models).scan()
    index = opened(models)
    assert index.scan()[0][0].key == BLOB
    assert index.manifest(NAMES[0]).system == "Be brief."
    put(models, NAMES[0], system="Be long.")
    assert index.manifest(NAMES[0]).system == "Be long."


@settings(max_examples=30, deadline=None)
@given(at=st.floats(0, 1), bit=st.integers(0, 7), keep=st.sampled_from(("flip", "cut", "nothing")))
def test_a_damaged_file_is_as_good_as_none(at, bit, keep, tmp_path_factory):
    models = fresh(tmp_path_factory.mktemp("damaged"))
    for name in NAMES:
        put(models, name)
    tick(models)
    wanted = told(opened(models))
    kept = bytearray((models / FILE).read_bytes())
    place = int(at * (len(kept) - 1))
    kept[place] ^= 1 << bit
    spoiled = {"flip": bytes(kept), "cut": bytes(kept[:place]), "nothing": b""}[keep]
    (models / FILE).write_bytes(spoiled)
    assert told(opened(models)) == wanted
    assert (models / FILE).read_bytes() != spoiled, "it is written anew"


def test_a_library_that_was_moved_is_read_afresh(models, tmp_path):
    put(models, NAMES[0])
    tick(models)
    opened(models).scan()
    moved = models.rename(tmp_path / "moved")
    assert [entry.info.name for entry in opened(moved).scan()[0]] == [NAMES[0]]
    Blobs(moved).path(BLOB).unlink()
    assert opened(moved).scan()[0] == []


def test_where_nothing_can_be_written_the_list_is_there(models):
    put(models, NAMES[0])
    (models / FILE).mkdir()
    for _ in range(2):
        assert len(opened(models).scan()[0]) == 1


def test_a_library_of_another_version_of_the_program_is_read_afresh(models, monkeypatch):
    """What is made of a manifest may be other things then."""
    path = put(models, NAMES[0])
    tick(models)
    opened(models).scan()
    monkeypatch.setattr("runner.store.summary._maker", lambda: "another")
    read: list[Path] = []
    real = manifests.read_bytes
    monkeypatch.setattr(manifests, "read_bytes", lambda path: read.append(path) or real(path))
    opened(models).scan()
    assert read == [path]


def test_what_goes_is_forgotten(models):
    """Neither memory nor the file grow with names that are no more."""
    index = opened(models)
    sizes = []
    for number in itertools.count():
        name = replace(NAMES[2], model=f"m{number:04}")
        put(models, name)
        tick(models)
        index.scan()
        sizes.append((models / FILE).stat().st_size)
        shutil.rmtree(place(models, name).parent)
        tick(models)
        index.scan()
        if number == 10:
            break
    assert max(sizes) == min(sizes)
