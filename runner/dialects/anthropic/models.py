"""``GET /v1/models`` and ``/v1/models/{name}`` as Anthropic's clients read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from runner.dialects import wire
from runner.domain.model import Capability, ModelInfo


def models(found: Sequence[ModelInfo]) -> bytes:
    """Return the library."""
    rows = [_model(info) for info in found]
    ids = [row["id"] for row in rows]
    return wire.encode(
        {
            "data": rows,
            "has_more": False,
            "first_id": ids[0] if ids else None,
            "last_id": ids[-1] if ids else None,
        }
    )


def model(info: ModelInfo) -> bytes:
    """Return one model."""
    return wire.encode(_model(info))


def _model(info: ModelInfo) -> dict[str, Any]:
    """``created_at`` is when it came into the library; its limits are those of its training."""
    created = datetime.fromtimestamp(int(info.modified_at), UTC)
    n_most = info.n_ctx_train or None
    return {
        "type": "model",
        "id": str(info.name),
        "display_name": str(info.name),
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": n_most,
        "max_tokens": n_most,
        "capabilities": _capabilities(set(info.capabilities)),
    }


def _capabilities(known: set[Capability]) -> dict[str, Any]:
    """What requests may ask of it; the keys are a closed list, each of which must be there.

    Whether thoughts may be asked for in a way does not hang on the model: one that has none answers
    without.
    """
    yes, no = {"supported": True}, {"supported": False}
    thinks = {"supported": Capability.THINKING in known}
    return {
        "batch": no,
        "citations": no,
        "code_execution": no,
        "context_management": no,
        "effort": {**thinks, **dict.fromkeys(("low", "medium", "high", "max", "xhigh"), thinks)},
        "image_input": {"supported": Capability.VISION in known},
        "pdf_input": no,
        "server_tools": {**no, "code_execution": no, "web_search": no},
        "structured_outputs": yes,
        "thinking": {
            **thinks,
            "types": {"adaptive": yes, "enabled": yes, "disabled": yes, "between_tools": no},
        },
    }
