"""What is kept of prompts, over a real library, pool and folder, and a scripted worker."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from runner.domain.cache import Cleared
from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.domain.request import InferenceRequest, Terms
from runner.errors import ModelNotFound
from runner.kv.entry import Entry, Header, write_entry
from runner.kv.key import CacheKey
from runner.kv.packed import pack
from runner.kv.shelf import Shelf
from runner.service.cache import CacheService
from runner.service.inference import InferenceService
from runner.service.models import ModelService
from runner.workers.pool import Pool
from tests.workers.pieces import SETTINGS


class Place:
    def __init__(self, library, folder):
        self.library = library
        self.pool = Pool(SETTINGS)
        self.shelf = Shelf(folder)
        self.cache = CacheService(library, self.pool, self.shelf, n_disk_max=1000)
        self.models = ModelService(library, self.pool, self.cache)
        self.inference = InferenceService(
            library, self.pool, context_length=0, memory_bytes=8 << 30
        )

    def put(self, model, owner=""):
        key = CacheKey(model, "build")
        header = Header(key.as_text(), model, owner, 5.0)
        folder = self.shelf.folder(key.folder_name, owner)
        return write_entry(folder, Entry(header, pack(range(300)), b"x" * 100))


@pytest.fixture
def told(library, name, tmp_path):
    """Runs ``story(place)``, with one model in the library, and closes the pool."""

    def run(story):
        async def whole():
            place = Place(library, tmp_path / "kv")
            try:
                return await story(place)
            finally:
                await place.pool.close()

        return asyncio.run(whole())

    return run


def test_memory_and_disk_are_told_together(told, library, name):
    digest = library.find(name).model.digest

    async def story(place):
        await place.inference.load(name, Options(), None)
        place.put(digest, "c")
        place.put("sha256:" + "0" * 64)
        report = await place.cache.report()
        assert (report.n_resident_tokens, report.n_memory_bytes, report.n_disk_max) == (7, 50, 1000)
        rows = {(p.model, p.tier.value, p.owner_id, p.n_tokens) for p in report.prompts}
        assert rows == {
            (str(name), "memory", "a", 300),
            (str(name), "memory", "b", 200),
            (str(name), "disk", "c", 300),
            ("", "disk", "", 300),
        }
        assert report.n_disk_bytes == sum(file.n_bytes for file in place.shelf.files())
        uses = [prompt.used_s for prompt in report.prompts]
        assert uses == sorted(uses, reverse=True)

    told(story)


@pytest.mark.parametrize(
    ("owner_id", "left_in_memory", "left_on_disk"),
    [(None, [], {("0", "")}), ("b", ["a"], {("0", ""), ("own", "")})],
)
def test_one_model_is_cleared_in_memory_and_on_disk(
    told, library, name, owner_id, left_in_memory, left_on_disk
):
    digest = library.find(name).model.digest

    async def story(place):
        await place.inference.load(name, Options(), None)
        place.put(digest)
        place.put(digest, "b")
        place.put("0")
        cleared = await place.cache.clear(name, owner_id=owner_id)
        assert cleared.n_prompts == 5 - len(left_in_memory) - len(left_on_disk)
        report = await place.cache.report()
        assert [p.owner_id for p in report.prompts if p.tier == "memory"] == left_in_memory
        kept = {
            ("own" if p.model == digest else p.model, p.owner_id) for p in place.shelf.prompts()
        }
        assert kept == left_on_disk

    told(story)


def test_without_a_model_everything_goes(told):
    async def story(place):
        place.put("0")
        place.put("1", "b")
        n_bytes = sum(file.n_bytes for file in place.shelf.files())
        assert await place.cache.clear() == Cleared(2, n_bytes)
        assert await place.cache.clear() == Cleared(0, 0)

    told(story)


def test_a_model_that_there_is_not_clears_nothing(told):
    async def story(place):
        place.put("0")
        with pytest.raises(ModelNotFound):
            await place.cache.clear(ModelName.parse("nobody"))
        assert len(place.shelf.files()) == 1

    told(story)


@pytest.mark.parametrize("has_alias", [False, True])
def test_a_deleted_model_takes_its_prompts_along_unless_another_name_has_its_weights(
    told, library, name, has_alias
):
    digest = library.find(name).model.digest
    log = library.model_path(library.find(name))

    async def story(place):
        if has_alias:
            await place.models.copy(name, ModelName.parse("alias"))
        await place.inference.load(name, Options(), None)
        place.put(digest)
        place.put("0")
        await place.models.delete(name)
        assert len(place.shelf.files()) == (2 if has_alias else 1)

    told(story)
    heard = log.with_name(log.name + ".log").read_text()
    assert ("clear None False" in heard) == (not has_alias)


@pytest.mark.parametrize(("shares_cache", "owner"), [(False, "somebody"), (True, "-")])
def test_owners_are_told_apart_unless_the_operator_lets_them_share(
    told, library, name, shares_cache, owner
):
    async def story(place):
        inference = InferenceService(
            library, place.pool, context_length=0, memory_bytes=8 << 30, shares_cache=shares_cache
        )
        request = InferenceRequest(name, prompt="say 1", terms=Terms(owner_id="somebody"))
        async with aclosing(inference.infer(request)) as events:
            assert [event async for event in events]

    told(story)
    path = library.model_path(library.find(name))
    assert f"owner {owner}\n" in path.with_name(path.name + ".log").read_text()
