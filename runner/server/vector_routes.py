"""Vectors and scores, in Ollama's, OpenAI's and the rerankers' forms."""

from __future__ import annotations

import time

from aiohttp import web

from runner.dialects import ollama_embed, rerank, wire
from runner.dialects.openai import embeddings as openai_embeddings
from runner.domain.request import EmbedRequest
from runner.domain.vectors import Embeddings
from runner.errors import PromptTooLong, RequestError
from runner.server.answers import json_answer, read_body
from runner.server.callers import name_model
from runner.server.needs import NEEDS
from runner.server.request_routes import with_terms

routes = web.RouteTableDef()


@routes.post("/api/embed")
async def embed(request: web.Request) -> web.Response:
    """A vector for each input; without inputs the model is loaded."""
    call = ollama_embed.parse_embed(await read_body(request))
    if not call.request.inputs:
        load_s = await _load(request, call.request)
        return json_answer(request, ollama_embed.empty_answer(call, load_s=load_s))
    try:
        found = await _embed(request, call.request, call.model)
    except PromptTooLong as error:
        raise ollama_embed.too_long(call, error) from None
    return json_answer(request, ollama_embed.embed_answer(call, found))


@routes.post("/api/embeddings")
async def embeddings(request: web.Request) -> web.Response:
    """The older call: one vector, not normalised."""
    call = ollama_embed.parse_embeddings(await read_body(request))
    if not call.request.inputs:
        await _load(request, call.request)
        return json_answer(request, wire.encode({"embedding": []}))
    found = await _embed(request, call.request, call.model)
    return json_answer(request, ollama_embed.embeddings_answer(found))


@routes.post("/v1/embeddings")
@routes.post("/embeddings")
async def openai(request: web.Request) -> web.Response:
    """A vector for each input."""
    call = openai_embeddings.parse(await read_body(request))
    found = await _embed(request, call.request, call.model)
    return json_answer(request, openai_embeddings.answer(call, found))


@routes.post("/v1/rerank")
@routes.post("/v1/reranking")
@routes.post("/v2/rerank")
@routes.post("/rerank")
@routes.post("/reranking")
async def reranked(request: web.Request) -> web.Response:
    """Documents in the order in which they answer the query."""
    call = rerank.parse(await read_body(request))
    found = await request.app[NEEDS].inference.rerank(with_terms(request, call.request))
    return json_answer(request, rerank.answer(call, found))


@routes.post("/v1/score")
@routes.post("/score")
async def score(request: web.Request) -> web.Response:
    """A score for each text, in their order."""
    call = rerank.parse_score(await read_body(request))
    found = await request.app[NEEDS].inference.rerank(with_terms(request, call.request))
    return json_answer(request, rerank.score_answer(call, found, created=int(time.time())))


async def _embed(request: web.Request, asked: EmbedRequest, written: str) -> Embeddings:
    try:
        return await request.app[NEEDS].inference.embed(with_terms(request, asked, written))
    except RequestError as error:
        # What comes from the engine has lost its field, and it can only be this one.
        if error.code == "prompt_too_long":
            error.param = "input"
        raise


async def _load(request: web.Request, asked: EmbedRequest) -> float:
    name_model(request, asked.model)
    inference = request.app[NEEDS].inference
    return await inference.load(asked.model, asked.options, asked.keep_alive, None)
