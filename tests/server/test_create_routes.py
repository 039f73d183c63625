"""Making models over HTTP."""

import pytest

from runner.domain.chat import Message
from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.domain.progress import Progress
from runner.errors import BadModelFile, JobUnderWay, TemplateFailed
from tests.server.serving import OWNER, House

DIGEST = "sha256:" + "ab" * 32


def test_every_field_reaches_the_service():
    house = House()
    reply = house.ask(
        "POST",
        "/api/create",
        {
            "model": "mine",
            "from": "smollm2",
            "files": {"sub/a.gguf": DIGEST.upper().replace("SHA256:", "sha256-")},
            "adapters": {"l.gguf": DIGEST},
            "template": "{{ .Prompt }}",
            "license": ["MIT", "other"],
            "system": "",
            "parameters": {"temperature": 0.5, "stop": ["a", "b"]},
            "messages": [{"role": "User", "content": "hi"}],
            "requires": "0.14.0",
        },
    )
    assert reply.status == 200
    assert [line["status"] for line in reply.lines] == ["writing manifest", "success"]
    asked = house.creates.asked[0]
    assert asked.name == ModelName.parse("mine")
    assert asked.bases == (ModelName.parse("smollm2"),)
    assert (asked.files, asked.adapters) == ({"sub/a.gguf": DIGEST}, {"l.gguf": DIGEST})
    assert (asked.template, asked.license, asked.system) == ("{{ .Prompt }}", "MIT\n\nother", "")
    assert asked.options == Options(temperature=0.5, stop=("a", "b"))
    assert asked.messages == (Message("user", "hi"),)
    assert asked.requires == "0.14.0"


def test_without_a_stream_there_is_the_last_word():
    reply = House().ask("POST", "/api/create", {"name": "m", "from": "x", "stream": False})
    assert reply.json == {"status": "success", "name": "mine:latest"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"from": "x"}, "model is required"),
        ({"model": "a b", "from": "x"}, "invalid model name"),
        ({"model": "m"}, "neither 'from' or 'files' was specified"),
        ({"model": "m", "files": {}}, "no files provided to convert"),
        ({"model": "m", "files": {"/etc/a": DIGEST}}, "file path must be relative"),
        ({"model": "m", "files": {"../a": DIGEST}}, "file path must be relative"),
        ({"model": "m", "files": {"a": "sha256:12"}}, "invalid digest format"),
        ({"model": "m", "from": "x", "parameters": {"heat": 1}}, "unknown parameter 'heat'"),
        ({"model": "m", "from": "x", "parameters": {"top_k": "x"}}, "must be of type integer"),
        ({"model": "m", "from": "x", "messages": [{"role": "robot"}]}, "messages[0].role"),
        ({"model": "m", "from": "x", "renderer": "qwen3-coder"}, "renderer is not supported"),
        ({"model": "m", "from": "x", "info": {"context_length": 9}}, "info is not supported"),
        ({"model": "m", "from": "x", "draft_quantize": "Q8_0"}, "draft_quantize is not supported"),
        ({"model": "m", "from": "x", "quantize": "q9"}, "unsupported quantization type q9 - supp"),
        (
            {"model": "m", "from": "x", "quantization": "K"},
            "unsupported quantization type K - supp",
        ),
        ({"model": "m", "from": 7}, "from"),
        ({"model": "m", "paths": ["a.gguf"]}, "is not absolute"),
    ],
)
def test_what_is_wrong_is_named(body, words):
    reply = House().ask("POST", "/api/create", body, headers=OWNER)
    assert reply.status == 400
    assert words in reply.json["error"]


def test_files_of_the_machine_are_for_its_owner():
    body = {"model": "m", "paths": ["/tmp/a.gguf"]}
    assert House().ask("POST", "/api/create", body).status == 403
    assert House().ask("POST", "/api/create", body, headers=OWNER).status == 200


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TemplateFailed("template error: x"), 400),
        (BadModelFile("no GGUF"), 400),
        (JobUnderWay("job 7 is making 'm:latest' already"), 409),
    ],
)
def test_errors_before_the_first_word_have_their_status(error, status):
    house = House()
    house.creates.script = (error,)
    reply = house.ask("POST", "/api/create", {"model": "m", "from": "x"})
    assert (reply.status, reply.json["error"]) == (status, error.message)


def test_errors_after_it_end_the_stream():
    house = House()
    house.creates.script = (Progress("gathering"), BadModelFile("no GGUF"))
    reply = house.ask("POST", "/api/create", {"model": "m", "from": "x"})
    assert reply.status == 200
    assert reply.lines[-1]["error"] == "no GGUF"


def test_a_modelfile_is_looked_at():
    reply = House().ask("POST", "/api/modelfile/check", {"modelfile": "FROM x"})
    finding = {"severity": "error", "line": 2, "message": "FROM x", "hint": "mend it"}
    assert reply.json == {"ok": False, "findings": [finding], "formatted": "FROM x\n"}
    assert House().ask("POST", "/api/modelfile/check", {}).status == 400


def test_pages_may_not_make_models():
    page = {"Origin": "http://localhost:3000"}
    for path in ("/api/create", "/api/modelfile/check"):
        assert House().ask("POST", path, {"model": "m", "from": "x"}, headers=page).status == 403
