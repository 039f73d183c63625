"""``/api/cache``: the prompts that are kept."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from runner.dialects import wire
from runner.dialects.ollama import rfc3339
from runner.domain.cache import CacheReport, Cleared
from runner.domain.name import ModelName
from runner.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Clear:
    """A call of ``DELETE /api/cache``; ``None``: of all models, owners and conversations."""

    name: ModelName | None
    owner_id: str | None
    conversation_id: str | None = None


class ClearBody(msgspec.Struct):
    """``DELETE /api/cache``; the body may be left out."""

    model: str | None = None
    owner: str | None = None
    conversation: str | None = None


_clear_body = msgspec.json.Decoder(ClearBody)


def parse_clear(body: bytes) -> Clear:
    """Return the call that a body makes.

    Raises:
        RequestError: A field is mistyped, or the name cannot be parsed.
    """
    asked = wire.decode(body, _clear_body) if body.strip() else ClearBody()
    name = None if asked.model is None else ModelName.parse(asked.model)
    if asked.conversation == "":
        raise InvalidRequest("conversation is empty", param="conversation")
    return Clear(name, asked.owner, asked.conversation)


def report(told: CacheReport) -> bytes:
    """Return what ``GET /api/cache`` answers."""
    in_memory = [prompt for prompt in told.prompts if prompt.tier == "memory"]
    return wire.encode(
        {
            "prompts": [
                {
                    "model": prompt.model,
                    "digest": prompt.digest,
                    "owner": prompt.owner_id,
                    "tier": prompt.tier.value,
                    "tokens": prompt.n_tokens,
                    "size": prompt.n_bytes,
                    "created_at": rfc3339(round(prompt.created_s * 1e9)),
                    "last_used_at": rfc3339(round(prompt.used_s * 1e9)),
                }
                for prompt in told.prompts
            ],
            "tiers": {
                "resident": {"tokens": told.n_resident_tokens},
                "memory": {"prompts": len(in_memory), "size": told.n_memory_bytes},
                "disk": {
                    "prompts": len(told.prompts) - len(in_memory),
                    "size": told.n_disk_bytes,
                    "limit": told.n_disk_max,
                },
            },
        }
    )


def cleared(told: Cleared) -> bytes:
    """Return what ``DELETE /api/cache`` answers."""
    return wire.encode({"prompts": told.n_prompts, "size": told.n_bytes})
