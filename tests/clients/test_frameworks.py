"""Frameworks on top of the official clients, as they come: llama-index, llm, pydantic-ai."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.clients,
    pytest.mark.anyio,
    pytest.mark.usefixtures("left_behind"),
    pytest.mark.filterwarnings("ignore"),  # of packages that are not ours
]

WHY = "not installed: make .venv/.test"


@pytest.fixture
def anyio_backend():
    return "asyncio"


def test_llama_index_chats_completes_and_streams(daemon):
    ollama = pytest.importorskip("llama_index.llms.ollama", reason=WHY)
    types = pytest.importorskip("llama_index.core.llms", reason=WHY)
    model = ollama.Ollama(
        model="smollm2",
        base_url=daemon.url,
        temperature=0,
        context_window=2048,
        request_timeout=100,
        additional_kwargs={"num_predict": 8},
    )
    asked = [types.ChatMessage(role="user", content="Say hi.")]
    whole = model.chat(asked)
    assert whole.message.content
    pieces = list(model.stream_chat(asked))
    assert pieces[-1].message.content == whole.message.content
    assert model.complete("Once upon a time").text
    assert list(model.stream_complete("Once"))[-1].text


def test_llama_index_gets_an_answer_in_its_own_type(daemon):
    ollama = pytest.importorskip("llama_index.llms.ollama", reason=WHY)
    prompts = pytest.importorskip("llama_index.core.prompts", reason=WHY)
    from pydantic import BaseModel, Field

    class Place(BaseModel):
        city: str = Field(max_length=20)

    model = ollama.Ollama(
        model="smollm2", base_url=daemon.url, temperature=0, context_window=2048,
        request_timeout=100, additional_kwargs={"num_predict": 100},
    )  # fmt: skip
    found = model.structured_predict(Place, prompts.PromptTemplate("Name the capital of France."))
    assert isinstance(found, Place)


def test_llama_index_gets_vectors(daemon):
    ollama = pytest.importorskip("llama_index.embeddings.ollama", reason=WHY)
    model = ollama.OllamaEmbedding(model_name="smollm2", base_url=daemon.url)
    one, two = model.get_text_embedding_batch(["hi", "there"])
    assert len(one) == len(two) == 576
    assert all(isinstance(number, float) for number in one)


async def test_pydantic_ai_answers_streams_and_fills_in_a_type(daemon):
    ai = pytest.importorskip("pydantic_ai", reason=WHY)
    from pydantic import BaseModel, Field
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    class Place(BaseModel):
        city: str = Field(max_length=20)

    provider = OpenAIProvider(base_url=f"{daemon.url}/v1", api_key="any")
    settings = {"temperature": 0, "max_tokens": 150}
    plain = ai.Agent(OpenAIChatModel("smollm2", provider=provider), model_settings=settings)
    said = await plain.run("Say hi.")
    assert said.output
    assert said.usage.output_tokens > 0
    async with plain.run_stream("Say hi.") as stream:
        assert [piece async for piece in stream.stream_text()][-1] == said.output
    typed = ai.Agent(
        OpenAIChatModel("tools", provider=provider), output_type=Place, model_settings=settings
    )
    assert isinstance((await typed.run("Where is the Eiffel tower?")).output, Place)


def test_llm_prompts_through_its_plugin(daemon, tmp_path):
    pytest.importorskip("llm_ollama", reason=WHY)
    env = os.environ | {"OLLAMA_HOST": daemon.url, "LLM_USER_PATH": str(tmp_path)}

    def run(*words):
        done = subprocess.run(
            [sys.executable, "-m", "llm", *words], env=env, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=110,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "smollm2:latest" in run("ollama", "models")
    options = ("-o", "num_predict", "8", "-o", "temperature", "0")
    assert run("-m", "ollama/smollm2:latest", *options, "Say hi.").strip()
    assert run("-m", "ollama/smollm2:latest", "--no-stream", *options, "Say hi.").strip()
    schema = json.dumps({"type": "object", "properties": {"city": {"type": "string"}}})
    answer = run("-m", "ollama/smollm2:latest", "--schema", schema, "-o", "num_predict", "60",
                 "-o", "temperature", "0", "The capital of France.")  # fmt: skip
    assert answer.lstrip().startswith("{")
