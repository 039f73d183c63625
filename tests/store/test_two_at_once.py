"""One library that several processes change at the same time, on whatever file system."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from runner.domain.name import ModelName
from runner.store.audit import verify
from runner.store.library import Library
from runner.store.manifests import name_at, relative_path
from tests.fakes.gguf_files import write_model

ROOT = Path(__file__).parents[2]
#: A folder on a disk that ignores letters' case, mounted by whoever runs this: exFAT, NTFS, ext4
#: with ``casefold``.
CASELESS = os.environ.get("CORRAL_TEST_CASELESS")
N_STEPS = 40 if os.environ.get("CORRAL_SOAK") else 12

#: Changes the library at random; what it cannot do because another was faster is no fault.
CHILD = """
import random, sys
from pathlib import Path
from runner.domain.name import ModelName
from runner.errors import ModelNotFound, StoreError
from runner.store.library import Library
from runner.store.prune import prune

models, files = Path(sys.argv[1]), sys.argv[2].split("|")
seed, n = int(sys.argv[3]), int(sys.argv[4])
dice, library = random.Random(seed), Library(models)
names = [ModelName.parse(name) for name in ("one", "One:LATEST", "two", "hf.co/A/b:c", "three")]
for _ in range(n):
    name = dice.choice(names)
    try:
        match dice.randrange(5):
            case 0 | 1:
                path = Path(dice.choice(files))
                for _ in library.import_file(path, name, provenance={"source": "test"}):
                    pass
            case 2:
                library.copy(name, dice.choice(names))
            case 3:
                library.delete(name)
            case 4:
                prune(library, keep=(), is_dry=False)
    except ModelNotFound:
        continue
    except StoreError as error:
        if "missing" not in error.message:  # the other one removed it between two looks
            raise
    assert library.broken() == [], library.broken()
"""


@pytest.fixture(params=["any", "caseless"])
def folder(request, tmp_path):
    """A folder of its own; where there is one, also on a file system that ignores letters' case."""
    if request.param == "any":
        yield tmp_path
        return
    (tmp_path / "Case").touch()
    if (tmp_path / "cASE").exists():
        pytest.skip("all of this disk ignores case: it was tried already")
    if not CASELESS:
        pytest.skip("CORRAL_TEST_CASELESS names no folder on a file system that ignores case")
    with tempfile.TemporaryDirectory(dir=CASELESS) as name:
        (Path(name) / "Case").touch()
        assert (Path(name) / "cASE").exists(), f"{CASELESS} does not ignore case"
        yield Path(name)


@pytest.mark.timeout(300)
def test_two_processes_leave_a_library_in_which_all_is_whole(folder):
    files = [write_model(folder / f"{n}.gguf", n_vocab=64 + 64 * n, seed=n) for n in range(3)]
    models = folder / "models"
    children = [
        subprocess.Popen(
            [
                *(sys.executable, "-c", CHILD, str(models)),
                *("|".join(map(str, files)), str(seed), str(N_STEPS)),
            ],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in (1, 2)
    ]
    for child in children:
        _, said = child.communicate(timeout=240)
        assert child.returncode == 0, said
    library = Library(models)
    moments = verify(library, is_deep=True)
    try:
        while True:
            next(moments)
    except StopIteration as end:
        assert end.value.faults == ()
    library.prune()
    assert set(library.blobs.digests()) == library.used()
    assert not [*library.blobs.partial.glob("copy-*")]


parts = st.text(st.sampled_from("aAbB0._-"), min_size=1, max_size=6).filter(
    lambda text: text[0] not in ".-"
)


@given(one=parts, two=parts, tag=parts, other=parts)
def test_names_share_a_place_exactly_when_they_differ_in_case_only(one, two, tag, other):
    """So a file system that ignores case cannot mix two models up."""
    first = ModelName.parse(f"hf.co/{one}/m:{tag}")
    second = ModelName.parse(f"hf.co/{two}/m:{other}")
    places = [str(relative_path(name)) for name in (first, second)]
    assert (places[0].lower() == places[1].lower()) == (first == second)
    assert places == [place.lower() for place in places]
    assert name_at(relative_path(first)) == first


def test_spellings_of_one_name_are_one_model(folder):
    library = Library(folder / "models")
    for number, spelling in enumerate(("Qwen3:4B", "qwen3:4b", "QWEN3:4b")):
        path = write_model(folder / f"{number}.gguf", seed=number)
        for _ in library.import_file(
            path, ModelName.parse(spelling), provenance={"source": "test"}
        ):
            pass
        assert [str(info.name) for info in library.list()] == ["Qwen3:4B"], (
            "as it was first written"
        )
    assert len(library.blobs.digests()) == 1
    library.copy(ModelName.parse("QWEN3:4B"), ModelName.parse("Other"))
    library.copy(ModelName.parse("qwen3:4b"), ModelName.parse("oTHER"))
    assert {str(info.name) for info in library.list()} == {"Qwen3:4B", "Other:latest"}
    library.delete(ModelName.parse("qwen3:4b"))
    library.copy(ModelName.parse("other"), ModelName.parse("QWEN3:4b"))
    assert {str(info.name) for info in library.list()} == {"QWEN3:4b", "Other:latest"}
