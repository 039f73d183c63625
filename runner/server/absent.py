"""Calls of other servers that are not served here, and what is in their place; a pure table.

They are answered as everything else that is not there, with a hint that leads on.
"""

from __future__ import annotations

#: By path.
INSTEAD = {
    # llama-server's
    "/completion": "POST /v1/completions goes on from a prompt",
    "/infill": "POST /v1/completions fills the gap between its prompt and its suffix",
    "/embedding": "POST /v1/embeddings gives vectors",
    "/props": "POST /api/show tells about a model, GET /api/ps which are loaded",
    "/slots": "GET /api/requests lists what runs and what waits",
    "/lora-adapters": "adapters are named by each request, in its field lora",
    "/models/load": "POST /api/load loads a model",
    "/models/unload": "POST /api/unload ends a model's stay in memory",
    # OpenAI's
    "/v1/chat/completions/control": "DELETE /api/requests/{id} ends a request",
    "/v1/responses/compact": "responses are not kept: send the conversation that is to go on",
}
