"""The client against a daemon that answers, fails, stalls and breaks off."""

import math
import socket
import threading

import pytest

from runner.client.client import Client
from runner.domain.chat import Message
from runner.domain.event import Finished, TextDelta
from runner.domain.options import Options
from runner.domain.request import Priority
from runner.domain.running import RequestState
from runner.errors import DaemonError, Forbidden, ModelNotFound, RequestNotFound, WorkerError
from tests.fakes.daemon import TOKEN, FakeDaemon, Script

HELLO = [Message("user", "Hello")]


@pytest.fixture
def daemon():
    with FakeDaemon() as daemon:
        yield daemon


@pytest.fixture
def client(daemon):
    return Client(daemon.url, TOKEN)


def test_the_library_and_the_memory_are_listed(client):
    assert [str(model.name) for model in client.list_models()] == ["smollm2:latest"]
    (running,) = client.running()
    assert (running.pid, running.n_steps, running.n_tokens) == (4711, 17, 230)


def test_requests_are_listed_and_cancelled(daemon, client):
    (request,) = client.requests()
    assert (request.id, request.state, request.position) == ("7", RequestState.QUEUED, 2)
    assert (request.priority, request.client_id) == (Priority.BATCH, "127.0.0.1:4711")
    client.cancel("7")
    assert client.requests() == []
    with pytest.raises(RequestNotFound, match="'a%2Fb%20c'"):
        client.cancel("a/b c")


def test_a_class_is_sent_when_there_is_one(daemon, client):
    for priority in (None, Priority.INTERACTIVE):
        with client.chat("smollm2", HELLO, priority=priority) as answer:
            list(answer)
    first, second = daemon.bodies("/api/chat")
    assert "priority" not in first
    assert second["priority"] == "interactive"


def test_an_answer_comes_in_pieces_and_ends_with_counts(daemon, client):
    with client.chat("smollm2", HELLO) as answer:
        *texts, finished = answer
    assert texts == [TextDelta("Blue"), TextDelta(" light"), TextDelta(" scatters.")]
    assert isinstance(finished, Finished)
    assert finished.usage.n_generated == 3


def test_only_what_is_set_is_sent(daemon, client):
    list(client.chat("smollm2", HELLO))
    list(client.generate("smollm2", "x", options=Options(seed=7), keep_alive=math.inf))
    (chat,) = daemon.bodies("/api/chat")
    (generate,) = daemon.bodies("/api/generate")
    assert chat == {"model": "smollm2", "messages": [{"role": "user", "content": "Hello"}]}
    assert generate["options"] == {"seed": 7}
    assert generate["keep_alive"] == -1


def test_nothing_is_sent_before_the_first_piece_is_asked_for(daemon, client):
    with client.chat("smollm2", HELLO):
        pass
    assert daemon.requests == []


def test_a_missing_model_is_named(client):
    with pytest.raises(ModelNotFound, match="'qwen' not found") as caught:
        client.show("qwen")
    assert caught.value.name == "qwen"
    assert caught.value.hint == "download it with: corral pull qwen"
    with pytest.raises(ModelNotFound):
        list(client.chat("qwen", HELLO))


def test_an_error_in_the_midst_of_an_answer_keeps_its_words(daemon, client):
    daemon.script.event = "fail"
    answer = client.chat("smollm2", HELLO)
    assert next(answer) == TextDelta("Blue")
    with pytest.raises(WorkerError, match="the worker died") as caught:
        next(answer)
    assert caught.value.hint == "try again"


def test_a_connection_that_breaks_is_no_end_of_an_answer(daemon, client):
    daemon.script.event = "cut"
    answer = client.chat("smollm2", HELLO)
    assert next(answer) == TextDelta("Blue")
    with pytest.raises(DaemonError, match="lost before the answer ended"):
        next(answer)


def test_an_answer_that_ends_without_its_last_line_is_not_whole(daemon, client):
    daemon.script.pull = [{"status": "pulling manifest"}]
    with pytest.raises(DaemonError, match="lost before the answer ended"):
        list(client.pull("smollm2"))


def test_closing_an_answer_leaves_the_daemon(daemon, client):
    daemon.script.event = "stall"
    with client.chat("smollm2", HELLO) as answer:
        assert next(answer) == TextDelta("Blue")
    assert daemon.left.wait(60)
    assert list(answer) == []


def test_an_answer_that_was_closed_before_it_began_asks_nothing(daemon, client):
    answer = client.pull("smollm2")
    answer._exchange.close()  # as from another thread, before the first piece is asked for
    assert list(answer) == []
    assert not daemon.bodies("/api/pull")


def test_another_thread_can_close_an_answer_that_waits(daemon, client):
    daemon.script.event = "stall"
    answer = client.chat("smollm2", HELLO)
    assert next(answer) == TextDelta("Blue")
    rest = []
    reader = threading.Thread(target=lambda: rest.extend(answer))
    reader.start()
    answer.close()
    reader.join(60)
    assert not reader.is_alive()
    assert rest == []


def test_a_local_file_is_sent_as_an_absolute_path_and_comes_back_with_a_name(
    daemon, client, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Tiny.gguf").touch()
    with client.pull("", (tmp_path / "Tiny.gguf").relative_to(tmp_path)) as steps:
        phases = [step.phase for step in steps]
    assert phases[-1] == "success"
    assert steps.last["name"] == "tiny:latest"
    (body,) = daemon.bodies("/api/pull")
    assert body["path"] == str(tmp_path / "Tiny.gguf")


def test_without_the_token_the_owner_is_not_believed(daemon):
    with pytest.raises(Forbidden):
        Client(daemon.url).shutdown()
    assert not daemon.over.is_set()


def test_names_are_copied_deleted_and_unloaded(daemon, client):
    client.copy("smollm2", "other")
    assert client.unload("smollm2") is True
    assert client.unload("smollm2") is False
    client.delete("smollm2")
    assert client.list_models() == []


def test_a_proxy_in_the_environment_is_not_asked(client, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert client.version().corral == "0.1.0"


def test_nobody_there_is_said_with_the_place_and_the_way_out(unused_port):
    with pytest.raises(DaemonError, match=f"127.0.0.1:{unused_port}") as caught:
        Client(f"http://127.0.0.1:{unused_port}").list_models()
    assert "corral serve" in caught.value.hint


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, {"error": "out of luck"}, r"out of luck \(HTTP 500\)"),
        (500, ["?"], r'HTTP 500: \["\?"\]'),
        (200, ["?"], "HTTP 200"),
    ],
)
def test_a_refusal_without_our_words_keeps_its_own(status, body, words):
    script = Script(failures={"/api/tags": (status, body)})
    with FakeDaemon(script) as daemon, pytest.raises(DaemonError, match=words):
        Client(daemon.url).list_models()


@pytest.mark.parametrize(
    ("raw", "words"),
    [(b"", "closed the connection"), (b"SSH-2.0-x\r\n", "does not speak HTTP")],
)
def test_a_program_that_speaks_something_else_is_told_apart(raw, words):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            peer, _ = server.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(raw)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DaemonError, match=words):
            Client(f"http://127.0.0.1:{server.getsockname()[1]}").version()
        thread.join()
