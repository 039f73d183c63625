"""The pages over the real daemon and a real worker."""

from __future__ import annotations

import threading

import pytest

from gui.contents import pages
from gui.views.downloads_page import DownloadsPage
from gui.views.library_page import LibraryPage
from gui.views.server_page import ServerPage
from runner.domain.job import JobState
from tests.fakes.hub import FakeHub
from tests.fakes.models import tiny_model
from tests.real_daemon import RealDaemon

pytestmark = pytest.mark.live


@pytest.fixture
def daemon(tmp_path, monkeypatch, unused_port):
    tiny = tiny_model(tmp_path / "tiny.gguf", n_ctx_train=65536)
    with RealDaemon(tmp_path / "home", host=f"127.0.0.1:{unused_port}") as daemon:
        monkeypatch.setenv("CORRAL_HOME", str(daemon.home))
        daemon.take_in(tiny, "tiny")
        yield daemon


def test_a_model_is_loaded_unloaded_named_again_and_deleted(daemon, at):
    desk = at(daemon.address)
    page = desk.open(LibraryPage)
    desk.until(lambda: page.details.content.is_shown)
    assert page.details._modelfile.toPlainText()
    page._do("load", page.grid.current)
    assert page.details.row.is_loading
    desk.until(lambda: page.details.row.running is not None)
    assert daemon.running("tiny")
    page._do("unload", page.grid.current)
    desk.until(lambda: page.details.row.running is None)
    desk.link.call(lambda client: client.copy("tiny", "other:1"), lambda _: page.refresh())
    desk.until(lambda: page.table.rowCount() == 2)
    assert page.grid.choose(lambda row: row.name == "other:1")
    assert page.details.row.others == ("tiny:latest",)
    page._delete(page.details.row)
    desk.until(lambda: page.table.rowCount() == 1)
    names = [model["name"] for model in daemon.ask("GET", "/api/tags").json["models"]]
    assert names == ["tiny:latest"]


def test_a_file_of_this_machine_is_imported(daemon, at, tmp_path):
    desk = at(daemon.address)
    page = desk.open(LibraryPage)
    desk.until(lambda: page.content.is_shown)
    page.import_file(tiny_model(tmp_path / "brought.gguf", says="zyx"))
    desk.until(lambda: page.table.rowCount() == 2)
    (tmp_path / "broken.gguf").write_bytes(b"no model")
    page.import_file(tmp_path / "broken.gguf")
    desk.until(lambda: "cannot be imported" in page.banner.text)


def test_a_running_request_is_seen_and_ended(daemon, at):
    body = {"model": "tiny", "prompt": "Hello", "options": {"num_predict": 60000}}
    ended = threading.Event()

    def ask():
        with daemon.stream("/api/generate", body) as answer:
            answer.rest()
        ended.set()

    threading.Thread(target=ask, daemon=True).start()
    desk = at(daemon.address)
    page = desk.open(ServerPage)
    desk.until(lambda: page.requests.rowCount() == 1)
    page.grid.choose(lambda row: True)
    page._abort(page.grid.current)
    desk.until(lambda: page.requests.rowCount() == 0)
    assert ended.wait(60)


def test_a_daemon_that_dies_is_seen_on_every_page_and_comes_back(daemon, at):
    desk = at(daemon.address)
    page = desk.open(ServerPage)
    desk.until(lambda: "It answers" in page.state.text())
    daemon.process.kill()
    daemon.process.wait()
    desk.until(lambda: "does not answer" in page.state.text())
    desk.until(lambda: "corral serve" in page.banner.text)
    daemon.start()
    desk.link.look()
    desk.until(lambda: "It answers" in page.state.text())
    assert page.banner.isHidden()
    assert {"library", "server"} <= {kind.key for kind in pages()}


def test_a_download_from_a_hub_is_begun_seen_and_removed(tmp_path, monkeypatch, at):
    with FakeHub() as hub:
        hub.add("own/slow-GGUF", {"slow-Q4_K_M.gguf": b"GGUF" * 64}, fault="slow")
        with RealDaemon(tmp_path / "home", **hub.environ()) as daemon:
            monkeypatch.setenv("CORRAL_HOME", str(daemon.home))
            desk = at(daemon.address)
            page = desk.open(DownloadsPage)
            desk.until(lambda: page.content.notice.accessibleName() == "No downloads")
            begun = []
            desk.link.call(lambda client: client.begin_pull("hf.co/own/slow-GGUF"), begun.append)
            desk.until(lambda: begun)
            page.refresh()
            desk.until(lambda: page.content.is_shown)
            job = page.grid.current
            assert job.name.startswith("hf.co/own/slow-GGUF")
            page._cancel(job)
            desk.until(lambda: page.table.rows[0].state is JobState.CANCELLED)
            assert page._buttons["resume"].isEnabled()
