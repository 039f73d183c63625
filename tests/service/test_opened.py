"""A repository that is opened: exact needs by ranged reads, from the real clients' hub."""

import asyncio

import pytest

from runner.domain.name import ModelName
from runner.errors import NotOnHub, SourceError
from runner.gguf.memory import Plan, estimate
from runner.gguf.reader import read_header
from runner.hub.huggingface import HuggingFace
from runner.hub.modelscope import ModelScope
from runner.service.opened import Opener
from runner.service.search import SearchService
from tests.fakes.hub import FakeHub
from tests.fakes.models import tiny_model
from tests.live.test_pulls import split

GB = 10**9


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("MODELSCOPE_HOME", str(tmp_path / "modelscope"))
    with FakeHub() as hub:
        yield hub


@pytest.fixture
def path(tmp_path):
    return tiny_model(tmp_path / "m.gguf")


@pytest.fixture(params=["hf.co", "modelscope.cn"])
def client(request, hub):
    kind = HuggingFace if request.param == "hf.co" else ModelScope
    return kind(environ=hub.environ())


def opened(client, rest, memory_bytes=16 * GB):
    return Opener(memory_bytes).open(client, ModelName.parse(f"{client.host}/{rest}"))


def test_each_quantization_has_what_it_needs(hub, path, client):
    """That of the model the name means is the estimate of its header; another differs in size."""
    content = path.read_bytes()
    files = {"m-Q4_K_M.gguf": content, "m-Q8_0.gguf": content + b"\0" * 1000}
    hub.add("own/repo", files, license="mit", n_likes=5)
    found = opened(client, "own/repo")
    small, large = found.quants
    need = estimate(read_header(path), Plan(n_cells=found.opened.n_ctx))
    assert small.n_memory == need.n_total
    assert large.n_memory - small.n_memory == pytest.approx(1000, abs=4096)
    assert small.fits and large.fits
    assert (found.opened.chosen, found.opened.architecture) == ("Q4_K_M", "llama")
    assert "the usual balance" in found.opened.reason
    assert found.opened.problem == ""
    assert (found.n_likes, found.license) == (5, "mit")


def test_what_does_not_fit_says_no(hub, path, client):
    hub.add("own/repo", {"m-Q4_K_M.gguf": path.read_bytes()})
    assert opened(client, "own/repo", memory_bytes=GB).quants[0].fits is False
    assert opened(client, "own/repo", memory_bytes=0).quants[0].fits is None


def test_a_model_in_several_files_is_read_whole(hub, path, client, tmp_path):
    parts = split(path, tmp_path)
    hub.add("own/repo", {f"m-Q8_0-{n:05}-of-00002.gguf": p for n, p in enumerate(parts, 1)})
    found = opened(client, "own/repo:q8_0")
    assert found.quants[0].n_memory == estimate(read_header(path), Plan(found.opened.n_ctx)).n_total


def test_headers_are_read_once(hub, path, client):
    hub.add("own/repo", {"m-Q4_K_M.gguf": path.read_bytes()})
    opener, name = Opener(), ModelName.parse(f"{client.host}/own/repo")
    first = opener.open(client, name)
    n_read = len(hub.paths("cdn"))
    assert opener.open(client, name) == first
    assert len(hub.paths("cdn")) == n_read > 0


def test_a_gated_repository_has_rough_fits_and_the_reason(hub, path):
    hub.add("own/repo", {"m-Q4_K_M.gguf": path.read_bytes()}, gated=True)
    found = opened(HuggingFace(hub.environ()), "own/repo")
    assert "is gated" in found.opened.problem
    assert found.quants[0].n_memory == 0
    assert found.quants[0].fits is True
    assert hub.paths("cdn") == []


def test_a_file_that_is_no_model_is_told(hub, client):
    hub.add("own/repo", {"m-Q4_K_M.gguf": b"<html>" * 50})
    found = opened(client, "own/repo")
    assert "it is a web page" in found.opened.problem
    assert found.quants[0].label == "Q4_K_M"


def test_several_models_are_listed_and_a_wrong_tag_is_refused(hub, path, client):
    hub.add("own/repo", {"a-Q4_0.gguf": path.read_bytes(), "b-Q4_0.gguf": path.read_bytes()})
    found = opened(client, "own/repo")
    assert "holds several models" in found.opened.problem
    assert len(found.quants) == 2
    with pytest.raises(NotOnHub, match="has no 'Q9'"):
        opened(client, "own/repo:Q9")


def test_a_search_for_a_full_name_or_link_opens_it(hub, path):
    hub.add("own/repo", {"m-Q4_K_M.gguf": path.read_bytes()})
    hubs = {"hf": HuggingFace(hub.environ()), "modelscope": ModelScope(environ=hub.environ())}
    service = SearchService(hubs, memory_bytes=16 * GB)
    for words in ("hf.co/own/repo", " ms/own/repo:Q4_K_M ", "https://huggingface.co/own/repo"):
        (found,) = asyncio.run(service.search(words)).models
        assert found.opened.chosen == "Q4_K_M", words
    for words in ("repo", "own/repo", "own repo", "hf.co/own repo"):
        models = asyncio.run(service.search(words)).models
        assert all(found.opened is None for found in models), words


def test_a_hub_that_is_down_is_an_error(hub):
    hub.add("own/repo", {}, fault="500")
    with pytest.raises(SourceError, match="answered 500"):
        opened(HuggingFace(hub.environ()), "own/repo")
