"""Models from safetensors: converted beside the daemon, kept whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from runner.domain.create import CreateRequest
from runner.domain.name import ModelName
from runner.errors import BadModelFile, InvalidRequest, Unsupported, UnsupportedArchitecture
from runner.paths import own_command
from runner.service.create import CreateService
from runner.service.tools import Tools
from tests.fakes.bert_folder import change_json
from tests.fakes.random_models import random_adapter
from tests.service.test_create import NoPulls, state
from tests.tools.test_peft import peft_folder

MINE = ModelName.parse("mine")


def make(library, **fields):
    async def all_of_it():
        tools = Tools(own_command("_tool", "warning"), 1)
        service = CreateService(library, NoPulls(), tools)
        request = CreateRequest(name=fields.pop("name", MINE), **fields)
        return [moment async for moment in service.create(request)]

    return asyncio.run(all_of_it())


def paths(folder):
    return tuple(sorted(folder.iterdir()))


def as_blobs(library, folder):
    """The files of a folder, sent as blobs; their digests by their names."""
    library.blobs.folder.mkdir(parents=True)
    found = {}
    for path in folder.iterdir():
        digest = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        library.blobs.path(digest).write_bytes(path.read_bytes())
        found[path.name] = digest
    return found


def test_a_folder_becomes_a_model_and_stays_as_it_is(library, folder):
    before = {path: path.read_bytes() for path in paths(folder)}
    told = make(library, file_paths=paths(folder), system="Be brief.")
    phases = [moment.phase for moment in told]
    assert {"converting model", "converting", "writing manifest"} <= set(phases)
    made = library.find(MINE)
    assert (made.facts.architecture, made.facts.quantization) == ("llama", "F16")
    assert made.system == "Be brief."
    list(library.verify(MINE))
    assert {path: path.read_bytes() for path in paths(folder)} == before
    assert list(library.blobs.partial.iterdir()) == []
    again = ModelName.parse("mine:again")  # of the same name, so that the file says the same
    make(library, name=again, file_paths=paths(folder))
    assert library.find(again).model == made.model


def test_a_folder_may_come_as_blobs(library, folder):
    make(library, files=as_blobs(library, folder))
    assert library.find(MINE).facts.architecture == "llama"


def test_an_adapter_of_peft_is_converted_for_its_base(library, folder, tmp_path):
    adapter = peft_folder(random_adapter(tmp_path / "lora.gguf"), tmp_path / "peft")
    make(library, file_paths=paths(folder), adapter_paths=paths(adapter))
    both = library.find(MINE)
    assert [layer.kind for layer in both.layers] == ["model", "adapter"]
    child = ModelName.parse("child")
    make(library, name=child, bases=(MINE,), adapter_paths=paths(adapter))
    assert len(library.find(child).adapters) == 2


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"architectures": ["MambaForCausalLM"]}, UnsupportedArchitecture, "MambaForCausalLM"),
        ({"hidden_size": 7}, BadModelFile, "7 elements"),
        ({"num_hidden_layers": 9}, BadModelFile, r"model\.layers\.2"),
    ],
)
def test_what_cannot_be_converted_leaves_the_library_as_it_was(
    library, folder, change, error, words
):
    make(library, file_paths=paths(folder))
    before = state(library)
    change_json(folder / "config.json", **change)
    with pytest.raises(error, match=words):
        make(library, name=ModelName.parse("other"), file_paths=paths(folder))
    assert state(library) == before


def test_pickles_are_refused_by_name_whatever_lies_beside_them(library, folder):
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(InvalidRequest, match=r"pytorch_model\.bin is a pickle"):
        make(library, file_paths=paths(folder))


def test_a_lone_file_of_tensors_says_what_is_missing(library, folder):
    with pytest.raises(BadModelFile, match=r"no config\.json"):
        make(library, file_paths=(folder / "model.safetensors",))


def test_a_draft_is_not_converted(library, folder):
    with pytest.raises(Unsupported, match="not converted here"):
        make(library, file_paths=paths(folder), draft_paths=paths(folder))
