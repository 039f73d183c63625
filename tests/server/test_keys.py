"""Keys at the door: who gets in, how far, and in which words others are refused."""

from __future__ import annotations

import pytest

from runner.domain.key import Scope
from tests.fakes.front import ADMIN_KEY, INFER_KEY, MANAGE_KEY, a_key
from tests.fakes.service import model_info
from tests.server.serving import OWNER

CHAT = {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
MESSAGE = CHAT | {"max_tokens": 5}
PAGE = {"Origin": "http://localhost:3000"}


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def locked(house):
    """A house that other machines can reach."""
    house.needs_key, house.loopback_only = True, False
    return house


def test_without_a_key_nobody_gets_in_but_finds_out_what_answers(locked):
    for method, path in (("GET", "/api/tags"), ("POST", "/api/chat"), ("GET", "/none")):
        reply = locked.ask(method, path, CHAT if method == "POST" else None)
        assert (reply.status, reply.json["code"]) == (401, "unauthorized")
        assert reply.headers["WWW-Authenticate"] == "Bearer"
    for path in ("/", "/health", "/api/version", "/api/status"):
        assert locked.ask("GET", path).status == 200
        assert locked.ask("GET", path, headers=bearer("sk-other")).status == 200
    assert locked.inference.requests == []


def test_who_is_refused_hears_it_in_their_own_dialect(locked):
    openai = locked.ask("POST", "/v1/chat/completions", CHAT)
    assert (openai.status, openai.json["error"]["code"]) == (401, "invalid_api_key")
    anthropic = locked.ask("POST", "/v1/messages", MESSAGE, headers={"x-api-key": "sk-ant-x"})
    assert (anthropic.status, anthropic.json["error"]["type"]) == (401, "authentication_error")


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/api/chat", bearer(INFER_KEY)),
        ("/v1/chat/completions", bearer(INFER_KEY)),
        ("/v1/messages", {"x-api-key": INFER_KEY}),
        ("/v1/messages", OWNER),
        ("/api/chat", {"authorization": f"bearer  {INFER_KEY} "}),
    ],
)
def test_a_key_gets_in_by_either_header(locked, path, headers):
    assert locked.ask("POST", path, MESSAGE, headers=headers).status == 200


def test_a_key_of_ours_that_is_wrong_is_refused_even_where_none_is_needed(house):
    assert house.ask("GET", "/api/tags", headers=bearer("corral-wrong")).status == 401
    assert house.ask("GET", "/api/tags", headers=bearer("ollama")).status == 200


ANY_CALLS = [("GET", "/api/tags", None), ("POST", "/api/show", {"model": "smollm2"}),
             ("GET", "/metrics", None), ("GET", "/v1/models/smollm2", None)]  # fmt: skip
INFER_CALLS = [("POST", "/api/chat", CHAT), ("POST", "/api/generate", {"model": "smollm2"})]
MANAGE_CALLS = [("DELETE", "/api/delete", {"model": "smollm2"}), ("GET", "/api/requests", None),
                ("POST", "/api/pull", {"model": "smollm2"}), ("GET", "/api/cache", None),
                ("POST", "/api/unload", {"model": "smollm2"}),
                ("GET", "/api/machine", None)]  # fmt: skip
ADMIN_CALLS = [("GET", "/api/keys", None), ("GET", "/api/settings", None),
               ("GET", "/api/logs", None), ("POST", "/api/keys", {"name": "x"}),
               ("PATCH", "/api/settings", {"keep_alive": "1m"}), ("POST", "/api/shutdown", None),
               ("PUT", "/api/secrets/hf", {"value": "t"}),
               ("DELETE", "/api/keys/infer-id", None)]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "opens"),
    [
        (INFER_KEY, [Scope.INFER]),
        (MANAGE_KEY, [Scope.MANAGE]),
        (ADMIN_KEY, list(Scope)),
    ],
)
@pytest.mark.parametrize(
    ("scope", "method", "path", "body"),
    [(None, *one) for one in ANY_CALLS]
    + [(Scope.INFER, *one) for one in INFER_CALLS]
    + [(Scope.MANAGE, *one) for one in MANAGE_CALLS]
    + [(Scope.ADMIN, *one) for one in ADMIN_CALLS],
)
def test_a_key_opens_what_its_scopes_say(locked, key, opens, scope, method, path, body):
    reply = locked.ask(method, path, body, headers=bearer(key))
    assert (reply.status in (200, 201)) is (scope is None or scope in opens)
    if reply.status not in (200, 201):
        assert (reply.status, reply.json["code"]) == (403, "forbidden")


@pytest.mark.parametrize(("method", "path", "body"), ADMIN_CALLS)
def test_on_this_machine_too_only_the_owner_keeps_the_house(house, method, path, body):
    assert house.ask(method, path, body).status == 403
    assert house.ask(method, path, body, headers=bearer("sk-other")).status == 403
    assert house.ask(method, path, body, headers=OWNER).status in (200, 201)


def test_a_key_that_may_only_infer_takes_no_model_out_of_memory(locked):
    body = {"model": "smollm2", "keep_alive": 0}
    for path in ("/api/generate", "/api/chat"):
        assert locked.ask("POST", path, body, headers=bearer(INFER_KEY)).status == 403
        assert locked.ask("POST", path, body, headers=bearer(ADMIN_KEY)).status == 200
    assert len(locked.inference.unloads) == 2


def test_local_paths_are_for_the_owner_alone(locked):
    body = {"path": "/etc/hostname", "model": "x"}
    assert locked.ask("POST", "/api/pull", body, headers=bearer(ADMIN_KEY)).status == 403
    assert locked.pulls.asked == []
    assert locked.ask("POST", "/api/pull", body, headers=OWNER).status == 200


def test_a_page_with_a_key_may_do_what_the_key_opens(house):
    headers = PAGE | bearer(MANAGE_KEY)
    assert house.ask("POST", "/api/unload", {"model": "smollm2"}, headers=headers).status == 200
    headers = PAGE | bearer(INFER_KEY)
    assert house.ask("POST", "/api/unload", {"model": "smollm2"}, headers=headers).status == 403
    assert house.ask("POST", "/api/show", {"model": "smollm2"}, headers=headers).status == 403


def test_a_request_is_its_keys_and_everybody_else_is_the_user_of_this_machine(house):
    house.ask("POST", "/api/chat", CHAT, headers=bearer(INFER_KEY))
    house.ask("POST", "/api/chat", CHAT)
    house.ask("POST", "/v1/messages", MESSAGE, headers=OWNER)
    keyed, plain, owner = (request.terms for request in house.inference.requests)
    assert (keyed.owner_id, keyed.client_id) == ("infer-id", "infer-id")
    assert plain.owner_id == owner.owner_id == ""
    assert plain.client_id != owner.client_id


def test_a_key_for_some_models_neither_uses_nor_sees_others(locked):
    other = model_info("qwen3")
    locked.models.library[other.name] = other
    locked.keys.by_secret["corral-one"] = a_key(
        "one", scopes=frozenset({Scope.INFER, Scope.MANAGE}), models=("qwen3",)
    )
    headers = bearer("corral-one")
    for path, body in (
        ("/api/chat", CHAT),
        ("/v1/messages", MESSAGE),
        ("/v1/responses", {"model": "smollm2", "input": "Hi"}),
        ("/api/generate", {"model": "smollm2"}),
        ("/api/embed", {"model": "smollm2", "input": "Hi"}),
        ("/api/embed", {"model": "smollm2"}),
        ("/v1/embeddings", {"model": "smollm2", "input": "Hi"}),
        ("/v1/rerank", {"model": "smollm2", "query": "a", "documents": ["b"]}),
        ("/v1/score", {"model": "smollm2", "text_1": "a", "text_2": "b"}),
        ("/api/jobs", {"model": "smollm2"}),
        ("/api/show", {"model": "smollm2"}),
        ("/api/pull", {"model": "smollm2"}),
        ("/api/unload", {"model": "smollm2"}),
        ("/api/copy", {"source": "smollm2", "destination": "qwen3"}),
        ("/api/copy", {"source": "qwen3", "destination": "smollm2"}),
    ):
        reply = locked.ask("POST", path, body, headers=headers)
        assert reply.status == 403, path
        assert b"may not use the model 'smollm2:latest'" in reply.body
    assert locked.inference.requests == locked.inference.loads == locked.pulls.asked == []
    assert locked.ask("GET", "/v1/models/smollm2", headers=headers).status == 403
    for path, rows in (("/api/tags", "models"), ("/api/ps", "models"), ("/v1/models", "data")):
        seen = locked.ask("GET", path, headers=headers).body
        assert b"qwen3" in seen, rows
        assert b"smollm2" not in seen


def test_a_key_that_used_up_its_minute_is_told_how_long_to_wait(locked):
    locked.keys.wait_s = 7.2
    for path, kind in (
        ("/api/chat", lambda reply: reply.json["code"]),
        ("/v1/chat/completions", lambda reply: reply.json["error"]["code"]),
        ("/v1/messages", lambda reply: reply.json["error"]["type"]),
    ):
        reply = locked.ask("POST", path, MESSAGE, headers=bearer(INFER_KEY))
        assert (reply.status, reply.headers["Retry-After"]) == (429, "8")
        assert kind(reply).startswith("rate_limit")
    assert locked.inference.requests == []


def test_only_the_owner_reads_where_files_are(house):
    from runner.errors import StoreError

    house.folders = ("/home/me/.corral", "/home/me")
    house.models.error = StoreError("cannot read /home/me/.corral/models/x", hint="/home/me?")
    for headers, seen in ((None, False), (bearer(ADMIN_KEY), False), (OWNER, True)):
        for path in ("/api/tags", "/v1/models"):
            reply = house.ask("GET", path, headers=headers)
            assert reply.status == 500
            assert (b"/home/me" in reply.body) is seen
            assert b"models/x" in reply.body


@pytest.mark.parametrize("field", ["rate", "scope", "expires_at", "model"])
def test_a_key_is_not_made_without_a_limit_that_was_misspelt(house, field):
    reply = house.ask("POST", "/api/keys", {"name": "x", field: "1"}, headers=OWNER)
    assert (reply.status, reply.json["code"]) == (400, "invalid_request")
    assert f"'{field}'" in reply.json["error"]
