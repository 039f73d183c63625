"""The models' folder of a real daemon: moved by its API, kept over a restart."""

from __future__ import annotations

from tests.fakes.gguf_files import write_model
from tests.real_daemon import wait_for


def names(daemon):
    return [row["name"] for row in daemon.ask("GET", "/api/tags").json["models"]]


def test_models_that_were_moved_are_there_for_the_next_daemon(make_daemon, tmp_path):
    daemon = make_daemon().start()
    daemon.take_in(write_model(tmp_path / "small.gguf"), "small")
    folder = tmp_path / "disk" / "models"
    assert daemon.ask("POST", "/api/folder", {"folder": str(folder)}).status == 403
    reply = daemon.ask("POST", "/api/folder", {"folder": str(folder)}, owner=True)
    assert reply.status == 201, reply.body
    assert str(tmp_path).encode() not in daemon.ask("GET", "/api/jobs").body, "anybody reads it"
    path = f"/api/jobs/{reply.json['id']}"
    wait_for(lambda: daemon.ask("GET", path).json["state"] == "done", "the move")
    assert names(daemon) == ["small:latest"]
    assert not (daemon.home / "models").exists()
    daemon.stop()
    (tmp_path / "disk").rename(tmp_path / "gone")
    daemon.start()
    reply = daemon.ask("GET", "/api/tags", owner=True)
    assert reply.status == 500
    assert "the folder of the models is not there" in reply.json["error"]
    (tmp_path / "gone").rename(tmp_path / "disk")
    assert names(daemon) == ["small:latest"]
    told = daemon.ask("GET", "/api/folder", owner=True).json
    assert (told["folder"], told["there"]) == (str(folder), True)
    change = {"folder": None, "move": False}
    assert daemon.ask("POST", "/api/folder", change, owner=True).status == 200
    assert names(daemon) == []
