"""Answers, from a request to events: a real library and pool, a scripted worker."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from runner.domain.chat import Message
from runner.domain.event import Begun, Finished, FinishReason, TextDelta
from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.domain.request import EmbedRequest, InferenceRequest, Terms
from runner.errors import ModelNotFound, PromptTooLong, Unsupported, WorkerError
from runner.protocol.messages import Generate
from runner.service.inference import InferenceService, _generate
from runner.store.library import Library
from runner.store.manifests import Layer, encode, relative_path
from runner.workers.pool import Pool
from tests.fakes.gguf_files import document, key, tensor
from tests.workers.pieces import SETTINGS, until


@dataclass
class Place:
    """What a test looks at."""

    service: InferenceService
    pool: Pool
    library: Library
    path: Path

    def heard(self, word):
        log = Path(f"{self.path}.log")
        lines = log.read_text().splitlines() if log.exists() else []
        return [line.split()[1:] for line in lines if line.split()[1] == word]

    def mark(self, mark):
        Path(f"{self.path}.{mark}").touch()

    async def events(self, request):
        """What an answer says, and how it ends; each of several begins once."""
        async with aclosing(self.service.infer(request)) as events:
            found = [event async for event in events]
        begun = [event for event in found if isinstance(event, Begun)]
        assert sorted(event.choice for event in begun) == list(range(request.n))
        return [event for event in found if event not in begun]


@asynccontextmanager
async def open_place(library, name, *, context_length=0):
    pool = Pool(replace(SETTINGS, keep_alive_s=300.0))
    service = InferenceService(library, pool, context_length=context_length, memory_bytes=8 << 30)
    try:
        yield Place(service, pool, library, library.model_path(library.find(name)))
    finally:
        await pool.close()


def chat(name, text, **more):
    options = Options(**{key: more.pop(key) for key in list(more) if key in Options.__slots__})
    return InferenceRequest(name, messages=(Message("user", text),), options=options, **more)


def test_an_answer_is_its_text_and_then_its_end(library, name):
    async def story():
        async with open_place(library, name) as place:
            *texts, end = await place.events(chat(name, "say 3"))
            assert texts == [TextDelta("1 "), TextDelta("2 "), TextDelta("3 ")]
            assert isinstance(end, Finished)
            assert end.reason is FinishReason.STOP
            assert end.usage.n_prompt == len("say 3")
            assert end.usage.n_generated == 3
            assert end.timings.total_s >= end.timings.load_s > 0
            assert (end.timings.prompt_s, end.timings.decode_s) == (0.001, 0.002)

    asyncio.run(story())


def test_the_second_answer_does_not_wait_for_a_load(library, name):
    async def story():
        async with open_place(library, name) as place:
            await place.events(chat(name, "say 1"))
            await place.events(chat(name, "say 1"))
            assert len(place.heard("load")) == 1

    asyncio.run(story())


def test_names_of_the_same_weights_share_a_worker(library, name):
    other = ModelName.parse("other")
    library.copy(name, other)

    async def story():
        async with open_place(library, name) as place:
            await place.events(chat(name, "say 1"))
            await place.events(chat(other, "say 1"))
            assert len(place.pool.resident()) == 1

    asyncio.run(story())


def test_a_prompt_that_found_no_memory_is_answered_by_a_worker_with_less(library, name):
    """It begins once for who hears of it, though two processes began with it."""

    async def story():
        async with open_place(library, name) as place:
            await place.events(chat(name, "say 1"))
            *texts, end = await place.events(chat(name, "starve"))
            assert texts == [TextDelta("1 "), TextDelta("2 ")]
            assert end.reason is FinishReason.STOP
            assert len(place.heard("load")) == 2
            (row,) = place.pool.resident()
            assert "memory was short: no memory to compute this step" in row.notes[0]

    asyncio.run(story())


def test_texts_that_found_no_memory_are_embedded_by_a_worker_with_less(library, name):
    async def story():
        async with open_place(library, name) as place:
            found = await place.service.embed(EmbedRequest(name, ("starve", "x")))
            assert found.n_tokens == (6, 1)
            assert len(place.heard("load")) == 2
            with pytest.raises(WorkerError):
                await place.service.embed(EmbedRequest(name, ("die",)))
            assert len(place.heard("load")) == 3, "whatever killed the first kills the second"

    asyncio.run(story())


def test_leaving_an_answer_aborts_it_and_frees_its_lease(library, name):
    async def story():
        async with open_place(library, name) as place:
            events = place.service.infer(chat(name, "on"))
            assert await anext(events) == Begun(n_prompt=2, n_cached=0)
            assert await anext(events) == TextDelta("1 ")
            await events.aclose()
            await until(lambda: place.heard("abort"))
            (row,) = place.pool.resident()
            assert row.n_active == 0

    asyncio.run(story())


@pytest.mark.parametrize(("prompt", "error"), [("refuse", PromptTooLong), ("die", WorkerError)])
def test_what_the_worker_refuses_or_breaks_is_an_error(library, name, prompt, error):
    async def story():
        async with open_place(library, name) as place:
            with pytest.raises(error):
                await place.events(chat(name, prompt))
            assert (await place.events(chat(name, "say 1")))[-1].usage.n_generated == 1

    asyncio.run(story())


def test_a_request_that_a_retiring_worker_did_not_hear_goes_to_the_next(library, name):
    async def story():
        async with open_place(library, name) as place:
            await place.service.load(name, Options(), None)
            place.mark("retire")
            assert len(await place.events(chat(name, "say 2"))) == 3
            assert len(place.heard("load")) == 2

    asyncio.run(story())


def test_a_worker_that_dies_of_a_request_does_not_get_it_again(library, name):
    async def story():
        async with open_place(library, name) as place:
            with pytest.raises(WorkerError):
                await place.events(chat(name, "die"))
            assert len(place.heard("generate")) == 1

    asyncio.run(story())


def test_a_model_that_nobody_has_is_not_found(library, name):
    async def story():
        async with open_place(library, name) as place:
            nobody = ModelName.parse("nobody")
            with pytest.raises(ModelNotFound):
                await place.events(chat(nobody, "say 1"))
            with pytest.raises(ModelNotFound):
                await place.service.load(nobody, Options(), None)
            with pytest.raises(ModelNotFound):
                await place.service.unload(nobody)

    asyncio.run(story())


def test_loading_and_unloading_without_an_answer(library, name):
    async def story():
        async with open_place(library, name) as place:
            assert not await place.service.unload(name)
            assert await place.service.load(name, Options(), 60.0) > 0
            assert len(place.pool.resident()) == 1
            assert await place.service.unload(name)
            assert not place.pool.resident()
            await place.service.load(name, Options(), 0.0)
            await until(lambda: not place.pool.resident())

    asyncio.run(story())


@pytest.mark.parametrize(
    ("asked", "default", "loaded"),
    [(None, 0, 8192), (None, 2048, 2048), (512, 2048, 512), (1 << 20, 0, 8192)],
)
def test_the_context_is_as_asked_else_the_daemons_and_never_beyond_training(
    library, name, asked, default, loaded
):
    async def story():
        async with open_place(library, name, context_length=default) as place:
            await place.service.load(name, Options(num_ctx=asked), None)
            assert place.heard("load") == [["load", str(loaded)]]

    asyncio.run(story())


def test_another_count_of_threads_does_not_make_the_model_load_again(library, name):
    async def story():
        async with open_place(library, name) as place:
            await place.events(chat(name, "say 1"))
            await place.events(chat(name, "say 1", num_thread=0))
            assert len(place.heard("load")) == 1
            await place.events(chat(name, "say 1", num_thread=2))
            assert len(place.heard("load")) == 1
            await until(lambda: place.heard("threads")[-1:] == [["threads", "2"]])

    asyncio.run(story())


def generate_of(library, name, request) -> Generate:
    manifest = library.find(name)
    options = request.options.over(manifest.parameters)
    return _generate(request, manifest, options, n_ctx=100)


@pytest.fixture
def own_words(library, tiny):
    """A model that has a system message and parameters of its own."""
    name = ModelName.parse("wordy")
    steps = library.import_file(
        tiny,
        name,
        provenance={"source": "file"},
        parameters=Options(temperature=0.25, stop=("END",), num_predict=7),
        system="Be brief.",
    )
    list(steps)
    return name


def test_the_models_own_settings_lie_under_the_requests(library, own_words):
    plain = generate_of(library, own_words, chat(own_words, "hi"))
    assert (plain.sampling.temperature, plain.stop, plain.max_tokens) == (0.25, ("END",), 7)
    asked = chat(own_words, "hi", temperature=0.0, stop=(), num_predict=-1)
    over = generate_of(library, own_words, asked)
    assert (over.sampling.temperature, over.stop, over.max_tokens) == (0.0, (), None)


def test_the_models_own_system_message_stands_where_the_request_has_none(library, own_words):
    plain = generate_of(library, own_words, chat(own_words, "hi"))
    assert plain.messages == (Message("system", "Be brief."), Message("user", "hi"))
    turns = (Message("system", "Be long."), Message("user", "hi"))
    own = generate_of(library, own_words, InferenceRequest(own_words, messages=turns))
    assert own.messages == turns


def test_what_may_be_lost_is_as_the_request_says(library, own_words):
    plain = generate_of(library, own_words, chat(own_words, "hi"))
    assert (plain.shifts, plain.truncates, plain.n_keep) == (False, False, 4)
    terms = Terms(is_deterministic=True, owner_id="ann")
    allowed = chat(own_words, "hi", shifts=True, truncates=True, terms=terms, num_keep=-1)
    asked = generate_of(library, own_words, allowed)
    assert (asked.shifts, asked.truncates, asked.n_keep, asked.terms) == (True, True, -1, terms)


def test_a_raw_prompt_gets_nothing_added(library, own_words):
    asked = InferenceRequest(own_words, prompt="once", context=(1, 2), wants_context=True)
    raw = generate_of(library, own_words, asked)
    assert (raw.messages, raw.prompt, raw.context) == (None, "once", (1, 2))
    assert raw.wants_tokens
    assert raw.n_ctx == 100


def test_a_model_that_only_embeds_does_not_chat(library, name, tmp_path):
    path = tmp_path / "embed.gguf"
    keys = [
        key("general.architecture", "str", "bert"),
        key("bert.block_count", "u32", 1),
        key("bert.context_length", "u32", 128),
        key("bert.embedding_length", "u32", 8),
        key("bert.attention.head_count", "u32", 1),
    ]
    path.write_bytes(document(keys, [tensor("token_embd.weight", (8, 3))], data=bytes(96)))
    embedder = ModelName.parse("embedder")
    list(library.import_file(path, embedder, provenance={"source": "file"}))

    async def story():
        async with open_place(library, name) as place:
            with pytest.raises(Unsupported, match="does not support generate"):
                await place.events(chat(embedder, "say 1"))

    asyncio.run(story())


def test_several_answers_share_a_lease_and_only_the_first_counts_the_prompt(library, name):
    async def story():
        async with open_place(library, name) as place:
            events = await place.events(chat(name, "say 3", n=3, seed=5))
            ends = sorted((e for e in events if isinstance(e, Finished)), key=lambda e: e.choice)
            assert [end.choice for end in ends] == [0, 1, 2]
            assert [end.usage.n_prompt for end in ends] == [len("say 3"), 0, 0]
            for choice in range(3):
                mine = [e for e in events if e.choice == choice]
                assert "".join(e.text for e in mine[:-1]) == "1 2 3 "
            (row,) = place.pool.resident()
            assert row.n_active == 0

    asyncio.run(story())


def test_each_of_several_answers_has_a_seed_of_its_own(library, name):
    manifest = library.find(name)
    request = chat(name, "x", n=3, seed=2**32 - 2)
    asked = [_generate(request, manifest, request.options, n_ctx=9, choice=i) for i in range(3)]
    assert [each.sampling.seed for each in asked] == [2**32 - 2, 2**32 - 1, 0]
    assert len({each.request_id for each in asked}) == 3
    free = _generate(chat(name, "x", n=3), manifest, Options(), n_ctx=9, choice=2)
    assert free.sampling.seed is None


def test_leaving_several_answers_aborts_them_all(library, name):
    async def story():
        async with open_place(library, name) as place:
            events = place.service.infer(chat(name, "on", n=3))
            while not isinstance(await anext(events), TextDelta):
                pass
            await events.aclose()
            await until(lambda: len(place.heard("abort")) == 3)

    asyncio.run(story())


def test_guessing_is_as_the_request_says_else_the_model_else_the_daemon(library, own_words):
    """And most tokens at a time likewise."""
    silent = generate_of(library, own_words, chat(own_words, "hi"))
    assert (silent.speculate, silent.n_draft_max) == ("off", None), "unless the daemon is told to"
    request = chat(own_words, "hi", speculate="on", draft_num_predict=5)
    asked = generate_of(library, own_words, request)
    assert (asked.speculate, asked.n_draft_max) == ("on", 5)


def test_a_model_is_loaded_with_the_small_one_that_guesses_for_it(library, name, tmp_path):
    """The layer of the kind ``draft`` is a file of the library like any other."""

    async def story():
        manifest = library.find(name)
        draft = Layer("draft", manifest.model.digest, manifest.model.n_bytes)
        with_draft = replace(manifest, layers=(*manifest.layers, draft))
        path = tmp_path / "models" / "manifests" / relative_path(name)
        path.write_bytes(encode(with_draft))
        async with open_place(library, name) as place:
            prepared = await place.service._prepare(name, Options())
            wanted, options = prepared.wanted, prepared.options
            assert options.speculate == "off", "the daemon's setting lies under all"
            assert not wanted.fixed, "one that shall not guess takes no memory"
            wanted = (await place.service._prepare(name, Options(speculate="auto"))).wanted
            assert wanted.fixed == (("draft_path", str(library.blobs.path(draft.digest))),)
            await place.events(chat(name, "say 1", speculate="auto"))

    asyncio.run(story())


def test_a_load_says_whether_the_model_is_pinned_from_now_on(library, name):
    async def story():
        async with open_place(library, name) as place:
            for pins in (True, None, False, None):
                *_, end = [
                    m async for m in place.service.load_apart(name, Options(), 60, pins=pins)
                ]
                (row,) = place.pool.resident()
                assert end.is_pinned is row.is_pinned
                if pins is not None:
                    assert row.is_pinned is pins

    asyncio.run(story())
