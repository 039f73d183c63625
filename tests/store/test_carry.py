"""A library carried to another folder is whole there, or it is whole where it was."""

from __future__ import annotations

import errno
import os
import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from runner.domain.name import ModelName
from runner.errors import DigestMismatch, DiskFull, InvalidRequest, ModelNotFound, StoreError
from runner.store import carry as carry_file
from runner.store.arrival import open_arrival
from runner.store.carry import carry, checked_folder, leave, plan
from runner.store.library import Library

N = ModelName.parse


def content(folder: Path) -> dict[str, bytes]:
    """Every file below, but for what a library writes for itself."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("lock", "index")
    }


def carried(library: Library, folder: Path) -> list:
    carrier = carry(library, folder)
    moments = list(carrier.blobs())
    with library.changing("move"):
        moments += carrier.rest()
    return moments


@pytest.fixture
def other_disk(monkeypatch):
    """Another disk, to which no links lead."""

    def link(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(carry_file, "_is_same_disk", lambda *_: False)


@pytest.fixture(params=["linked", "copied"])
def disk(request):
    """The same disk, or another one."""
    if request.param == "copied":
        request.getfixturevalue("other_disk")
    return request.param


@pytest.fixture
def full(library, put, model_file, other_file):
    """A library with everything a library can have."""
    put(model_file, "one")
    put(other_file, "two:tag")
    library.copy(N("one"), N("hf.co/own/again:q4"))
    arrival = open_arrival(library.blobs.partial, "sha256:" + "ab" * 32, 3 << 20)
    arrival.write_at(1 << 20, b"so far")
    arrival.note(0, 6)
    arrival.close()
    report = library.models / "reports" / ("cd" * 32) / "quality.json"
    report.parent.mkdir(parents=True)
    report.write_text("{}")
    return library


def test_everything_is_there_and_then_nothing_is_here(full, tmp_path, disk):
    before, names = content(full.models), {str(info.name) for info in full.list()}
    folder = tmp_path / "disk" / "models"
    moments = carried(full, folder)
    assert content(folder) == before
    there = Library(folder)
    assert {str(info.name) for info in there.list()} == names
    assert there.broken() == []
    assert moments[0].n_bytes > 0
    sizes = [moment.n_done for moment in moments if moment.phase == "copying"]
    assert max(sizes) == moments[0].n_bytes

    n_blobs = sum(full.blobs.digests().values())
    assert leave(full.models, folder) >= n_blobs
    assert not full.models.exists()
    assert content(folder) == before


def test_a_library_goes_on_in_the_other_folder(full, tmp_path, put, disk):
    folder = tmp_path / "disk"
    carried(full, folder)
    before = full.models
    full.relocate(folder)
    leave(before, folder)
    assert full.show(N("two:tag")).info.architecture == "llama"
    full.delete(N("two:tag"))
    assert [str(info.name) for info in Library(folder).list()] == [
        str(info.name) for info in full.list()
    ]
    assert len(full.list()) == 2


def test_who_gives_up_has_all_where_it_was_and_nothing_elsewhere(full, tmp_path, disk):
    before = content(full.models)
    carrier = carry(full, tmp_path / "new" / "models")
    moments = carrier.blobs()
    next(moments)
    next(moments)
    moments.close()
    carrier.undo()
    assert content(full.models) == before
    assert not (tmp_path / "new").exists()


def test_even_after_the_last_manifest(full, tmp_path, disk):
    before = content(full.models)
    (tmp_path / "new").mkdir()
    carrier = carry(full, tmp_path / "new")
    list(carrier.blobs())
    with full.changing("move"):
        list(carrier.rest())
    carrier.undo()
    assert content(full.models) == before
    assert content(tmp_path / "new") == {}


def test_what_a_move_that_was_killed_left_is_taken_over(full, tmp_path, disk):
    folder = tmp_path / "new"
    list(carry(full, folder).blobs())  # and then the process ended
    assert checked_folder(str(folder), full.models) == folder
    n_before = {path: path.stat().st_mtime_ns for path in (folder / "blobs").iterdir()}
    carried(full, folder)
    assert {path: path.stat().st_mtime_ns for path in (folder / "blobs").iterdir()} == n_before
    assert len(Library(folder).list()) == 3


def test_what_comes_and_goes_meanwhile_is_there_as_it_is_here(full, tmp_path, put, disk):
    folder = tmp_path / "new"
    carrier = carry(full, folder)
    list(carrier.blobs())
    full.delete(N("two:tag"))
    with full.changing("move"):
        list(carrier.rest())
    full_names = {str(info.name) for info in full.list()}
    assert {str(info.name) for info in Library(folder).list()} == full_names
    assert Library(folder).blobs.digests() == full.blobs.digests()


def test_a_damaged_blob_is_not_carried_and_stops_the_move(full, tmp_path, other_disk):
    blob = next(full.blobs.folder.iterdir())
    blob.write_bytes(b"x" + blob.read_bytes()[1:])
    carrier = carry(full, tmp_path / "new")
    with pytest.raises(DigestMismatch, match=f"{blob.name} is damaged"):
        list(carrier.blobs())
    carrier.undo()
    assert not (tmp_path / "new").exists()


def test_a_disk_that_is_too_small_is_refused_with_numbers(full, tmp_path, disk, monkeypatch):
    monkeypatch.setattr(carry_file, "n_free_bytes", lambda _: 5)
    found = plan(full, tmp_path / "new")
    if disk == "linked":
        assert (found.n_left, found.fits) == (0, True)
        return
    assert not found.fits
    with pytest.raises(DiskFull, match=f"{found.n_left} bytes are needed, 5 bytes are free"):
        carry(full, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_plan_tells_what_is_there_and_writes_nothing(full, tmp_path, model_file):
    other = Library(tmp_path / "other")
    list(other.import_file(model_file, N("theirs"), provenance={"source": "test"}))
    found = plan(full, tmp_path / "other")
    assert (found.n_models, found.n_there) == (3, 1)
    assert found.n_bytes >= sum(full.blobs.digests().values())
    plan(full, tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(InvalidRequest, match="has models of its own"):
        carry(full, tmp_path / "other")


def test_what_came_to_the_old_folder_by_another_way_stays(full, tmp_path):
    carried(full, tmp_path / "new")
    blob = full.blobs.folder / ("sha256-" + "ef" * 32)
    blob.write_bytes(b"late")
    leave(full.models, tmp_path / "new")
    assert content(full.models) == {f"blobs/{blob.name}": b"late"}


@pytest.mark.parametrize(
    ("text", "said"),
    [("models", "absolute"), ("", "absolute"), ("~nobody-is-called-so/x", "absolute"),
     ("/a\0b", "zero byte"), ("{here}", "already"), ("{here}/../models", "already"),
     ("{here}/inside", "lie within"), ("{here}/..", "lie within"), ("{file}", "is a file"),
     ("{file}/x", "cannot use"), ("{strange}", "something else"), ("{ollama}", "Ollama's own")],
)  # fmt: skip
def test_a_folder_that_cannot_be_one_is_refused(full, tmp_path, model_file, text, said):
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "letter.txt").write_text("Dear")
    (tmp_path / "ollama" / "manifests" / "registry.ollama.ai").mkdir(parents=True)
    (tmp_path / "ollama" / "blobs").mkdir()
    places = {name: tmp_path / name for name in ("strange", "ollama")}
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((InvalidRequest, StoreError), match=said):
        checked_folder(text.format(here=full.models, file=model_file, **places), full.models)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("text", ["{0}/new", "{0}/a/b/c", " {0}/new/ ", "{0}/x/../new"])
def test_a_folder_that_can_be_one_is_left_as_it_was(full, tmp_path, text):
    before = sorted(tmp_path.rglob("*"))
    found = checked_folder(text.format(tmp_path), full.models)
    assert found.parts[: len(tmp_path.parts)] == tmp_path.parts
    assert ".." not in found.parts
    assert sorted(tmp_path.rglob("*")) == before


def test_a_chosen_folder_whose_disk_has_gone_is_no_empty_library(library, put, model_file):
    put(model_file, "one")
    library.relocate(library.models)
    shutil.rmtree(library.models)
    for ask in (library.list, lambda: library.find(N("one"))):
        with pytest.raises(StoreError, match="the folder of the models is not there"):
            ask()
    library.models.mkdir()
    assert library.list() == []
    with pytest.raises(ModelNotFound):
        library.find(N("one"))


@settings(max_examples=12, deadline=None)
@given(holes=st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=6))
def test_what_has_arrived_is_copied_to_the_byte(tmp_path_factory, holes):
    folder = tmp_path_factory.mktemp("arrival")
    source, target = folder / "a", folder / "b"
    rand = random.Random(1)
    source.write_bytes(
        b"".join(bytes(n << 19) if is_hole else rand.randbytes(n << 10) for n, is_hole in holes)
    )
    carry_file._copy_arrival(source, target)
    assert target.read_bytes() == source.read_bytes()
