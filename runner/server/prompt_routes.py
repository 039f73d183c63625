"""Prompts without answers: tokens of a text, text of tokens, a request rendered."""

from __future__ import annotations

from aiohttp import web

from runner.dialects import ollama_prompts
from runner.dialects.anthropic import answers as anthropic_answers, messages
from runner.dialects.openai import chat as openai_chat, responses, tokens as openai_tokens
from runner.domain.request import InferenceRequest
from runner.server.answers import json_answer, read_body
from runner.server.callers import name_model
from runner.server.needs import NEEDS

routes = web.RouteTableDef()


@routes.post("/api/tokenize")
async def tokenize(request: web.Request) -> web.Response:
    """The tokens of a text."""
    call = ollama_prompts.parse_tokenize(await read_body(request))
    name_model(request, call.name)
    prompt = await request.app[NEEDS].prompts.tokenize(
        call.name, call.text, parse_special=call.parse_special, keep_alive=call.keep_alive
    )
    return json_answer(request, ollama_prompts.tokens(call.model, prompt))


@routes.post("/api/detokenize")
async def detokenize(request: web.Request) -> web.Response:
    """The text of tokens."""
    call = ollama_prompts.parse_detokenize(await read_body(request))
    name_model(request, call.name)
    prompt = await request.app[NEEDS].prompts.detokenize(
        call.name, call.tokens, keep_alive=call.keep_alive
    )
    return json_answer(request, ollama_prompts.text(call.model, prompt))


@routes.post("/api/render")
async def render(request: web.Request) -> web.Response:
    """The prompt that a chat or a generate would begin with, as the model sees it."""
    call = ollama_prompts.parse_render(await read_body(request))
    name_model(request, call.request.model)
    prompt = await request.app[NEEDS].prompts.render(call.request)
    return json_answer(request, ollama_prompts.rendered(call.model, prompt))


@routes.post("/v1/tokenize")
@routes.post("/tokenize")
async def openai_tokenize(request: web.Request) -> web.Response:
    """The tokens of a text or of a conversation."""
    asked = openai_tokens.parse_tokenize(await read_body(request))
    name_model(request, asked.model)
    prompt = await request.app[NEEDS].prompts.render(asked)
    return json_answer(request, openai_tokens.tokenized(prompt))


@routes.post("/v1/detokenize")
@routes.post("/detokenize")
async def openai_detokenize(request: web.Request) -> web.Response:
    """The text of tokens."""
    name, tokens = openai_tokens.parse_detokenize(await read_body(request))
    name_model(request, name)
    prompt = await request.app[NEEDS].prompts.detokenize(name, tokens)
    return json_answer(request, openai_tokens.detokenized(prompt))


@routes.post("/v1/chat/completions/input_tokens")
@routes.post("/chat/completions/input_tokens")
async def count_chat_tokens(request: web.Request) -> web.Response:
    """How many tokens the prompt of a chat completion would have."""
    call = openai_chat.parse(await read_body(request))
    return await _count(request, call.request)


@routes.post("/v1/responses/input_tokens")
@routes.post("/responses/input_tokens")
async def count_response_tokens(request: web.Request) -> web.Response:
    """How many tokens the prompt of a response would have."""
    call = responses.parse(await read_body(request))
    return await _count(request, call.request)


async def _count(request: web.Request, asked: InferenceRequest) -> web.Response:
    name_model(request, asked.model)
    prompt = await request.app[NEEDS].prompts.render(asked)
    return json_answer(request, openai_tokens.counted(prompt))


@routes.post("/apply-template")
async def apply_template(request: web.Request) -> web.Response:
    """The prompt that a chat completion would begin with, as text."""
    call = openai_chat.parse(await read_body(request))
    name_model(request, call.request.model)
    prompt = await request.app[NEEDS].prompts.render(call.request)
    return json_answer(request, openai_tokens.rendered(prompt))


@routes.post("/v1/messages/count_tokens")
async def count_tokens(request: web.Request) -> web.Response:
    """How many tokens the prompt of a message would have."""
    asked = messages.parse_count(await read_body(request))
    name_model(request, asked.model)
    prompt = await request.app[NEEDS].prompts.render(asked)
    return json_answer(request, anthropic_answers.count_answer(len(prompt.tokens)))
