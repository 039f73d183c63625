"""Writes ``docs/api/compatibility.md``: which fields each call reads, from the types that parse.

What a field does beyond being read stands in ``NOTES``; a field that nobody reads is ignored, but
for those that ``NOTES`` says are refused.  ``--check`` says whether the page is current.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from runner.dialects import (
    making,
    measuring,
    ollama,
    ollama_create,
    ollama_embed,
    ollama_models,
    ollama_prompts,
    rerank,
)
from runner.dialects.anthropic import messages
from runner.dialects.openai import chat, completions, embeddings, responses, tokens

PAGE = Path(__file__).parents[1] / "docs" / "api" / "compatibility.md"

#: Each call and the type of its body.
CALLS: tuple[tuple[str, str, type[msgspec.Struct]], ...] = (
    ("Ollama", "POST /api/generate", ollama.GenerateBody),
    ("Ollama", "POST /api/chat", ollama.ChatBody),
    ("Ollama", "POST /api/embed", ollama_embed.EmbedBody),
    ("Ollama", "POST /api/embeddings", ollama_embed.EmbeddingsBody),
    ("Ollama", "POST /api/show", ollama_models.ShowBody),
    ("Ollama", "POST /api/pull", ollama_models.PullBody),
    ("Ollama", "POST /api/copy", ollama_models.CopyBody),
    ("Ollama", "POST /api/create", ollama_create.CreateBody),
    ("Ollama, our own", "POST /api/tokenize", ollama_prompts.TokenizeBody),
    ("Ollama, our own", "POST /api/detokenize", ollama_prompts.DetokenizeBody),
    ("Ollama, our own", "POST /api/quantize", making.QuantizeBody),
    ("Ollama, our own", "POST /api/perplexity", measuring.PerplexityBody),
    ("Ollama, our own", "POST /api/bench", measuring.BenchBody),
    ("OpenAI", "POST /v1/chat/completions", chat.ChatBody),
    ("OpenAI", "POST /v1/completions", completions.CompletionBody),
    ("OpenAI", "POST /v1/embeddings", embeddings.EmbeddingsBody),
    ("OpenAI", "POST /v1/responses", responses.ResponsesBody),
    ("OpenAI, as rerankers", "POST /v1/rerank", rerank.RerankBody),
    ("OpenAI, as rerankers", "POST /v1/score", rerank.ScoreBody),
    ("OpenAI, as vLLM", "POST /v1/tokenize", tokens.TokenizeBody),
    ("OpenAI, as vLLM", "POST /v1/detokenize", tokens.DetokenizeBody),
    ("Anthropic", "POST /v1/messages", messages.MessagesBody),
    ("Anthropic", "POST /v1/messages/count_tokens", messages.CountBody),
)

#: What is not simply honoured, by call and field.
NOTES: dict[tuple[str, str], str] = {
    ("POST /api/generate", "template"): "in Jinja, or in Go's language",
    (
        "POST /api/generate",
        "suffix",
    ): "by a TEMPLATE's `.Suffix` or the model's tokens for it, else refused",
    (
        "POST /api/generate",
        "images",
    ): "refused by models that read text only, and with `raw` or `suffix`",
    ("POST /api/generate", "truncate"): "false unless set",
    ("POST /api/generate", "shift"): "false unless set",
    ("POST /api/chat", "truncate"): "false unless set",
    ("POST /api/chat", "shift"): "false unless set",
    ("POST /v1/chat/completions", "truncate"): "ours: false unless set",
    ("POST /v1/chat/completions", "shift"): "ours: false unless set",
    ("POST /v1/completions", "shift"): "ours: false unless set",
    ("POST /api/create", "renderer"): "refused: the model's own template is used",
    ("POST /api/create", "parser"): "refused: the template tells",
    ("POST /api/create", "quantize"): "every type of llama.cpp; from F32, F16 or BF16",
    ("POST /api/create", "quantization"): "another name of `quantize`",
    ("POST /api/create", "remote_host"): "refused",
    ("POST /api/create", "info"): "refused: the model's file and template tell",
    ("POST /api/create", "draft_quantize"): "refused: quantize the draft first",
    ("POST /api/create", "paths"): "our own: files of this machine, for the owner",
    ("POST /api/create", "adapter_paths"): "our own, likewise",
    ("POST /api/create", "draft_paths"): "our own, likewise",
    ("POST /api/create", "mirrors"): "our own: other places of `from`",
    ("POST /api/create", "sha256"): "our own: what the weights must be",
    ("POST /api/create", "unset"): "our own: parameters of `from` that the new model has not",
    ("POST /api/quantize", "imatrix"): "a blob's digest, or for the owner a path",
    ("POST /api/quantize", "dry_run"): "answers with sizes instead of a job",
    (
        "POST /v1/chat/completions",
        "functions",
    ): "the older form of `tools`; the answer calls in it, too",
    ("POST /v1/chat/completions", "function_call"): "`none`, `auto` or one function",
    ("POST /v1/chat/completions", "timings_per_token"): "llama-server's: `timings` in the answer",
    (
        "POST /v1/chat/completions",
        "return_progress",
    ): "llama-server's: `prompt_progress` in a stream",
    ("POST /v1/completions", "timings_per_token"): "llama-server's: `timings` in the answer",
    ("POST /v1/completions", "return_progress"): "llama-server's: `prompt_progress` in a stream",
    (
        "POST /v1/responses",
        "include",
    ): "`message.output_text.logprobs`; what else it names is not there to be told",
    ("POST /v1/chat/completions", "audio"): "refused",
    ("POST /v1/chat/completions", "web_search_options"): "refused",
    ("POST /v1/chat/completions", "modalities"): 'refused unless `["text"]`',
    (
        "POST /v1/chat/completions",
        "reasoning_effort",
    ): "where the template does not heed it, a share of the answer's tokens: low 0.2, medium 0.5, "
    "high 0.8, xhigh 0.95",
    (
        "POST /v1/chat/completions",
        "reasoning",
    ): "`effort` as `reasoning_effort`, `max_tokens` as `thinking_budget_tokens`",
    (
        "POST /v1/chat/completions",
        "chat_template_kwargs",
    ): "`enable_thinking`, `thinking` and `reasoning_effort`; others are refused",
    ("POST /v1/chat/completions", "guided_json"): "refused: use `response_format`",
    ("POST /v1/chat/completions", "guided_regex"): "refused: use `regex`",
    ("POST /v1/chat/completions", "guided_choice"): "refused: use `regex`",
    ("POST /v1/chat/completions", "guided_grammar"): "refused: use `grammar` or `lark`",
    ("POST /v1/chat/completions", "structured_outputs"): "refused: use `response_format`",
    ("POST /v1/chat/completions", "thinking_budget_tokens"): "thoughts end after so many tokens",
    ("POST /v1/completions", "best_of"): "refused unless 1 or `n`",
    ("POST /v1/completions", "echo"): "with `logprobs` the prompt's tokens are told, too",
    (
        "POST /v1/completions",
        "suffix",
    ): "by a TEMPLATE's `.Suffix` or the model's tokens for it, else refused",
    ("POST /v1/responses", "previous_response_id"): "refused: responses are not kept",
    ("POST /v1/responses", "conversation"): "refused: conversations are not kept",
    ("POST /v1/responses", "background"): "refused",
    ("POST /v1/responses", "prompt"): "refused",
    (
        "POST /v1/responses",
        "tools",
    ): "functions and namespaces of them; `web_search` is left out, as `warnings` of the answer "
    "says; others refused",
    ("POST /v1/responses", "reasoning"): "a model that knows no thinking answers without",
    ("POST /v1/responses", "store"): "accepted, nothing is kept",
    (
        "POST /v1/messages",
        "thinking",
    ): "thoughts end after `budget_tokens`; a model that knows no thinking answers without",
    ("POST /v1/messages", "metadata"): "accepted, not needed",
    ("POST /v1/messages", "service_tier"): "accepted, there is one",
    ("POST /v1/messages", "container"): "refused",
    ("POST /v1/messages", "mcp_servers"): "refused",
    (
        "POST /v1/messages",
        "messages",
    ): "supported; documents and search results as text, PDFs refused",
}

_USER = {"user": "nobody counts by it", "safety_identifier": "nobody counts by it"}
_CACHE = {
    "prompt_cache_key": "what prompts have in common is found without it",
    "prompt_cache_options": "what prompts have in common is found without it",
    "prompt_cache_retention": "`cache` says where a prompt may be kept",
}
_CLAUDE = {
    "cache_control": "what prompts have in common is found without it",
    "speed": "there is one",
    "user_profile_id": "there are no accounts",
    "workspace_id": "there are no accounts",
}
#: Fields that clients send, that are not read, and why that is no loss; by call.
IGNORED: dict[str, dict[str, str]] = {
    "POST /api/generate": dict.fromkeys(
        ("width", "height", "steps"), "no model here makes pictures"
    ),
    "POST /api/pull": {"insecure": "a hub's address says whether it is asked by HTTPS"},
    "POST /v1/chat/completions": {
        **_USER,
        **_CACHE,
        "store": "nothing is kept",
        "metadata": "it is for what is kept",
        "service_tier": "there is one",
        "moderation": "nobody judges what is said",
        "prediction": "tokens are guessed without it",
        "verbosity": "no model here is told; ask for a short answer in words",
        "sse_ping_interval": "a stream that is silent for ten seconds says so by itself",
        "cache_prompt": "`cache` says what may be kept",
        "id_slot": "there are no slots to choose",
    },
    "POST /v1/completions": {
        "user": "nobody counts by it",
        "cache_prompt": "`cache` says what may be kept",
        "id_slot": "there are no slots to choose",
    },
    "POST /v1/embeddings": {"user": "nobody counts by it"},
    "POST /v1/responses": {
        **_CACHE,
        "safety_identifier": "nobody counts by it",
        "service_tier": "there is one",
        "moderation": "nobody judges what is said",
        "access_programs": "there are no accounts",
        "background_options": "they are for `background`",
        "context_management": "`truncation` says what a conversation may lose",
        "image": "pictures are looked at as they are",
        "max_tool_calls": "it limits tools that run on OpenAI's servers",
        "stream_options": "its one option is about padding",
    },
    "POST /v1/messages": {
        **_CLAUDE,
        "inference_geo": "it is this machine",
        "diagnostics": "nothing is kept",
        "context_management": "nothing is taken out of a conversation",
    },
    "POST /v1/messages/count_tokens": _CLAUDE,
}

_HEAD = """# Which fields are read

Written by `packaging/compatibility.py` from the types that parse requests. A field that is not
listed for a call, or listed as ignored, changes nothing. What a model cannot do (tools, thinking,
images, filling in the middle) is refused with a 400 that names the field; nothing that would change
an answer is dropped in silence. A conversation whose last turn is the assistant's is gone on with,
in every dialect. What OpenAI's clients send without `/v1` in the address is answered alike.
"""


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD]
    dialect = ""
    for name, call, body in CALLS:
        if name != dialect:
            parts.append(f"## {name}\n")
            dialect = name
        rows = [
            f"| `{field.encode_name}` | {NOTES.get((call, field.encode_name), 'supported')} |"
            for field in msgspec.structs.fields(body)
        ]
        rows += [f"| `{field}` | ignored: {why} |" for field, why in IGNORED.get(call, {}).items()]
        parts.append("\n".join([f"### `{call}`\n", "| field | |", "|---|---|", *rows, ""]))
    return "\n".join(parts)


def main(argv: list[str]) -> int:
    """Write the page, or compare; returns 1 when it is not current."""
    if argv[1:] == ["--check"]:
        return int(not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page())
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
