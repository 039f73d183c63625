"""A model with LoRA adapters in the library, asked over HTTP with and without them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from runner.domain.name import ModelName
from runner.store.blobs import Partial
from runner.store.library import Library
from runner.store.manifests import ADAPTER, Layer
from tests.fakes.adapters import adaptable_model, adapter
from tests.real_daemon import RealDaemon

pytestmark = pytest.mark.live

USES = {"own": None, "none": [], "first": [{"id": 0}], "second": [{"id": 1, "scale": 0.5}]}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    library = Library(folder / "home" / "models")
    name = ModelName.parse("adapted")
    path = adaptable_model(folder / "model.gguf")
    for _ in library.import_file(path, name, provenance={"source": "test"}):
        pass
    layers = []
    for seed in (1, 2):
        partial = Partial(library.blobs.partial)
        partial.write(adapter(folder / f"{seed}.gguf", seed=seed).read_bytes())
        partial.sync()
        layers.append(Layer(ADAPTER, partial.digest, partial.n_bytes))
        partial.move_to(library.blobs.path(layers[-1].digest))
    manifest = library.find(name)
    library.add(replace(manifest, layers=(*manifest.layers, *layers)))
    with RealDaemon(folder / "home") as daemon:
        yield daemon


def said(daemon, use) -> str:
    options = {"temperature": 0, "num_predict": 20}
    body = {"model": "adapted", "prompt": "a prompt", "stream": False, "options": options}
    reply = daemon.ask("POST", "/api/generate", body | ({} if use is None else {"lora": use}))
    assert reply.status == 200, reply.body
    return reply.json["response"]


def test_requests_with_different_adapters_at_once_answer_as_alone(daemon):
    alone = {name: said(daemon, use) for name, use in USES.items()}
    assert len(set(alone.values())) == len(USES), "an adapter changed nothing"
    with ThreadPoolExecutor(8) as pool:
        asked = [(name, pool.submit(said, daemon, use)) for name, use in [*USES.items()] * 2]
        assert all(answer.result() == alone[name] for name, answer in asked)


def test_an_adapter_that_the_model_has_not_is_a_400_with_its_number(daemon):
    body = {"model": "adapted", "messages": [{"role": "user", "content": "x"}], "lora": [{"id": 2}]}
    for path in ("/api/chat", "/v1/chat/completions"):
        reply = daemon.ask("POST", path, body)
        assert reply.status == 400
        assert b"there is no adapter 2; the model has 2" in reply.body
