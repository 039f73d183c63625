"""Files and names that cannot become a model: refused with the reason, and nothing is left."""

from __future__ import annotations

import pytest

from tests.fakes.models import tiny_model
from tests.live.talk import ask, flat

pytestmark = pytest.mark.live


def damaged(path, how):
    """A tiny model with one thing wrong."""
    data = tiny_model(path).read_bytes()
    match how:
        case "cut in the header":
            data = data[:1000]
        case "cut in the weights":
            data = data[:-5000]
        case "another magic":
            data = b"GGML" + data[4:]
        case "too many keys":
            data = data[:16] + (2**60).to_bytes(8, "little") + data[24:]
        case "a page of a web site":
            data = b"<!doctype html><html>404</html>" * 50
        case "nothing":
            data = b""
        case "noise in the header":
            data = data[:300] + bytes(range(256)) + data[556:]
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("how", "says_where"),
    [
        ("cut in the header", True),
        ("cut in the weights", True),
        ("another magic", False),
        ("too many keys", True),
        ("a page of a web site", False),
        ("nothing", False),
        ("noise in the header", True),
    ],
)
def test_a_damaged_file_is_refused_before_llama_cpp_sees_it(daemon, tmp_path, how, says_where):
    path = damaged(tmp_path / "damaged.gguf", how)
    for stream in (True, False):
        body = {"path": str(path), "model": "damaged", "stream": stream}
        reply = daemon.ask("POST", "/api/pull", body, owner=True)
        assert reply.status == 400, reply.body
        error = flat("ollama", reply.json)
        assert error["code"] == "bad_model_file"
        assert error["hint"]
        if says_where:
            assert any(c.isdigit() for c in error["message"]), error["message"]
            assert "byte" in error["message"] or "offset" in error["message"], error["message"]
    assert ask(daemon, "ollama", "damaged").status == 404


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"path": "relative.gguf"}, 400),
        ({"path": "/nowhere/at-all.gguf"}, 400),
        ({"path": "/"}, 400),
        ({"path": "/dev/zero"}, 400),
        ({"path": "/proc/self/mem"}, 400),
        ({"path": 7}, 400),
        ({"model": "a b"}, 400),
        ({"model": "no-such-model"}, 404),
        ({}, 400),
    ],
)
def test_a_pull_that_cannot_be(daemon, change, status):
    for stream in (True, False):
        reply = daemon.ask("POST", "/api/pull", change | {"stream": stream}, owner=True)
        body = reply.lines[-1] if reply.status == 200 else reply.json
        if reply.status != 200:
            assert reply.status == status or (status == 404 and reply.status == 502), reply.body
        assert flat("ollama", body)["code"] != "internal"
    assert daemon.ask("GET", "/health").status == 200


def test_a_file_may_be_imported_by_the_owner_alone(daemon, tiny):
    reply = daemon.ask("POST", "/api/pull", {"path": str(tiny), "model": "stolen"})
    assert reply.status == 403
    assert flat("ollama", reply.json)["code"] == "forbidden"


def test_a_template_that_reaches_for_python_is_not_taken_in(daemon, tmp_path):
    template = "{{ messages.__class__.__mro__[1].__subclasses__() }}"
    path = tiny_model(tmp_path / "snooping.gguf", template=template, name="snooping")
    reply = daemon.ask("POST", "/api/pull", {"path": str(path), "model": "snooping"}, owner=True)
    assert (reply.status, reply.json["code"]) == (400, "bad_model_file")
    assert "insides" in reply.json["error"]
    assert daemon.ask("POST", "/api/show", {"model": "snooping"}).status == 404
