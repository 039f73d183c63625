"""The library and what is in memory, over a real library and pool."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace

import pytest

from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.errors import ModelNotFound
from runner.service.inference import InferenceService
from runner.service.models import ModelService
from runner.workers.pool import Pool
from tests.workers.pieces import SETTINGS

OTHER = ModelName.parse("other")


def told(library, story, **changes):
    """Run ``story(models, inference)`` over a pool of its own."""

    async def run():
        pool = Pool(replace(SETTINGS, **changes))
        inference = InferenceService(library, pool, context_length=0, memory_bytes=8 << 30)
        try:
            return await story(ModelService(library, pool), inference)
        finally:
            await pool.close()

    return asyncio.run(run())


def test_the_library_is_listed_shown_copied_and_deleted(library, name):
    async def story(models, _):
        assert [info.name for info in await models.list_models()] == [name]
        await models.copy(name, OTHER)
        assert {info.name for info in await models.list_models()} == {name, OTHER}
        assert (await models.show(OTHER)).info.name == OTHER
        await models.delete(name)
        assert [info.name for info in await models.list_models()] == [OTHER]
        with pytest.raises(ModelNotFound):
            await models.delete(name)
        with pytest.raises(ModelNotFound):
            await models.show(name)
        with pytest.raises(ModelNotFound):
            await models.copy(name, OTHER)

    told(library, story)


def test_what_is_in_memory_is_told_with_its_process_and_its_end(library, name):
    async def story(models, inference):
        assert models.running() == []
        began = time.time()
        await inference.load(name, Options(num_ctx=1024), 100.0)
        (row,) = models.running()
        assert row.info.name == name
        assert row.n_ctx == 1024
        assert row.pid > 0
        assert row.n_resident > 1_000_000
        assert row.n_active == 0
        assert began + 100 <= row.expires_at <= time.time() + 100
        await inference.load(name, Options(), math.inf)
        assert models.running()[0].expires_at == math.inf

    told(library, story)


def test_a_model_that_is_deleted_leaves_memory_first(library, name):
    async def story(models, inference):
        await inference.load(name, Options(), None)
        await models.delete(name)
        assert models.running() == []

    told(library, story)


def test_deleting_one_of_two_names_leaves_the_other_usable(library, name):
    async def story(models, inference):
        await models.copy(name, OTHER)
        await inference.load(OTHER, Options(), None)
        await models.delete(name)
        await inference.load(OTHER, Options(), None)
        assert [row.info.name for row in models.running()] == [OTHER]

    told(library, story)
