"""Every route, with good bodies and bad ones."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from runner.domain.name import ModelName
from runner.errors import Unsupported
from tests.fakes.service import FINISHED
from tests.server.serving import OWNER, call

CHAT = {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
SMOLLM2 = ModelName.parse("smollm2")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "path", ["/", "/api/version", "/api/status", "/api/tags", "/health", "/v1/models"]
)
def test_what_clients_probe_answers_get_and_head(house, method, path):
    reply = house.ask(method, path)
    assert reply.status == 200
    assert reply.headers["X-Corral-Version"] == "9.8.7"
    assert bool(reply.body) == (method == "GET")


def test_the_root_says_what_clients_look_for(house):
    reply = house.ask("GET", "/")
    assert reply.body == b"Ollama is running"
    assert reply.headers["Content-Type"].startswith("text/plain")


def test_the_status_says_that_nothing_runs_elsewhere(house):
    reply = house.ask("GET", "/api/status")
    assert reply.json == {"cloud": {"disabled": True, "source": "config"}}


def test_version_has_both_numbers(house):
    reply = house.ask("GET", "/api/version")
    assert reply.json == {"version": "0.32.15", "corral": "9.8.7"}
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"


def test_an_empty_library_is_an_array(house):
    house.models.library.clear()
    assert house.ask("GET", "/api/tags").json == {"models": []}
    assert house.ask("GET", "/api/ps").json == {"models": []}
    assert house.ask("GET", "/v1/models").json == {"object": "list", "data": []}


def test_show_takes_either_key_and_hides_long_arrays_unless_asked(house):
    brief = house.ask("POST", "/api/show", {"name": "smollm2"}).json
    assert brief["model_info"]["tokenizer.ggml.tokens"] == []
    assert brief["model_info"]["tokenizer.ggml.scores"] == []
    assert "tokenizer.chat_template" not in brief["model_info"]
    assert "tensors" not in brief
    assert brief["modelfile"] == "FROM smollm2:latest\n"
    full = house.ask("POST", "/api/show", {"model": "smollm2", "verbose": True}).json
    assert len(full["model_info"]["tokenizer.ggml.tokens"]) == 9
    assert full["tensors"][0]["shape"] == [576, 49152]


def test_a_model_that_stays_for_ever_has_a_far_date(house):
    info = house.models.library[SMOLLM2]
    house.models.library[ModelName.parse("other")] = info
    first, second = house.ask("GET", "/api/ps").json["models"]
    assert first["expires_at"].startswith("23")
    assert second["expires_at"] == "2027-01-15T08:00:00.000000000Z"
    assert first["n_steps"] == 17


@pytest.mark.parametrize("path", ["/api/generate", "/api/chat"])
def test_a_call_with_nothing_to_answer_loads_or_unloads(house, path):
    loaded = house.ask("POST", path, {"model": "smollm2", "options": {"num_ctx": 99}})
    assert loaded.headers["Content-Type"] == "application/json; charset=utf-8"
    assert loaded.json["done_reason"] == "load"
    assert loaded.json["done"] is True
    assert house.inference.loads[0][1].num_ctx == 99
    unloaded = house.ask("POST", path, {"model": "smollm2", "keep_alive": 0}).json
    assert unloaded["done_reason"] == "unload"
    assert house.inference.resident == set()


def test_unloading_says_whether_it_was_there_and_refuses_an_unknown_name(house):
    house.inference.resident.add(SMOLLM2)
    assert house.ask("POST", "/api/unload", {"model": "smollm2"}).json == {"unloaded": True}
    assert house.ask("POST", "/api/unload", {"model": "smollm2"}).json == {"unloaded": False}
    assert house.ask("POST", "/api/unload", {"model": "nope"}).status == 404
    assert house.ask("POST", "/api/chat", {"model": "nope", "keep_alive": 0}).status == 404


def test_copy_and_delete_answer_200_with_nothing(house):
    reply = house.ask("POST", "/api/copy", {"source": "smollm2", "destination": "mine"})
    assert (reply.status, reply.body) == (200, b"")
    reply = house.ask("DELETE", "/api/delete", {"name": "mine"})
    assert (reply.status, reply.body) == (200, b"")
    assert house.ask("DELETE", "/api/delete", {"model": "mine"}).status == 404


@pytest.mark.parametrize(
    ("path", "header"), [("/v1/messages", "request-id"), ("/v1/chat/completions", "x-request-id")]
)
def test_every_answer_has_the_id_that_clients_look_for(house, path, header):
    whole = house.ask("POST", path, CHAT | {"max_tokens": 5})
    failed = house.ask("POST", path, {"model": "nobody"})
    assert whole.status == 200
    ids = {
        value
        for reply in (whole, failed)
        for name, value in reply.headers.items()
        if name.lower() == header  # aiohttp spells some as it likes
    }
    assert len(ids) == 2
    assert all(each.startswith("req_") for each in ids)


def test_push_is_refused_in_clear_words(house):
    reply = house.ask("POST", "/api/push", {"model": "smollm2"})
    assert reply.status == 400  # not 501: clients ask again after any status from 500 on
    assert reply.json["code"] == "unsupported"


def test_a_body_in_another_encoding_than_it_says_is_refused_in_our_words(house):
    reply = house.ask("POST", "/api/chat", CHAT, headers={"Content-Encoding": "gzip"})
    assert reply.status == 400
    assert reply.json["error"] == "the body cannot be read"
    assert reply.json["hint"]


def test_an_encoding_that_nobody_here_reads_is_named(house, monkeypatch):
    monkeypatch.setattr("aiohttp.http_parser.HAS_ZSTD", False)
    reply = house.ask("POST", "/api/chat", CHAT, headers={"Content-Encoding": "zstd"})
    assert reply.status == 415
    assert "Content-Encoding" in reply.json["error"]


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages"])
def test_a_body_that_is_not_encoded_as_it_says_is_told_so_and_is_no_error_of_ours(
    house, path, caplog
):
    reply = house.ask("POST", path, raw=b"{not packed}", headers={"Content-Encoding": "gzip"})
    assert reply.status == 400
    assert b"cannot be read" in reply.body
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("encoding", ["compress", "x-gzip", "gzip, gzip", "rot13"])
@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages"])
def test_an_encoding_that_nobody_knows_is_not_taken_for_none(house, path, encoding):
    body = CHAT | {"model": "smollm2", "max_tokens": 4}
    reply = house.ask("POST", path, body, headers={"Content-Encoding": encoding})
    assert reply.status == 415
    assert b"Content-Encoding" in reply.body
    plain = house.ask("POST", path, body, headers={"Content-Encoding": " Identity"})
    assert plain.status == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", CHAT),
        ("/api/generate", {"model": "", "prompt": "Hi"}),
        ("/api/embed", {"input": "Hi"}),
        ("/v1/chat/completions", CHAT),
        ("/v1/completions", {"prompt": "Hi"}),
        ("/v1/responses", {"input": "Hi"}),
        ("/v1/embeddings", {"input": "Hi"}),
        ("/v1/messages", CHAT | {"max_tokens": 1}),
    ],
)
@pytest.mark.parametrize("name", ["nobody", "nobody:latest", "Nobody/Here"])
def test_a_model_that_is_not_there_is_named_as_the_caller_named_it(house, path, body, name):
    reply = house.ask("POST", path, body | {"model": name})
    assert reply.status == 404
    error = reply.json["error"]
    assert (error if isinstance(error, str) else error["message"]) == f"model '{name}' not found"


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("DELETE", "/api/delete", {"model": "Nobody"}, "model 'Nobody' not found"),
        ("DELETE", "/api/delete", {"name": "x/nobody:1b"}, "model 'x/nobody:1b' not found"),
        ("POST", "/api/unload", {"model": "nobody"}, "model 'nobody' not found"),
        ("POST", "/api/copy", {"source": "nobody", "destination": "b"}, 'model "nobody" not found'),
    ],
)
def test_what_is_to_be_changed_and_is_not_there_is_named_so_too(house, method, path, body, said):
    reply = house.ask(method, path, body)
    assert (reply.status, reply.json["error"]) == (404, said)


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("DELETE", "/api/delete", {"model": "../x"}, 'name "../x" is invalid'),
        ("POST", "/api/copy", {"source": "a b", "destination": "b"}, 'source "a b" is invalid'),
        ("POST", "/api/copy", {"source": "b", "destination": ""}, 'destination "" is invalid'),
        ("POST", "/api/create", {"model": "a b", "from": "c"}, "invalid model name"),
        ("POST", "/api/create", {"model": "a", "from": "../c"}, "invalid model name"),
        ("POST", "/api/pull", {"model": "a//b/c"}, "invalid model name"),
        ("POST", "/api/chat", {"model": "-"}, "invalid model name"),
    ],
)
def test_a_name_that_can_be_none_is_told_as_ollama_tells_it(house, method, path, body, said):
    reply = house.ask(method, path, body)
    assert (reply.status, reply.json["error"]) == (400, said)
    assert "invalid model name" in reply.json["hint"]


@pytest.mark.parametrize(
    ("path", "lacks", "said"),
    [
        ("/api/chat", "thinking", '"SmolLM2" does not support thinking'),
        ("/api/chat", "generate", '"SmolLM2" does not support chat'),
        ("/api/generate", "generate", '"SmolLM2" does not support generate'),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_what_a_model_cannot_do_is_said_of_the_name_that_was_sent(house, path, lacks, said, stream):
    house.inference.script = [Unsupported(f'"SmolLM2:latest" does not support {lacks}')]
    asked = {"prompt": "Hi", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    reply = house.ask("POST", path, {"model": "SmolLM2", **asked})
    assert (reply.status, reply.json["error"]) == (400, said)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/completions", CHAT),
        ("/completions", {"prompt": "Hi"}),
        ("/responses", {"input": "Hi"}),
        ("/embeddings", {"input": "Hi"}),
    ],
)
def test_clients_of_openais_that_leave_out_the_version_are_answered_alike(house, path, body):
    body = body | {"model": "smollm2"}
    plain, whole = house.ask("POST", path, body), house.ask("POST", f"/v1{path}", body)
    assert (plain.status, whole.status) == (200, 200)
    assert plain.json.keys() == whole.json.keys()
    wrong, whole = (house.ask("POST", at, body | {"model": 7}) for at in (path, f"/v1{path}"))
    assert (wrong.status, wrong.json) == (whole.status, whole.json)
    assert wrong.json["error"]["param"] == "model"


@pytest.mark.parametrize("path", ["/models", "/health"])
def test_what_is_asked_without_a_version_is_told_as_with_one(house, path):
    assert house.ask("GET", path).json == house.ask("GET", f"/v1{path}").json


def test_what_only_other_servers_offer_is_absent_with_words_that_lead_on(house):
    reply = house.ask("POST", "/completion", {"prompt": "Hi"})
    assert reply.status == 404
    assert "/v1/completions" in reply.json["error"]["hint"]
    assert house.ask("GET", "/slots").status == 404


def test_anthropics_clients_are_told_of_an_unknown_path_in_their_form(house):
    reply = house.ask("POST", "/v1/messages/batches", {})
    assert reply.status == 404
    assert (reply.json["type"], reply.json["error"]["type"]) == ("error", "not_found_error")


def test_an_unknown_path_and_a_wrong_method(house):
    reply = house.ask("GET", "/api/nothing")
    assert (reply.status, reply.body) == (404, b"404 page not found")
    assert reply.headers["X-Corral-Version"] == "9.8.7"
    reply = house.ask("GET", "/v1/nothing")
    assert reply.status == 404
    assert reply.json["error"]["type"] == "not_found_error"
    for path in ("/api/show", "/v1/chat/completions"):
        reply = house.ask("GET", path)
        assert reply.status == 405
        assert reply.headers["Allow"] == "POST"
        assert "error" in reply.json
        assert reply.headers["X-Corral-Version"] == "9.8.7"


def test_the_body_is_json_whatever_its_type_says(house):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert house.ask("POST", "/api/chat", CHAT, headers=form).json["message"]["content"] == "Hello"


POSTS = ["/api/generate", "/api/chat", "/api/show", "/api/pull", "/api/copy", "/api/unload"]


@pytest.mark.parametrize("path", [*POSTS, "/v1/chat/completions"])
@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "missing request body"),
        (b" \n", "missing request body"),
        (b'{"model": ', "line 1 column 11"),
        (b'{"model": "x"} tail', "line 1 column 16"),
        (b"{'model': 1}", "line 1 column 2"),
        (b'"text"', "the body must be an object, not a string"),
        (b'{"model": NaN}', "NaN"),
        (b'{"model": "\xff"}', "not UTF-8 at byte 11"),
        (b"[" * 100_000, "invalid JSON"),
        (b'{"a":' * 100_000, "invalid JSON"),
        (b"\x00\x01", "invalid JSON"),
    ],
)
def test_a_body_that_is_no_json_object_is_a_400_that_says_where(house, path, raw, says):
    reply = house.ask("POST", path, raw=raw)
    assert reply.status == 400
    told = reply.json["error"]
    assert says in (told["message"] if path.startswith("/v1") else told)


def test_a_wrong_type_names_the_field_and_both_types(house):
    reply = house.ask("POST", "/api/chat", {"model": "x", "messages": [{"role": 1}]})
    assert reply.status == 400
    assert reply.json["error"] == "'messages[0].role' must be a string, not an integer"
    reply = house.ask("POST", "/v1/chat/completions", CHAT | {"top_p": "high"})
    assert reply.json["error"] == {
        "message": "'top_p' must be a number, not a string",
        "type": "invalid_request_error",
        "param": "top_p",
        "code": "invalid_request",
    }


def test_a_body_too_large_is_a_413_announced_or_not(house, monkeypatch):
    monkeypatch.setattr("runner.server.answers.MAX_BODY", 1000)
    monkeypatch.setattr("runner.server.app.MAX_BODY", 1000)
    for path in ("/api/chat", "/v1/chat/completions"):
        reply = house.ask("POST", path, raw=b" " * 1001)
        assert reply.status == 413
        assert "larger than" in str(reply.json["error"])

    async def chunked():
        async def body():
            yield b" " * 600
            yield b" " * 600

        async with house.serve() as session, session.post("/api/chat", data=body()) as response:
            return response.status

    assert asyncio.run(chunked()) == 413


def test_a_broken_compressed_body_is_a_400(house):
    reply = house.ask("POST", "/api/chat", raw=b"not gzip", headers={"Content-Encoding": "gzip"})
    assert reply.status == 400


def test_a_lone_surrogate_in_a_prompt_becomes_a_replacement_character(house):
    raw = b'{"model":"smollm2","prompt":"a\\ud83d b \\ud83d\\ude00","stream":false}'
    assert house.ask("POST", "/api/generate", raw=raw).status == 200
    assert house.inference.requests[0].messages[0].content == "a\ufffd b \U0001f600"


def test_a_pull_of_a_path_needs_the_owner_and_an_absolute_path(house, tmp_path):
    body = {"path": str(tmp_path / "x.gguf"), "name": "mine"}
    assert house.ask("POST", "/api/pull", body).status == 403
    assert house.ask("POST", "/api/pull", body, headers={"Authorization": "Bearer x"}).status == 403
    assert house.pulls.asked == []
    assert house.ask("POST", "/api/pull", body, headers=OWNER).status == 200
    assert house.pulls.asked == [(tmp_path / "x.gguf", ModelName.parse("mine"))]
    assert house.ask("POST", "/api/pull", {"path": body["path"]}, headers=OWNER).status == 200
    assert house.pulls.asked[1][1] is None
    assert house.ask("POST", "/api/pull", {"path": "x.gguf"}, headers=OWNER).status == 400


def test_only_the_owner_ends_the_daemon(house):
    assert house.ask("POST", "/api/shutdown").status == 403
    assert house.ask("POST", "/api/shutdown", headers={"Authorization": "Bearer no"}).status == 403
    assert house.shutdowns == []
    assert house.ask("POST", "/api/shutdown", headers=OWNER).status == 200
    assert house.shutdowns == ["asked"]


def test_many_streams_at_once_keep_apart(house):
    async def many():
        async with house.serve() as session:
            asks = (
                call(session, "POST", "/api/chat", CHAT | {"stream": n % 2 == 0}) for n in range(40)
            )
            return await asyncio.gather(*asks)

    for n, reply in enumerate(asyncio.run(many())):
        lines = [json.loads(line) for line in reply.body.splitlines()]
        assert "".join(line["message"]["content"] for line in lines) == "Hello"
        assert len(lines) == (3 if n % 2 == 0 else 1)


def test_what_is_kept_of_prompts_is_listed_without_their_text(house):
    told = house.ask("GET", "/api/cache").json
    on_disk, in_memory = told["prompts"]
    assert on_disk == {
        "model": "smollm2:latest",
        "digest": "sha256:" + "cd" * 32,
        "owner": "",
        "tier": "disk",
        "tokens": 2000,
        "size": 46_080_000,
        "created_at": "2023-11-14T22:13:20.500000000Z",
        "last_used_at": "2023-11-14T22:15:00.000000000Z",
    }
    assert in_memory["tier"] == "memory"
    assert told["tiers"] == {
        "resident": {"tokens": 480},
        "memory": {"prompts": 1, "size": 46_080_000},
        "disk": {"prompts": 1, "size": 46_080_000, "limit": 1 << 30},
    }


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (None, (None, None)),
        ({}, (None, None)),
        ({"model": "smollm2"}, (SMOLLM2, None)),
        ({"owner": "a"}, (None, "a")),
        ({"model": "smollm2", "owner": ""}, (SMOLLM2, "")),
    ],
)
def test_kept_prompts_are_cleared_as_asked(house, body, asked):
    assert house.ask("DELETE", "/api/cache", body).json == {"prompts": 2, "size": 92_160_000}
    assert house.cache.cleared == [asked]


def test_one_conversation_is_cleared_by_its_name(house):
    body = {"model": "smollm2", "conversation": "chat 7"}
    assert house.ask("DELETE", "/api/cache", body).status == 200
    assert (house.cache.cleared, house.cache.conversations) == ([(SMOLLM2, None)], ["chat 7"])


@pytest.mark.parametrize(
    "body", [{"model": 1}, {"model": "a b"}, {"owner": []}, {"conversation": ""}, []]
)
def test_clearing_what_cannot_be_named_clears_nothing(house, body):
    assert house.ask("DELETE", "/api/cache", body).status == 400
    assert house.cache.cleared == []


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_kept_prompts_are_no_business_of_web_pages(house, method):
    page = {"Origin": "http://localhost:3000"}
    assert house.ask(method, "/api/cache", headers=page).status == 403
    assert house.ask(method, "/api/cache", headers=page | OWNER).status == 200


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
@pytest.mark.parametrize("word", ["none", "memory", "disk", None])
def test_a_request_says_where_its_prompt_may_be_kept(house, path, word):
    house.ask("POST", path, CHAT | {"cache": word})
    assert house.inference.requests[0].terms.cache == (word or "disk")


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/v1/chat/completions"])
@pytest.mark.parametrize("word", ["", "ram", "DISK", True, 1, ["none"], {}])
def test_a_place_that_there_is_not_is_refused_by_name(house, path, word):
    reply = house.ask("POST", path, CHAT | {"prompt": "Hi", "cache": word})
    assert reply.status == 400
    assert b"cache must be one of none, memory, disk" in reply.body
    assert house.inference.requests == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/v1/chat/completions"])
def test_an_answer_tells_what_the_cache_had_when_asked(house, path, stream):
    house.inference.script = (replace(FINISHED, n_diverged=7),)
    for asked, told in ((True, {"cached_tokens": 4, "first_divergence": 7}), (False, None)):
        body = CHAT | {"prompt": "Hi", "stream": stream, "cache_report": asked}
        reply = house.ask("POST", path, body)
        if stream:
            objects = reply.frames if path.startswith("/v1") else reply.lines
        else:
            objects = [reply.json]
        assert objects[-1].get("cache") == told
        assert all("cache" not in one for one in objects[:-1])


def test_ollamas_answers_tell_how_much_of_the_prompt_was_cached(house):
    assert house.ask("POST", "/api/chat", CHAT).json["prompt_eval_cached_count"] == 4
