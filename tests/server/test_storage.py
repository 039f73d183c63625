"""``/api/du``, ``folder``, ``verify``, ``repair`` and ``prune``, read back by our own client."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.client import decode_storage
from runner.domain.name import ModelName
from runner.domain.storage import Repaired
from runner.errors import ModelNotFound
from tests.fakes.folders import FOLDER, FOLDER_PLAN
from tests.fakes.service import DISK_USE, VERIFIED
from tests.server.serving import OWNER

SMOL = ModelName.parse("smollm2")


def test_what_takes_the_room_comes_back_as_it_was(house):
    reply = house.ask("GET", "/api/du", headers=OWNER)
    assert reply.status == 200
    assert decode_storage.disk_use(reply.json) == DISK_USE


def test_only_the_owner_hears_where_the_library_is(house):
    told = decode_storage.disk_use(house.ask("GET", "/api/du").json)
    assert told == replace(DISK_USE, folder="")


@pytest.mark.parametrize("is_dry", [True, False])
def test_what_was_pruned_comes_back_as_it_was(house, is_dry):
    told = decode_storage.pruned(house.ask("POST", "/api/prune", {"dry_run": is_dry}).json)
    assert (told.is_dry, told.n_bytes, told.files[0].path) == (is_dry, 5, "blobs/sha256-cdcd")
    assert house.storage.asked == [is_dry]


def test_a_look_at_all_models_needs_no_body(house):
    reply = house.ask("POST", "/api/verify")
    assert [line["status"] for line in reply.lines] == ["verifying", "success"]
    assert decode_storage.verified(reply.lines[-1]) == VERIFIED
    assert house.storage.asked == [(None, False)]


def test_a_deep_look_without_a_stream_is_one_object(house):
    body = {"model": "smollm2", "deep": True, "stream": False}
    reply = house.ask("POST", "/api/verify", body)
    assert decode_storage.verified(reply.json) == VERIFIED
    assert house.storage.asked == [(SMOL, True)]


def test_a_repair_says_what_it_did(house):
    reply = house.ask("POST", "/api/repair", {"model": "smollm2"})
    assert decode_storage.repaired(reply.lines[-1]) == Repaired(SMOL, 1, 91_000_000, 4096)


@pytest.mark.parametrize("path", ["/api/verify", "/api/repair"])
def test_a_model_that_is_not_there_is_a_plain_404(house, path):
    house.storage.script = (ModelNotFound("smollm2"),)
    assert house.ask("POST", path, {"model": "smollm2"}).status == 404


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/api/verify", {"deep": "yes"}, "deep"),
        ("/api/verify", {"model": 7}, "model"),
        ("/api/verify", {"model": "a b"}, "a b"),
        ("/api/repair", {}, "model"),
        ("/api/prune", {"dry_run": 1}, "dry_run"),
    ],
)
def test_a_bad_field_is_named(house, path, body, word):
    reply = house.ask("POST", path, body)
    assert reply.status == 400
    assert word in reply.body.decode()
    assert not house.storage.asked


def test_where_the_models_are_comes_back_as_it_was(house):
    assert decode_storage.folder(house.ask("GET", "/api/folder", headers=OWNER).json) == FOLDER
    assert house.ask("GET", "/api/folder").status == 403


@pytest.mark.parametrize(("more", "verb"), [({"dry_run": True}, "plan"), ({"move": False}, "use")])
def test_another_folder_is_looked_at_or_only_used(house, more, verb):
    reply = house.ask("POST", "/api/folder", {"folder": "/mnt/other", **more}, headers=OWNER)
    assert (reply.status, reply.json["ok"]) == (200, False)
    assert decode_storage.folder_plan(reply.json) == FOLDER_PLAN
    assert house.places.asked == [(verb, "/mnt/other")]


@pytest.mark.parametrize(("folder", "asked"), [("/mnt/other", "/mnt/other"), (None, "")])
def test_a_move_answers_with_its_job(house, folder, asked):
    reply = house.ask("POST", "/api/folder", {"folder": folder}, headers=OWNER)
    assert (reply.status, reply.json["id"], reply.json["kind"]) == (201, 7, "move")
    assert house.places.asked == [("move", asked)]


@pytest.mark.parametrize(
    ("body", "said"),
    [({}, "folder"), ({"folder": 7}, "folder"), ({"folder": " "}, "folder is empty"),
     ({"folder": "/x", "move": "no"}, "move"), ({"folder": "/x", "dry_run": 1}, "dry_run")],
)  # fmt: skip
def test_a_wrong_field_of_a_folder_is_named(house, body, said):
    reply = house.ask("POST", "/api/folder", body, headers=OWNER)
    assert reply.status == 400
    assert said in reply.json["error"]
    assert not house.places.asked
