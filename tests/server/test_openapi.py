"""``/openapi.json``: it describes all that is served, and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from runner.server.app import make_app
from runner.server.operations import OPERATIONS
from tests.server.conforming import check, told
from tests.server.serving import House

#: What schemathesis is asked to look at: the phase that tries borders one by one, and a few
#: examples of its own; never a stream without an end.
SCHEMATHESIS = (
    *("run", "--no-color", "--seed", "1", "--max-examples", "2", "--phases", "coverage,fuzzing"),
    *("--exclude-path", "/api/events", "--checks"),
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,response_headers_conformance,unsupported_method",
)


def test_every_route_is_described_and_nothing_else():
    house = House()
    app = make_app(house.needs(), house.access())
    served = {f"{route.method} {route.resource.canonical}" for route in app.router.routes()}
    described = {call for calls in OPERATIONS.values() for call in calls}
    # aiohttp answers HEAD wherever it answers GET.
    heads = {call for call in served if call.startswith("HEAD ")} - described
    assert {call.replace("HEAD", "GET") for call in heads} <= served
    assert served - heads == described


def test_the_document_is_served_and_sound(house):
    reply = house.ask("GET", "/openapi.json")
    assert reply.status == 200
    document = reply.json  # read once: it is long
    assert document["openapi"] == "3.1.0"
    assert document["info"] == {"title": "Corral", "version": "9.8.7"}
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    text = json.dumps(document)
    assert "runner" not in text
    for name in text.split('"#/components/schemas/')[1:]:
        assert name.partition('"')[0] in document["components"]["schemas"]
    ids = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert len(set(ids)) == len(ids)
    assert all(each["summary"] for path in document["paths"].values() for each in path.values())


def test_fields_are_those_that_parse_with_their_ranges():
    schemas = told()["components"]["schemas"]
    body = schemas["openai.chat.ChatBody"]
    assert body["required"] == ["model", "messages"]
    assert body["properties"]["temperature"]["maximum"] == 100
    assert "batch" in body["properties"]["priority"]["enum"]
    options = schemas["GenerateBody"]["properties"]["options"]["anyOf"][0]["properties"]
    assert options["top_k"] == {"type": ["integer", "null"], "minimum": 0, "maximum": 2**31 - 1}


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (418, "application/json", b"{}"),
        (200, "text/html", b"<p>"),
        (200, "application/json", b'{"model": 7}'),
        (400, "application/json", b'{"error": {"message": "of another dialect"}}'),
    ],
)
def test_an_answer_that_is_not_described_fails_its_test(status, kind, body):
    with pytest.raises(AssertionError, match=r"may not answer|is not as described"):
        check("POST", "/api/chat", status, kind, body)


@pytest.mark.parametrize("path", ["/rerank", "/v2/rerank", "/score", "/v1/score"])
def test_rerankers_hear_errors_in_one_form(house, path):
    assert house.ask("POST", path, {"model": 7}).json["error"]["param"]


@pytest.mark.clients
@pytest.mark.timeout(600)
def test_schemathesis_finds_no_server_error_and_no_answer_that_is_not_described(served):
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("schemathesis is not installed")
    command = [program, *SCHEMATHESIS, f"{served.url}/openapi.json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=590)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
