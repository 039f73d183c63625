"""A manifest survives the disk, and its place says its name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from runner.domain.chat import Message
from runner.domain.model import Capability
from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.errors import StoreError
from runner.gguf.metadata import ModelFacts
from runner.store.manifests import (
    Layer,
    Manifest,
    decode,
    encode,
    model_id,
    name_at,
    relative_path,
)

FACTS = ModelFacts(
    architecture="llama",
    n_params=10**12,
    quantization="Q4_K_M",
    n_ctx_train=8192,
    n_embd=576,
    n_layer=2,
    kv_widths=((192, 192), (0, 0)),
    n_vocab=49152,
    n_weights_bytes=2**40,
    template="{{ messages }}\n\u2028\U0001f999",
    license="apache-2.0",
    capabilities=(Capability.COMPLETION, Capability.TOOLS),
)
LAYER = Layer("model", f"sha256:{'ab' * 32}", 2**40)
MANIFEST = Manifest(ModelName.parse("Smollm2"), (LAYER,), FACTS)

parts = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
reserved = st.sampled_from(["con", "NUL.x", "a.", "lpt1", "com9.gguf", "aux..", "x"])
names = st.builds(
    ModelName,
    st.one_of(st.just("hf.co"), st.just("localhost:5000"), st.just("corral.local")),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,20}", fullmatch=True),
    st.one_of(parts, reserved),
    st.one_of(parts, reserved),
)
texts = st.sampled_from(["", "Be brief.", "Größe\n\0\u2028 🦙", '"}'])


@settings(deadline=None)
@given(
    name=names,
    system=texts,
    template=st.one_of(st.none(), texts),
    messages=st.lists(st.builds(Message, st.just("user"), texts), max_size=2).map(tuple),
    options=st.builds(
        Options,
        temperature=st.one_of(st.none(), st.floats(0, 2)),
        stop=st.one_of(st.none(), st.just(("a", "b"))),
        num_ctx=st.one_of(st.none(), st.integers(4, 4096)),
    ),
)
def test_a_manifest_survives_the_disk(name, system, template, messages, options):
    manifest = Manifest(
        name,
        (LAYER,),
        FACTS,
        parameters=options,
        system=system,
        license="MIT",
        template=template,
        messages=messages,
        provenance={"source": "test", "n": 1},
    )
    content = encode(manifest)
    read = decode(content)
    assert read == manifest
    assert str(read.name) == str(name)
    assert encode(read) == content


@given(name=names)
def test_the_place_of_a_manifest_says_its_name(name):
    path = relative_path(name)
    assert len(path.parts) == 4
    assert ":" not in str(path)
    assert str(path) == str(path).lower()
    assert name_at(path) == name
    for part in path.parts:  # what Windows would take for a device, or shorten
        assert part.partition(".")[0] not in ("con", "nul", "aux", "lpt1", "com9")
        assert not part.endswith(".")


@pytest.mark.parametrize(
    "path", ["a", "a/b/c", "a/b/c/d/e", "a/b/c/D", "a/b/c/-d", "a/b/c/d=", "a/b/c d/e", "a/b/c/d~"]
)
def test_other_places_mean_no_name(path):
    assert name_at(Path(path)) is None


def test_the_file_begins_with_its_format():
    assert encode(MANIFEST).startswith(b'{"format":1,"name":"Smollm2:latest",')
    assert len(model_id(MANIFEST)) == 64
    assert model_id(replace(MANIFEST, name=ModelName.parse("other"))) == model_id(MANIFEST)
    assert model_id(replace(MANIFEST, system="Be brief.")) != model_id(MANIFEST)
    later = {"source": "file", "time": "2031-01-01T00:00:00+00:00"}
    assert model_id(replace(MANIFEST, provenance=later)) == model_id(MANIFEST)


def test_options_that_this_version_does_not_know_are_left_out():
    raw = json.loads(encode(MANIFEST))
    raw["parameters"] = {"temperature": 1, "new_fangled": [1]}
    raw["new_field"] = {}
    assert decode(json.dumps(raw).encode()).parameters == Options(temperature=1.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 2}, "format 2; this program knows format 1"),
        ({"format": "1"}, "format '1'"),
        ({"name": "a b"}, "invalid model name"),
        ({"name": 1}, "name"),
        ({"layers": []}, "does not name one model file"),
        ({"layers": [{"kind": "adapter", "digest": "x", "n_bytes": 1}]}, "one model file"),
        ({"layers": [{"kind": "model", "digest": "../../etc/passwd", "n_bytes": 1}]}, "no blob"),
        ({"layers": [{"kind": "model", "digest": LAYER.digest, "n_bytes": -1}]}, "no blob"),
        ({"facts": {}}, "architecture"),
        ({"parameters": {"temperature": "hot"}}, "temperature"),
        ({"messages": ["hi"]}, "messages"),
    ],
)
def test_a_manifest_with_nonsense_is_refused(change, reason):
    raw = json.loads(encode(MANIFEST)) | change
    with pytest.raises(StoreError, match=reason):
        decode(json.dumps(raw).encode())


@settings(deadline=None)
@given(st.data())
def test_a_changed_manifest_is_read_or_refused(data):
    content = bytearray(encode(MANIFEST))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert decode(bytes(content)).layers
    except StoreError as error:
        assert error.message
