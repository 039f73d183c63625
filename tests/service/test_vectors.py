"""Vectors and scores, from a request to a worker and back: a real library, a scripted worker."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import replace

import pytest

from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.domain.request import EmbedRequest, RerankRequest
from runner.errors import BadModelFile, ModelNotFound, PromptTooLong, Unsupported, WorkerError
from runner.service.inference import InferenceService
from runner.store.blobs import Partial
from runner.store.library import Library
from runner.store.manifests import ADAPTER, Layer
from runner.tools.convert.convert import convert
from runner.workers.pool import Pool
from tests.fakes.adapters import adaptable_model, adapter
from tests.fakes.bert_folder import bert_folder
from tests.service.test_inference import chat, open_place
from tests.workers.pieces import SETTINGS, until


def take_in(library: Library, path, text: str) -> ModelName:
    name = ModelName.parse(text)
    for _ in library.import_file(path, name, provenance={"source": "test"}):
        pass
    return name


@pytest.fixture
def ranker(library, tmp_path):
    convert(bert_folder(tmp_path / "cross", head=True), tmp_path / "cross.gguf")
    return take_in(library, tmp_path / "cross.gguf", "cross")


def test_each_input_has_its_vector_and_the_second_call_no_load(library, name):
    async def story():
        async with open_place(library, name) as place:
            asked = EmbedRequest(name, ("a", "bcd"), n_dimensions=2, options=Options(num_ctx=100))
            found = await place.service.embed(asked)
            assert [struct.unpack("<2f", v) for v in found.vectors] == [(1, 2), (3, 2)]
            assert (found.n_tokens, found.n_dimensions) == ((1, 3), 2)
            assert found.timings.total_s >= found.timings.load_s > 0
            assert found.timings.prompt_s == 0.001
            await place.service.embed(replace(asked, inputs=((1, 2, 3),)))
            assert len(place.heard("load")) == 1
            assert place.heard("embed")[0] == ["embed", "100"]

    asyncio.run(story())


def test_what_the_worker_refuses_or_dies_of_is_raised(library, name):
    async def story():
        async with open_place(library, name) as place:
            with pytest.raises(PromptTooLong, match="6 tokens"):
                await place.service.embed(EmbedRequest(name, ("refuse",)))
            with pytest.raises(WorkerError):
                await place.service.embed(EmbedRequest(name, ("die",)))
            await place.service.embed(EmbedRequest(name, ("next",)))
            with pytest.raises(ModelNotFound):
                await place.service.embed(EmbedRequest(ModelName.parse("nothing"), ("x",)))

    asyncio.run(story())


def test_a_client_that_leaves_aborts_its_vectors(library, name):
    async def story():
        async with open_place(library, name) as place:
            asking = asyncio.create_task(place.service.embed(EmbedRequest(name, ("hang",))))
            await until(lambda: place.heard("embed"))
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await until(lambda: place.heard("abort"))
            (row,) = place.pool.resident()
            assert row.n_active == 0

    asyncio.run(story())


def test_a_worker_that_retired_before_it_heard_is_replaced(library, name):
    async def story():
        async with open_place(library, name) as place:
            await place.service.embed(EmbedRequest(name, ("x",)))
            place.mark("retire")
            await place.service.embed(EmbedRequest(name, ("y",)))
            assert len(place.heard("load")) == 2

    asyncio.run(story())


def test_a_reranker_scores_and_does_nothing_else(library, name, ranker):
    async def story():
        async with open_place(library, ranker) as place:
            found = await place.service.rerank(RerankRequest(ranker, "q", ("a", "bcd")))
            assert found.scores == (1.0, 3.0)
            (row,) = place.pool.resident()
            assert not row.worker.channel.exited.done()
            with pytest.raises(Unsupported, match="does not support generate"):
                await place.events(chat(ranker, "say 1"))
            with pytest.raises(Unsupported, match="does not support rerank"):
                await place.service.rerank(RerankRequest(name, "q", ("a",)))

    asyncio.run(story())


def adapted(library: Library, folder, text: str, **more) -> ModelName:
    """A model in the library with one adapter."""
    name = take_in(library, adaptable_model(folder / f"{text}.gguf"), text)
    path = adapter(folder / f"{text}-adapter.gguf", **more)
    partial = Partial(library.blobs.partial)
    partial.write(path.read_bytes())
    partial.sync()
    layer = Layer(ADAPTER, partial.digest, partial.n_bytes)
    partial.move_to(library.blobs.path(layer.digest))
    manifest = library.find(name)
    library.add(replace(manifest, layers=(*manifest.layers, layer)))
    return name


def test_a_model_and_the_same_with_an_adapter_do_not_share_a_worker(library, tmp_path):
    plain = take_in(library, adaptable_model(tmp_path / "p.gguf"), "plain")
    name = adapted(library, tmp_path, "adapted")
    assert library.find(plain).model == library.find(name).model
    service = InferenceService(library, Pool(SETTINGS), context_length=0, memory_bytes=8 << 30)

    async def story():
        one = (await service._prepare(plain, Options())).wanted
        other = (await service._prepare(name, Options())).wanted
        assert one.key != other.key
        assert one.adapters == ()
        assert len(other.adapters) == 1

    asyncio.run(story())


def test_an_adapter_of_another_model_is_refused_before_the_load(library, tmp_path):
    name = adapted(library, tmp_path, "wrong", architecture="qwen2")

    async def story():
        async with open_place(library, name) as place:
            with pytest.raises(BadModelFile, match="architecture 'qwen2'"):
                await place.events(chat(name, "say 1"))

    asyncio.run(story())
