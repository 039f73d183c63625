"""Headers of files that lie elsewhere: the same as read from here, for a fraction of the bytes."""

import random

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from runner.errors import BadModelFile, SourceError
from runner.gguf.reader import read_header, read_open
from runner.hub.ranged import RangedFile
from runner.hub.source import Candidate, RemoteFile
from tests.fakes.file_server import Fault, FileServer
from tests.fakes.models import tiny_model

MIB = 1 << 20
PATH = "/m.gguf"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tiny_model(tmp_path_factory.mktemp("ranged") / "m.gguf")
    with path.open("ab") as file:
        file.write(random.Random(3).randbytes(6 * MIB))
    return path


@pytest.fixture(scope="module")
def server(model):
    with FileServer({PATH: model.read_bytes()}) as server:
        yield server


@pytest.fixture(autouse=True)
def _sound(server):
    server.faults.clear()


def remote(server, *others, path=PATH):
    places = tuple(Candidate(one.url(path)) for one in others)
    n_bytes = len(server.files[path])
    return RemoteFile("m.gguf", server.url(path), False, n_bytes, candidates=places)


def test_a_header_is_the_same_from_afar_and_costs_little(server, model):
    file = RangedFile(remote(server))
    header = read_open(file, "m.gguf", file.n_bytes)
    file.close()
    assert header == read_header(model)
    assert file.n_fetched <= 2 * MIB < file.n_bytes


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.tuples(st.integers(0, 3 * MIB), st.integers(1, MIB)), max_size=8))
def test_what_is_read_is_what_stands_there(server, model, steps):
    """Wherever one goes, forwards as a header is read, or back."""
    content = model.read_bytes()
    file = RangedFile(remote(server))
    try:
        for offset, n_bytes in steps:
            assert file.seek(offset) == offset
            assert file.read(n_bytes) == content[offset : offset + n_bytes]
        file.seek(len(content) - 3)
        assert file.read(10) == content[-3:]
        assert file.read(10) == b""
    finally:
        file.close()


def test_one_after_the_other_nothing_is_fetched_twice(server, model):
    file = RangedFile(remote(server))
    content = b"".join(iter(lambda: file.read(100_000), b""))
    file.close()
    assert content == model.read_bytes()
    assert file.n_fetched == len(content)


@pytest.mark.parametrize("kind", ["status", "drop", "page", "lie", "stall"])
def test_another_place_helps_out(server, model, kind, monkeypatch):
    monkeypatch.setattr("runner.hub.ranged._STALL_S", 0.2)
    with FileServer(dict(server.files)) as other:
        server.faults[PATH] = [Fault(kind, times=-1)]
        file = RangedFile(remote(server, other))
        assert read_open(file, "m.gguf", file.n_bytes) == read_header(model)
        file.close()


def test_a_host_that_sends_all_of_the_file_gives_what_is_needed(server, model):
    server.faults[PATH] = [Fault("whole", times=-1)]
    file = RangedFile(remote(server))
    assert read_open(file, "m.gguf", file.n_bytes) == read_header(model)
    file.close()


def test_nobody_there_is_told_with_the_reasons(server):
    server.faults[PATH] = [Fault("status", times=-1, status=404)]
    file = RangedFile(remote(server))
    with pytest.raises(SourceError, match=r"cannot read the header of m\.gguf: .*HTTP 404"):
        file.read(10)
    file.close()


def test_a_header_without_end_is_given_up(server):
    file = RangedFile(remote(server), most_bytes=MIB)
    with pytest.raises(SourceError, match="has more than 1 MiB"):
        while file.read(300_000):
            pass
    file.close()
    assert file.n_fetched <= MIB


def test_a_place_that_trickles_is_given_up(server):
    now = [0.0]

    def clock():
        now[0] += 1.0
        return now[0]

    file = RangedFile(remote(server), patience_s=3, clock=clock)
    with pytest.raises(SourceError, match="too slow"):
        while file.read(300_000):
            pass
    file.close()


def test_what_is_no_gguf_is_refused_as_on_this_machine(server):
    server.files["/x"] = b"<html>" * 100
    file = RangedFile(remote(server, path="/x"))
    with pytest.raises(BadModelFile, match="it is a web page"):
        read_open(file, "x", file.n_bytes)
    file.close()
