"""Models of this machine: a file, a part of several, a folder; what belongs together comes."""

import asyncio
import shutil
from contextlib import aclosing
from pathlib import Path

import pytest

from runner.domain.name import ModelName
from runner.errors import BadModelFile, InvalidRequest
from runner.hub.source import Role
from runner.service.local import look, name_of
from runner.service.pull import PullService
from tests.fakes.projector import tiny_projector
from tests.live.test_pulls import split

GB = 10**9


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "My Model (new)"
    made.mkdir()
    return made


@pytest.fixture
def parts(tiny, folder, tmp_path):
    """A model in three files, in ``folder``."""
    paths = []
    for number, content in enumerate(split(tiny, tmp_path, 3), 1):
        paths.append(folder / f"tiny-Q8_0-{number:05}-of-00003.gguf")
        paths[-1].write_bytes(content)
    return paths


@pytest.fixture
def projector(tmp_path):
    return tiny_projector(tmp_path / "made-mmproj.gguf")


def pulled(library, path, name=None, memory_bytes=0):
    """The phases of taking ``path`` in."""

    async def follow():
        pulls = PullService(library, [], memory_bytes=memory_bytes)
        async with aclosing(pulls.import_file(path, name)) as steps:
            return [step async for step in steps]

    return asyncio.run(follow())


def kinds(library, name):
    return [layer.kind for layer in library.find(ModelName.parse(name)).layers]


def test_a_folder_with_parts_and_projector_is_one_model(library, folder, parts, projector):
    """Its name is the folder's; the owner's files stay as they are."""
    shutil.copy(projector, folder / "mmproj-F16.gguf")
    (folder / "README.md").write_text("# mine")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    steps = pulled(library, folder)
    assert steps[-1].phase == "success"
    assert steps[-1].name == "My-Model-new:latest"
    assert kinds(library, "my-model-new") == ["model", "shard", "shard", "projector"]
    assert library.broken() == []
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    told = library.find(ModelName.parse("my-model-new")).provenance["files"]
    assert [one["file"] for one in told] == [*(p.name for p in parts), "mmproj-F16.gguf"]


@pytest.mark.parametrize("number", [0, 2])
def test_any_part_stands_for_the_whole_model(library, parts, number):
    assert pulled(library, parts[number])[-1].name == "tiny-Q8_0:latest"
    assert kinds(library, "tiny-q8_0") == ["model", "shard", "shard"]


def test_a_missing_part_is_told_before_anything_is_copied(library, parts):
    parts[1].unlink()
    with pytest.raises(InvalidRequest, match="has 2 of the 3 parts") as caught:
        pulled(library, parts[0])
    assert caught.value.hint == "all parts must lie beside each other"
    assert library.list() == []


def test_parts_of_different_models_do_not_become_one(library, parts):
    parts[1].write_bytes(parts[2].read_bytes())
    with pytest.raises(BadModelFile, match="part 2 of 3 says that it is part 3"):
        pulled(library, parts[0])
    assert library.list() == []
    assert [*library.blobs.digests()] == []


def test_among_quantizations_the_one_that_fits_is_taken_with_the_reason(library, tiny, folder):
    shutil.copy(tiny, folder / "m-Q4_K_M.gguf")
    shutil.copy(tiny, folder / "m-Q8_0.gguf")
    steps = pulled(library, folder, ModelName.parse("mine"), 16 * GB)
    assert steps[0].phase.startswith("chose Q4_K_M: the usual balance")
    assert kinds(library, "mine") == ["model"]


def test_a_single_file_does_not_take_its_neighbours_along(library, tiny, folder, projector):
    shutil.copy(tiny, folder / "one.gguf")
    shutil.copy(projector, folder / "mmproj.gguf")
    (file,) = look(folder / "one.gguf").files
    assert (file.name, file.role) == ("one.gguf", Role.MODEL)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([], "holds no GGUF file"),
        (["model.safetensors"], "holds weights in another format"),
        (["mmproj-a.gguf"], "holds no GGUF model"),
        (["a-Q4_0.gguf", "b-Q4_0.gguf"], "holds several models: a-Q4_0, b-Q4_0"),
    ],
)
def test_a_folder_without_one_model_is_refused(folder, names, reason):
    for name in names:
        (folder / name).write_bytes(b"GGUF")
    with pytest.raises(InvalidRequest, match=reason) as caught:
        look(folder)
    assert caught.value.param == "path"
    assert caught.value.hint


def test_what_is_not_there_is_told(folder):
    with pytest.raises(InvalidRequest, match="there is no file"):
        look(folder / "none.gguf")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/m/a-00001-of-00002.gguf", "a:latest"),
        ("/m/Some Folder", "Some-Folder:latest"),
        ("/m/x.GGUF", "x:latest"),
    ],
)
def test_a_name_is_made_of_the_files_own(path, name):
    assert str(name_of(Path(path))) == name
