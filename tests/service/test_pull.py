"""Pulls and imports: one job for all who follow, and nothing left of one that was left."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from runner.domain.name import ModelName
from runner.errors import (
    BadModelFile,
    CapacityError,
    CorralError,
    DigestMismatch,
    InvalidName,
    InvalidRequest,
    SourceError,
)
from runner.hub.source import RemoteFile
from runner.service.local import name_of
from runner.service.pull import PullService
from tests.workers.pieces import until

NAME = ModelName.parse("smollm2")


class ScriptedSource:
    """A source with one file; ``gate`` holds every answer back until it is set."""

    def __init__(self, path, *, sha256=None, error=None):
        self.path, self.sha256, self.error = path, sha256, error
        self.gate = threading.Event()
        self.gate.set()
        self.n_asked = 0

    def claims(self, name):
        return name == NAME

    def resolve(self, name):
        self.n_asked += 1
        assert self.gate.wait(60)
        if self.error:
            raise self.error
        return [
            RemoteFile(
                name=self.path.name,
                location=str(self.path),
                is_local=True,
                n_bytes=self.path.stat().st_size,
                sha256=self.sha256,
                license="MIT",
                provenance={"source": "script"},
            )
        ]


@pytest.fixture
def source(tiny):
    return ScriptedSource(tiny, sha256=hashlib.sha256(tiny.read_bytes()).hexdigest())


@pytest.fixture
def pulls(library, source):
    return PullService(library, [source])


@pytest.fixture(scope="module")
def big(tiny, tmp_path_factory):
    """A model that takes a while to copy: zeros behind its last tensor."""
    path = tmp_path_factory.mktemp("big") / "big.gguf"
    path.write_bytes(tiny.read_bytes())
    with path.open("r+b") as file:
        file.truncate(600_000_000)  # sparse
    return path


async def moments(following):
    async with aclosing(following) as steps:
        return [step async for step in steps]


def files_in(library):
    folder = Path(library.blobs.path("sha256:" + "0" * 64)).parent
    return [file for file in folder.rglob("*") if file.is_file()]


def names(library):
    return [info.name for info in library.list()]


def test_a_pull_tells_its_phases_and_leaves_a_model(library, pulls, source):
    steps = asyncio.run(moments(pulls.pull(NAME)))
    phases = list(dict.fromkeys(step.phase for step in steps))
    assert phases == [
        "pulling manifest",
        f"pulling {source.sha256[:12]}",
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]
    assert steps[-1].name == "smollm2:latest"
    assert names(library) == [NAME]
    assert library.find(NAME).license == "MIT"


def test_pulling_again_what_is_there_is_quick_and_right(library, pulls):
    asyncio.run(moments(pulls.pull(NAME)))
    before = files_in(library)
    assert asyncio.run(moments(pulls.pull(NAME)))[-1].phase == "success"
    assert files_in(library) == before


def test_all_who_pull_the_same_follow_one_job(pulls, source):
    source.gate.clear()

    async def story():
        first = asyncio.create_task(moments(pulls.pull(NAME)))
        await until(lambda: source.n_asked)
        others = [asyncio.create_task(moments(pulls.pull(NAME))) for _ in range(3)]
        await asyncio.sleep(0)
        source.gate.set()
        for steps in await asyncio.gather(first, *others):
            assert steps[-1].phase == "success"
        assert source.n_asked == 1

    asyncio.run(story())


def test_a_latecomer_hears_at_once_where_the_job_is(pulls, source):
    source.gate.clear()

    async def story():
        first = asyncio.create_task(moments(pulls.pull(NAME)))
        await until(lambda: source.n_asked)
        async with aclosing(pulls.pull(NAME)) as late:
            assert (await anext(late)).phase == "pulling manifest"
        source.gate.set()
        assert (await first)[-1].phase == "success"

    asyncio.run(story())


def test_one_who_leaves_does_not_stop_the_job_for_the_others(library, pulls, source):
    source.gate.clear()

    async def story():
        staying = asyncio.create_task(moments(pulls.pull(NAME)))
        async with aclosing(pulls.pull(NAME)) as leaving:
            await anext(leaving)
        source.gate.set()
        assert (await staying)[-1].phase == "success"

    asyncio.run(story())
    assert names(library) == [NAME]


def test_when_the_last_one_leaves_nothing_is_left(library, big):
    pulls = PullService(library, [])

    async def story():
        async with aclosing(pulls.import_file(big, NAME)) as steps:
            async for step in steps:
                if step.n_done > 1_000_000:
                    break
        await pulls.close()

    asyncio.run(story())
    assert names(library) == []
    assert files_in(library) == []


def test_who_comes_after_the_last_one_left_begins_a_new_job(library, source, pulls):
    source.gate.clear()

    async def story():
        async with aclosing(pulls.pull(NAME)) as leaving:
            await anext(leaving)
        again = asyncio.create_task(moments(pulls.pull(NAME)))
        await until(lambda: source.n_asked == 2)
        source.gate.set()
        assert (await again)[-1].phase == "success"

    asyncio.run(story())
    assert names(library) == [NAME]


def test_closing_tells_whoever_follows(library, big):
    pulls = PullService(library, [])

    async def story():
        async with aclosing(pulls.import_file(big, NAME)) as steps:
            await anext(steps)
            await pulls.close()
            with pytest.raises(CapacityError, match="broken off"):
                async for _ in steps:
                    pass

    asyncio.run(story())
    assert names(library) == []


def test_a_source_that_fails_fails_all_and_the_next_pull_tries_again(library, pulls, source):
    source.error = SourceError("the hub is closed", hint="tomorrow")
    source.gate.clear()

    async def story():
        tasks = [asyncio.create_task(moments(pulls.pull(NAME))) for _ in range(2)]
        await until(lambda: source.n_asked)
        source.gate.set()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert [end.message for end in ends] == ["the hub is closed"] * 2
        source.error = None
        assert (await moments(pulls.pull(NAME)))[-1].phase == "success"

    asyncio.run(story())


def test_a_bug_in_a_source_is_an_error_in_words_and_a_traceback_in_the_log(pulls, source, caplog):
    source.error = ZeroDivisionError("oops")
    with pytest.raises(SourceError) as caught:
        asyncio.run(moments(pulls.pull(NAME)))
    assert "oops" not in caught.value.message
    assert "corral daemon logs" in caught.value.hint
    assert "ZeroDivisionError" in caplog.text


def test_other_bytes_than_promised_leave_nothing(library, pulls, source):
    source.sha256 = "0" * 64
    with pytest.raises(DigestMismatch):
        asyncio.run(moments(pulls.pull(NAME)))
    assert names(library) == []
    assert files_in(library) == []


def test_a_name_that_no_source_has_is_told_what_can_be_pulled(pulls):
    with pytest.raises(SourceError) as caught:
        asyncio.run(moments(pulls.pull(ModelName.parse("gpt-9"))))
    assert "gpt-9" in caught.value.message
    assert "corral search gpt-9" in caught.value.hint


def test_a_name_of_the_library_that_no_source_has_is_told_so(library, pulls, tiny):
    mine = ModelName.parse("mine")
    asyncio.run(moments(pulls.import_file(tiny, mine)))
    with pytest.raises(SourceError, match="in the library already"):
        asyncio.run(moments(pulls.pull(mine)))


def test_an_imported_file_is_named_after_itself(library, pulls, tiny):
    steps = asyncio.run(moments(pulls.import_file(tiny, None)))
    assert steps[-1].name == "Tiny-Model:latest"
    assert names(library) == [ModelName.parse("Tiny-Model")]
    assert tiny.exists()


@pytest.mark.parametrize("text", ["relative.gguf", "/nowhere/x.gguf", "/"])
def test_a_path_that_is_no_file_is_refused(pulls, text):
    with pytest.raises(InvalidRequest):
        asyncio.run(moments(pulls.import_file(Path(text), NAME)))


def test_a_file_that_is_no_model_is_refused_and_leaves_nothing(library, pulls, tmp_path):
    path = tmp_path / "page.gguf"
    path.write_text("<html>")
    with pytest.raises(BadModelFile):
        asyncio.run(moments(pulls.import_file(path, NAME)))
    assert files_in(library) == []


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("/m/Qwen3-4B-Q4_K_M.gguf", "Qwen3-4B-Q4_K_M:latest"),
        ("/m/my model (final).GGUF", "my-model-final:latest"),
        ("/m/.hidden.gguf", "hidden:latest"),
    ],
)
def test_a_name_is_made_of_what_a_files_name_has(file, name):
    assert str(name_of(Path(file))) == name


@given(st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1))
def test_any_files_name_makes_a_name_or_a_plain_refusal(stem):
    if stem in (".", ".."):
        return
    try:
        name = name_of(Path("/m") / f"{stem}.gguf")
    except InvalidName:
        return
    assert ModelName.parse(str(name)) == name


def test_every_failure_is_one_of_ours(pulls, tmp_path):
    """A folder's owner may be cruel: no file of his makes more than an error in words."""
    path = tmp_path / "cruel.gguf"
    for data in (b"", b"GGUF", b"GGUF" + b"\xff" * 100, b"\0" * 5000):
        path.write_bytes(data)
        with pytest.raises(CorralError):
            asyncio.run(moments(pulls.import_file(path, NAME)))
