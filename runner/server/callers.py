"""Who calls: the owner, the holder of a key, or anybody; and what that lets them do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from aiohttp import web

from runner.domain.key import Scope
from runner.domain.loading import LoadMoment
from runner.domain.model import ModelInfo, RunningModel
from runner.domain.name import ModelName
from runner.errors import Forbidden, Unauthorized
from runner.server import scopes
from runner.server.access import Access
from runner.server.answers import facts_of
from runner.server.front import Keys
from runner.server.marks import Caller, caller_of

Row = TypeVar("Row", RunningModel, LoadMoment)

_KEY_HINT = "the owner makes keys with: corral keys add NAME"


def identify(request: web.Request, access: Access, keys: Keys) -> Caller:
    """Return who calls, and count the call.

    On a daemon that needs no key, a key that cannot be ours is nobody's: clients of other
    products send one to every address.

    Raises:
        Unauthorized: A key is needed, and there is none or it is not valid.
        TooManyRequests: The key has used up its minute.
    """
    resource = resource_of(request)
    authorization = request.headers.get("Authorization", "")
    sent = [_bearer(authorization), request.headers.get("x-api-key", "").strip()]
    if any(access.is_token(one) for one in sent):
        return Caller(is_owner=True)
    credential = next((one for one in sent if one), "")
    if scopes.is_open(resource) or not (access.needs_key or access.is_key(credential)):
        return Caller()
    if not credential:
        raise Unauthorized("an API key is needed here", hint=_KEY_HINT)
    key = keys.find(credential)
    keys.admit(key)
    return Caller(key=key)


def check_scope(request: web.Request, caller: Caller) -> None:
    """Let pass what the caller may do.

    Raises:
        Forbidden: Something else is needed; the message says what.
    """
    scope = scopes.needed(resource_of(request))
    if scope is None or (caller.key is None and scope is not Scope.ADMIN):
        return
    _require(caller, scope)


def require_manager(request: web.Request, reason: str) -> None:
    """Let only callers pass who may manage models.

    Raises:
        Forbidden: This one may not; ``reason`` says why it must.
    """
    caller = caller_of(request)
    if not caller.is_owner and (caller.key is None or not caller.key.opens(Scope.MANAGE)):
        raise Forbidden(reason, hint=_KEY_HINT + " --scope manage")


def require_owner(request: web.Request, reason: str) -> None:
    """Let only the owner's own programs pass.

    Raises:
        Forbidden: The request does not carry the owner's token; ``reason`` says why it must.
    """
    if not caller_of(request).is_owner:
        raise Forbidden(reason, hint="use the corral command, which sends the owner's token")


def name_model(request: web.Request, name: ModelName) -> None:
    """Say which model a request is about; called before anything is done with it.

    Raises:
        Forbidden: The caller's key is for other models.
    """
    facts_of(request).model = str(name)
    key = caller_of(request).key
    if key is not None and not key.allows_model(name):
        raise Forbidden(
            f"this API key may not use the model '{name}'",
            hint=f"it is for: {', '.join(key.models)}",
        )


def allowed(request: web.Request, models: Sequence[ModelInfo]) -> list[ModelInfo]:
    """Return those of ``models`` that the caller may name."""
    key = caller_of(request).key
    return [info for info in models if key is None or key.allows_model(info.name)]


def known(request: web.Request, rows: Sequence[Row]) -> list[Row]:
    """Return those of ``rows`` whose model the caller may name."""
    key = caller_of(request).key
    return [row for row in rows if key is None or key.allows_model(row.info.name)]


def resource_of(request: web.Request) -> str:
    """Return the route's own text, ``/v1/models/{name}``; empty when there is no such route."""
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical


def _require(caller: Caller, scope: Scope) -> None:
    if caller.is_owner or (caller.key is not None and caller.key.opens(scope)):
        return
    if caller.key is None:
        raise Forbidden(
            "only the owner may do this",
            hint="use the corral command, which sends the owner's token, or an admin key",
        )
    raise Forbidden(
        f"this API key does not open '{scope}'",
        hint=f"it opens: {', '.join(sorted(caller.key.scopes))}",
    )


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
