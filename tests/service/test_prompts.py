"""Prompts without answers, and uploads: a real library and pool, a scripted worker."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

import pytest

from runner.domain.chat import Image, Message
from runner.domain.name import ModelName
from runner.domain.request import InferenceRequest
from runner.errors import InvalidRequest, ModelNotFound, Unsupported
from runner.service.blobs import BlobService
from runner.service.inference import InferenceService
from runner.service.prompts import PromptService
from runner.workers.pool import Pool
from tests.workers.pieces import SETTINGS


def ask(library, work):
    """Run ``work`` on a service of ``library``."""

    async def once():
        pool = Pool(replace(SETTINGS, keep_alive_s=300.0))
        inference = InferenceService(library, pool, context_length=0, memory_bytes=8 << 30)
        try:
            return await work(PromptService(inference), inference)
        finally:
            await pool.close()

    return asyncio.run(once())


def test_a_prompt_is_rendered_and_texts_go_to_tokens_and_back(library, name):
    async def work(prompts, _):
        turns = (Message("user", "Hey"),)
        return (
            await prompts.render(InferenceRequest(name, messages=turns)),
            await prompts.tokenize(name, "ab", parse_special=False),
            await prompts.detokenize(name, (104, 105)),
        )

    rendered, tokens, text = ask(library, work)
    assert (rendered.text, rendered.tokens) == ("Hey", tuple(b"Hey"))
    assert rendered.n_ctx == 8192
    assert tokens.tokens == tuple(b"ab")
    assert text.text == "hi"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"prompt": "a", "suffix": "b"}, "library/tiny:latest does not support insert"),
        (
            {"messages": (Message("user", "a", images=(Image(b"x"),)),)},
            "library/tiny:latest does not support vision",
        ),
    ],
)
def test_what_the_model_cannot_do_is_refused_by_name(library, name, asked, words):
    async def work(prompts, inference):
        request = InferenceRequest(name, **asked)
        for attempt in (prompts.render(request), anext(inference.infer(request))):
            with pytest.raises(Unsupported, match=words):
                await attempt

    ask(library, work)


def test_a_model_that_is_not_there_has_no_tokens(library):
    async def work(prompts, _):
        with pytest.raises(ModelNotFound):
            await prompts.tokenize(ModelName.parse("nobody"), "a", parse_special=False)

    ask(library, work)


async def pieces(*chunks):
    for chunk in chunks:
        if isinstance(chunk, Exception):
            raise chunk
        yield chunk


def digest_of(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_an_upload_is_kept_once_under_its_digest(library):
    async def work():
        blobs = BlobService(library)
        digest = digest_of(b"abcdef")
        assert not await blobs.has(digest)
        assert await blobs.receive(digest, pieces(b"abc", b"def"))
        assert not await blobs.receive(digest.upper().replace("SHA256:", "sha256-"), pieces())
        assert await blobs.has(digest)
        assert library.blobs.path(digest).read_bytes() == b"abcdef"

    asyncio.run(work())


@pytest.mark.parametrize(
    ("chunks", "error"),
    [((b"abcdeX",), InvalidRequest), ((b"abc", ConnectionError()), ConnectionError)],
)
def test_an_upload_that_is_not_what_it_says_leaves_nothing(library, chunks, error):
    async def work():
        with pytest.raises(error):
            await BlobService(library).receive(digest_of(b"abcdef"), pieces(*chunks))

    asyncio.run(work())
    assert library.blobs.digests() == {}
    assert list(library.blobs.partial.iterdir()) == []


@pytest.mark.parametrize("text", ["", "x", "sha256:12", "sha256:../../etc", "md5:" + "0" * 64])
def test_what_is_no_digest_is_refused(library, text):
    with pytest.raises(InvalidRequest, match="invalid digest format"):
        asyncio.run(BlobService(library).has(text))
