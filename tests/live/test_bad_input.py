"""Bad input of every kind, in both dialects: a proper error each, and the daemon goes on."""

from __future__ import annotations

import json
import time
from contextlib import closing

import pytest

from tests.fakes.models import BOMB, ENDLESS, RAISING, tiny_model
from tests.live.talk import PATHS, answers_well, flat, question
from tests.real_daemon import wait_for

pytestmark = [pytest.mark.live, pytest.mark.parametrize("dialect", PATHS)]


def refused(daemon, dialect, *, raw=None, body=None, status, code, openai_code=""):
    """The error that a bad body gets, once its form has been checked."""
    reply = daemon.ask("POST", PATHS[dialect], body, raw=raw)
    assert reply.status == status, reply.body
    assert reply.headers["Content-Type"].startswith("application/json")
    assert reply.headers["X-Corral-Version"]
    error = flat(dialect, reply.json)
    assert error["code"] == (openai_code if dialect == "openai" and openai_code else code)
    assert error["message"]
    return error


@pytest.mark.parametrize("stream", [True, False])
def test_a_missing_model(daemon, dialect, stream):
    body = question(dialect, "nobody", stream=stream)
    error = refused(daemon, dialect, body=body, status=404, code="model_not_found")
    assert "model 'nobody" in error["message"]
    assert "corral pull nobody" in error["hint"]
    if dialect == "openai":
        assert (error["type"], error["param"]) == ("not_found_error", "model")


@pytest.mark.parametrize("name", ["a b", "../../etc/passwd", "x" * 4000, "a:b:c", "\x00", "ä", ":"])
def test_a_name_that_cannot_be_parsed(daemon, dialect, name):
    body = question(dialect, name)
    error = refused(daemon, dialect, body=body, status=400, code="invalid_name")
    assert len(error["message"]) < 1000


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'"x"',
        b"1e",
        b'{"model": }',
        b"[" * 100_000,
        b"{}{}",
    ],
)
def test_a_body_that_is_no_json_object(daemon, dialect, raw):
    refused(daemon, dialect, raw=raw, status=400, code="invalid_request")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "user", "content": 7}]}, "content"),
        ({"messages": [7]}, "messages"),
        ({"stream": "yes"}, "stream"),
        ({"model": 7}, "model"),
    ],
)
def test_a_field_of_the_wrong_type(daemon, dialect, change, named):
    body = question(dialect) | change
    error = refused(daemon, dialect, body=body, status=400, code="invalid_request")
    assert named in error["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("temperature", -1), ("temperature", "hot"), ("top_p", 1.5), ("temperature", 10**400)],
)
def test_a_setting_out_of_range(daemon, dialect, field, value):
    change = {field: value} if dialect == "openai" else {"options": {field: value}}
    error = refused(
        daemon, dialect, body=question(dialect) | change, status=400, code="invalid_request"
    )
    assert field in error["message"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_prompt_longer_than_the_context(daemon, dialect, stream):
    """Nothing is cut off in silence: both counts are told, where no larger context can be."""
    n_ctx = daemon.running("tiny").get("context_length") or 32768
    body = question(dialect, content="x" * (65536 + 10), stream=stream)
    error = refused(
        daemon, dialect, body=body, status=400, code="prompt_too_long",
        openai_code="context_length_exceeded",
    )  # fmt: skip
    counts = [int(word) for word in error["message"].replace(",", "").split() if word.isdigit()]
    assert counts[0] > counts[1] == n_ctx
    assert "num_ctx" in error["hint"]
    answers_well(daemon)


@pytest.fixture(scope="module")
def broken_templates(daemon, tmp_path_factory):
    folder = tmp_path_factory.mktemp("templates")
    templates = {
        "raising": RAISING,
        "endless": ENDLESS,
        "bomb": BOMB,
        "wrong": "{% if %}",
    }
    for name, template in templates.items():
        path = folder / f"{name}.gguf"
        daemon.take_in(tiny_model(path, template=template, name=name, n_ctx_train=65536), name)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("raising", "only two turns, please"),
        ("endless", "did not end within 2 seconds"),
        ("bomb", ""),
        ("wrong", "line 1"),
    ],
)
def test_a_template_that_fails_costs_one_request(daemon, dialect, broken_templates, model, said):
    body = question(dialect, model)
    error = refused(daemon, dialect, body=body, status=400, code="template_failed")
    assert said in error["message"]
    assert error["hint"]
    answers_well(daemon)
    # The model itself still works where its template is not asked.
    raw = {"model": model, "prompt": "hi", "raw": True, "stream": False}
    reply = daemon.ask("POST", "/api/generate", raw | {"options": {"num_predict": 2}})
    assert reply.status == 200, reply.body


def test_a_template_that_does_not_end_delays_nobody_else(daemon, dialect, broken_templates):
    raw = {"model": "endless", "prompt": "hi", "raw": True, "stream": False}
    daemon.ask("POST", "/api/generate", raw | {"options": {"num_predict": 1}})
    with daemon.stream(
        "/api/generate", {"model": "endless", "prompt": "hi", "raw": True}
    ) as answer:
        answer.line()
        stuck = daemon.send("POST", PATHS[dialect], question(dialect, "endless"))
        with closing(stuck):
            began, n_lines = time.monotonic(), 0
            while time.monotonic() - began < 1.0:
                assert json.loads(answer.line())["response"]
                n_lines += 1
            assert stuck.getresponse().status == 400
    assert n_lines > 2


def test_a_model_that_llama_cpp_refuses_fails_with_its_own_reason(daemon, dialect, tmp_path):
    path = tiny_model(tmp_path / "odd.gguf")
    path.write_bytes(path.read_bytes().replace(b"blk.0.ffn_up.weight", b"blk.0.ffn_xx.weight"))
    daemon.take_in(path, "odd")
    body = question(dialect, "odd")
    error = refused(daemon, dialect, body=body, status=500, code="worker_failed")
    assert "tensor 'blk.0.ffn_up.weight' not found" in error["message"]
    assert "corral daemon logs" in error["hint"]
    answers_well(daemon)


def test_a_path_that_is_not_there(daemon, dialect):
    path = "/v1/nothing" if dialect == "openai" else "/api/nothing"
    assert daemon.ask("GET", path).status == 404
    assert daemon.ask("GET", PATHS[dialect]).status == 405


def test_the_log_of_all_this_has_no_traceback(daemon, dialect):
    answers_well(daemon)
    wait_for(lambda: daemon.running("tiny").get("n_active") == 0, "rest")
    assert "Traceback" not in daemon.log
    assert "unexpected error" not in daemon.log
