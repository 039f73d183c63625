"""Short programs that speak to the daemon, to copy.  Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Snippet:
    """One of them: its heading, a name and not translated, and its text."""

    heading: str
    text: str


def snippets(url: str, model: str) -> list[Snippet]:
    """Return the snippets.

    Args:
        url: The daemon's, without a path.
        model: A model's name.
    """
    name = json.dumps(model, ensure_ascii=False)
    return [
        Snippet("curl", _curl(url, model)),
        Snippet("Python", _python(url, name)),
        Snippet("JavaScript", _javascript(url, name)),
        Snippet("Python (ollama)", _ollama(url, name)),
    ]


def _curl(url: str, model: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    # In a shell's single quotes only a single quote is special.
    text = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    return (
        f"curl {url}/v1/chat/completions \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d '{text}'"
    )


def _python(url: str, name: str) -> str:
    return f"""\
from openai import OpenAI

client = OpenAI(base_url="{url}/v1", api_key="none")
answer = client.chat.completions.create(
    model={name},
    messages=[{{"role": "user", "content": "Hello"}}],
)
print(answer.choices[0].message.content)"""


def _javascript(url: str, name: str) -> str:
    return f"""\
const answer = await fetch("{url}/v1/chat/completions", {{
  method: "POST",
  headers: {{ "Content-Type": "application/json" }},
  body: JSON.stringify({{
    model: {name},
    messages: [{{ role: "user", content: "Hello" }}],
  }}),
}});
console.log((await answer.json()).choices[0].message.content);"""


def _ollama(url: str, name: str) -> str:
    return f"""\
from ollama import Client

client = Client(host="{url}")
for part in client.chat(
    model={name},
    messages=[{{"role": "user", "content": "Hello"}}],
    stream=True,
):
    print(part.message.content, end="", flush=True)"""
