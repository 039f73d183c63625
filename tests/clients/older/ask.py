"""What clients that want an older client of OpenAI ask; each call ends the process with 0 or not.

    python ask.py NAME URL

Runs with an interpreter of its own, which has them: ``make .venv/.older``.  See ``test_older.py``.
"""

from __future__ import annotations

import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would ask the network on import

SAY_HI = [{"role": "user", "content": "Say hi."}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
        },
    },
}


def litellm_ollama(url: str) -> None:
    """``/api/generate`` and ``/api/chat`` as litellm has them, whole and streamed."""
    import litellm

    for kind in ("ollama", "ollama_chat"):
        common = {
            "model": f"{kind}/smollm2",
            "api_base": url,
            "messages": SAY_HI,
            "max_tokens": 8,
            "temperature": 0,
        }
        whole = litellm.completion(**common)
        assert whole.choices[0].message.content, kind
        assert whole.usage.completion_tokens == 8, kind
        pieces = list(litellm.completion(stream=True, **common))
        text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
        assert text == whole.choices[0].message.content, kind
    found = litellm.embedding(model="ollama/smollm2", input=["hi", "there"], api_base=url)
    assert [len(each["embedding"]) for each in found.data] == [576, 576]


def litellm_openai(url: str) -> None:
    """``/v1``: an answer, a stream, a tool that must be called, a form, vectors."""
    import litellm

    common = {"api_base": f"{url}/v1", "api_key": "any", "temperature": 0}
    whole = litellm.completion("openai/smollm2", SAY_HI, max_tokens=8, **common)
    assert whole.choices[0].finish_reason == "length"
    pieces = list(litellm.completion("openai/smollm2", SAY_HI, max_tokens=8, stream=True, **common))
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert text == whole.choices[0].message.content
    called = litellm.completion(
        "openai/tools",
        [{"role": "user", "content": "The weather in Paris?"}],
        tools=[TOOL],
        tool_choice="required",
        parallel_tool_calls=False,
        max_tokens=60,
        **common,
    )
    assert called.choices[0].message.tool_calls[0].function.name == "weather"
    found = litellm.embedding("openai/smollm2", ["hi"], api_base=f"{url}/v1", api_key="any")
    assert len(found.data[0]["embedding"]) == 576


def litellm_anthropic(url: str) -> None:
    """``/v1/messages``."""
    import litellm

    whole = litellm.completion(
        "anthropic/smollm2", SAY_HI, max_tokens=8, temperature=0, api_base=url, api_key="any"
    )
    assert whole.choices[0].message.content
    assert whole.usage.completion_tokens == 8


def instructor(url: str) -> None:
    """A typed answer by a forced tool, and by a schema."""
    import instructor as library
    from openai import OpenAI
    from pydantic import BaseModel, Field

    class Place(BaseModel):
        city: str = Field(max_length=20)

    for mode in (library.Mode.TOOLS, library.Mode.JSON_SCHEMA):
        client = library.from_openai(OpenAI(base_url=f"{url}/v1", api_key="any"), mode=mode)
        found = client.chat.completions.create(
            model="tools",
            response_model=Place,
            messages=[{"role": "user", "content": "Where is the Eiffel tower?"}],
            max_tokens=60,
            temperature=0,
            max_retries=0,
        )
        assert isinstance(found, Place), mode


def llama_index(url: str) -> None:
    """Its classes for services like OpenAI's: chat, completion, streams, vectors."""
    from llama_index.core.llms import ChatMessage
    from llama_index.embeddings.openai_like import OpenAILikeEmbedding
    from llama_index.llms.openai_like import OpenAILike

    asked = [ChatMessage(role="user", content="Say hi.")]
    for is_chat in (True, False):
        model = OpenAILike(
            model="smollm2",
            api_base=f"{url}/v1",
            api_key="any",
            is_chat_model=is_chat,
            max_tokens=8,
            temperature=0,
        )
        whole = model.chat(asked)
        assert whole.message.content
        assert list(model.stream_chat(asked))[-1].message.content == whole.message.content
        assert model.complete("Once upon a time").text
    vectors = OpenAILikeEmbedding(model_name="smollm2", api_base=f"{url}/v1", api_key="any")
    assert len(vectors.get_text_embedding("hi")) == 576


CALLS = {
    call.__name__: call
    for call in (litellm_ollama, litellm_openai, litellm_anthropic, instructor, llama_index)
}

if __name__ == "__main__":
    CALLS[sys.argv[1]](sys.argv[2])
