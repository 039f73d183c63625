"""Models whose weights are written in another type while they are made."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from runner.domain.create import CreateRequest
from runner.domain.name import ModelName
from runner.errors import BadModelFile, DigestMismatch, DiskFull
from runner.gguf.reader import read_header
from runner.paths import own_command
from runner.protocol.tasks import Quantize, Quantized
from runner.service import rewrite as module
from runner.service.create import CreateService
from runner.service.tools import Tools
from runner.store.library import Library
from tests.fakes.wide_models import wide_llama

MINE, BASE = ModelName.parse("mine"), ModelName.parse("wide:f16")


class NoPulls:
    """Nothing is fetched here."""

    async def pull(self, name):
        raise AssertionError(name)
        yield


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    return wide_llama(tmp_path_factory.mktemp("wide") / "wide.gguf", n_layer=4)


@pytest.fixture
def library(tmp_path, wide):
    library = Library(tmp_path / "models")
    list(library.import_file(wide, BASE, provenance={"source": "file"}))
    return library


@pytest.fixture(scope="module")
def tools():
    return Tools(own_command("_tool", "warning"), 1)


def make(library, tools, **fields):
    async def all_of_it():
        service = CreateService(library, NoPulls(), tools)
        return [moment async for moment in service.create(CreateRequest(name=MINE, **fields))]

    return asyncio.run(all_of_it())


def state(library):
    return [
        (path, path.read_bytes())
        for path in sorted(library.models.rglob("*"))
        if path.is_file() and path.name != "lock"
    ]


def digest_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def by_the_job(tools, source, out, file_type):
    """What ``corral quantize`` writes."""
    tools.ask(Quantize((str(source),), str(out), file_type, n_threads=1), Quantized)
    return digest_of(out)


def test_a_base_in_another_type_keeps_what_is_laid_over_it(library, tools, wide, tmp_path):
    before = library.find(BASE)
    told = make(library, tools, bases=(BASE,), quantize="Q4_K_M", system="S")
    made = library.find(MINE)
    assert made.facts.quantization == "Q4_K_M"
    assert made.system == "S"
    assert (made.provenance["from"], made.provenance["type"]) == ("wide:f16", "Q4_K_M")
    assert [layer.kind for layer in made.layers] == ["model"]
    assert made.model.digest == f"sha256:{by_the_job(tools, wide, tmp_path / 'q', 'Q4_K_M')}"
    assert library.find(BASE) == before
    phases = list(dict.fromkeys(moment.phase for moment in told))
    assert phases.index("quantizing F16 model to Q4_K_M") < phases.index("verifying conversion")
    assert phases[-2:] == ["writing manifest", "success"]
    list(library.verify(MINE))


def test_of_a_file_only_the_smaller_one_is_kept(tmp_path, tools, wide):
    library = Library(tmp_path / "models")
    make(library, tools, file_paths=(wide,), quantize="Q8_0", sha256=digest_of(wide))
    blobs = [path.name for path in library.blobs.folder.iterdir()]
    assert blobs == [library.find(MINE).model.digest.replace(":", "-")]
    assert library.find(MINE).facts.quantization == "Q8_0"


def test_made_twice_it_is_one_blob(library, tools):
    make(library, tools, bases=(BASE,), quantize="Q8_0")
    before = state(library)
    told = make(library, tools, bases=(BASE,), quantize="Q8_0")
    assert any(moment.phase.startswith("using existing layer") for moment in told)
    assert [path for path, _ in state(library)] == [path for path, _ in before]


def test_what_is_quantized_already_is_refused_by_its_tensor(library, tools):
    make(library, tools, bases=(BASE,), quantize="Q8_0")
    before = state(library)
    with pytest.raises(BadModelFile, match=r"mine:latest: .*tensor 'output\.weight' is in Q8_0"):
        make(library, tools, bases=(MINE,), quantize="Q4_0")
    with pytest.raises(BadModelFile, match=r"IQ1_S needs an importance matrix: .*'blk\.0\."):
        make(library, tools, bases=(BASE,), quantize="IQ1_S")
    assert state(library) == before


def test_a_digest_is_that_of_the_source(library, tools):
    before = state(library)
    with pytest.raises(DigestMismatch, match="not sha256:abab"):
        make(library, tools, bases=(BASE,), quantize="Q8_0", sha256="ab" * 32)
    assert state(library) == before


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(library, tools, monkeypatch):
    monkeypatch.setattr(module, "n_free_bytes", lambda _: 1000)
    before = state(library)
    with pytest.raises(DiskFull, match=r"bytes are needed for the model in Q8_0, 1000 bytes are"):
        make(library, tools, bases=(BASE,), quantize="Q8_0")
    assert state(library) == before


def test_the_smaller_file_has_the_sources_tokens(library, tools, wide):
    make(library, tools, bases=(BASE,), quantize="Q6_K")
    made = read_header(library.model_path(library.find(MINE)))
    own = read_header(wide)
    assert made.metadata["general.architecture"] == own.metadata["general.architecture"]
    assert {one.name for one in made.tensors} == {one.name for one in own.tensors}
