"""Models of one's own: what is laid over what, and what leaves the library as it was."""

from __future__ import annotations

import asyncio
import hashlib

import gguf
import numpy as np
import pytest

from runner.domain.chat import Message
from runner.domain.create import CreateRequest
from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.domain.progress import Progress
from runner.errors import CorralError, DigestMismatch, InvalidRequest, NotOnHub, TemplateFailed
from runner.modelfile.meaning import meaning_of
from runner.modelfile.parse import parse
from runner.service.create import CreateService
from runner.service.modelfile import check_modelfile, modelfile_of
from tests.fakes.adapters import adapter
from tests.fakes.models import tiny_model

MINE = ModelName.parse("mine")
GO = "{{ range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}"


class NoPulls:
    """A source that brings one model, or has none."""

    def __init__(self, bring=None):
        self.asked = []
        self._bring = bring

    async def pull(self, name):
        self.asked.append(str(name))
        if self._bring is None:
            raise NotOnHub(f"'{name}' is nowhere")
        yield Progress("pulling manifest")
        self._bring(name)
        yield Progress("success")


def make(library, pulls=None, **fields):
    async def all_of_it():
        service = CreateService(library, pulls or NoPulls())
        request = CreateRequest(name=fields.pop("name", MINE), **fields)
        return [moment async for moment in service.create(request)]

    return asyncio.run(all_of_it())


def state(library):
    files = sorted(library.models.rglob("*")) if library.models.exists() else []
    return [(path, path.read_bytes()) for path in files if path.is_file() and path.name != "lock"]


def test_a_model_from_a_model_shares_its_weights(library, name):
    base = library.find(name)
    told = make(
        library,
        bases=(name,),
        template=GO,
        system="Be brief.",
        license="MIT",
        options=Options(temperature=0.5),
        messages=(Message("user", "hi"), Message("assistant", "ho")),
        requires="0.14.0",
    )
    assert told[-1] == Progress("success", name="mine:latest")
    made = library.find(MINE)
    assert made.layers == base.layers
    assert (made.template, made.system, made.license) == (GO, "Be brief.", "MIT")
    assert made.parameters == Options(temperature=0.5)
    assert (made.requires, made.provenance["from"]) == ("0.14.0", "tiny:latest")


def test_an_option_that_is_unset_is_not_there_any_more(library, name):
    make(library, bases=(name,), options=Options(temperature=0.5, top_k=3, stop=("#",)))
    make(library, bases=(MINE,), options=Options(top_k=4), unset=("temperature", "stop", "seed"))
    assert library.find(MINE).parameters == Options(top_k=4)


def test_a_second_generation_keeps_what_it_does_not_change(library, name):
    make(library, bases=(name,), system="S", options=Options(temperature=0.5, top_k=3))
    child = ModelName.parse("child")
    make(library, name=child, bases=(MINE,), options=Options(top_k=9), system="")
    made = library.find(child)
    assert (made.parameters, made.system) == (Options(temperature=0.5, top_k=9), "")
    assert library.find(MINE).system == "S"


def test_a_file_is_taken_as_it_is(library, tiny):
    told = make(library, file_paths=(tiny,))
    digest = f"sha256:{hashlib.sha256(tiny.read_bytes()).hexdigest()}"
    assert library.find(MINE).model.digest == digest
    assert f"creating new layer {digest}" in [moment.phase for moment in told]
    assert library.blobs.path(digest).stat().st_nlink == 1
    told = make(library, name=ModelName.parse("again"), file_paths=(tiny,))
    assert f"using existing layer {digest}" in [moment.phase for moment in told]
    told = make(library, name=ModelName.parse("third"), files={"a.gguf": digest}, sha256=digest[7:])
    assert library.find(ModelName.parse("third")).model.digest == digest


def adapter_file(path, architecture="llama"):
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 1.0)
    for end, shape in ((".lora_a", (1, 32)), (".lora_b", (32, 1))):
        writer.add_tensor(f"blk.0.attn_q.weight{end}", np.zeros(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_an_adapter_and_a_projector_become_layers(library, name, tmp_path):
    adapter = adapter_file(tmp_path / "lora.gguf")
    projector = tmp_path / "mmproj.gguf"
    writer = gguf.GGUFWriter(projector, "clip")
    writer.add_type("mmproj")
    writer.add_tensor("v.patch", np.zeros((4, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    make(library, bases=(name,), file_paths=(projector,), adapter_paths=(adapter,))
    kinds = [layer.kind for layer in library.find(MINE).layers]
    assert kinds == ["model", "projector", "adapter"]


def test_a_base_that_is_not_here_is_fetched_from_the_first_place_that_has_it(library, tiny):
    def bring(asked):
        list(library.import_file(tiny, asked, provenance={"source": "test"}))

    pulls = NoPulls(bring)
    base = ModelName.parse("hf.co/a/b")
    told = make(library, pulls, bases=(base, ModelName.parse("ms/a/b")))
    assert pulls.asked == ["hf.co/a/b:latest"]
    assert [moment.phase for moment in told].count("success") == 1
    pulls = NoPulls()
    with pytest.raises(NotOnHub, match="'x:latest' is nowhere"):
        make(library, pulls, bases=(ModelName.parse("x"), ModelName.parse("y")))
    assert pulls.asked == ["x:latest", "y:latest"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"template": "{{ .System }}\n{{ foo }}"}, 'line 2: function "foo" not defined'),
        ({"template": "{% if %}"}, "template error: line 1"),
        ({"sha256": "ab" * 32}, "not sha256:abab"),
        ({"file_paths": ("tiny",)}, "made from one model; these are several"),
        ({"file_paths": ("missing",)}, "there is no file 'missing'"),
        ({"file_paths": ("text",)}, "text: "),
        ({"file_paths": ("lora",)}, "lora.gguf is a LoRA adapter"),
        ({"adapter_paths": ("other",)}, "other.gguf: the adapter is for models of architecture"),
        ({"adapter_paths": ("tiny",)}, "this is not a LoRA adapter"),
        (
            {"adapter_paths": ("wide",)},
            "wide.gguf: the adapter is for a tensor 'blk.0.attn_q.weight",
        ),
        ({"file_paths": ("pickle",)}, "pytorch_model.bin is a pickle file"),
        ({"files": {"a.gguf": "sha256:" + "ab" * 32}}, "of a.gguf not found"),
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(library, name, tiny, tmp_path, fields, words):
    places = {
        "tiny": tiny,
        "missing": tmp_path / "missing",
        "text": tmp_path / "text",
        "lora": adapter_file(tmp_path / "lora.gguf"),
        "other": adapter_file(tmp_path / "other.gguf", "qwen3"),
        "wide": adapter(tmp_path / "wide.gguf"),
        "pickle": tmp_path / "pytorch_model.bin",
    }
    places["text"].write_text("no model")
    places["pickle"].write_bytes(b"\x80\x04")
    fields = {
        key: tuple(places[one] for one in value) if key.endswith("paths") else value
        for key, value in fields.items()
    }
    before = state(library)
    with pytest.raises(CorralError) as caught:
        make(library, bases=(name,), **fields)
    assert words in caught.value.message
    assert state(library) == before


def test_a_model_that_is_not_there_cannot_be_made_from_itself(library):
    with pytest.raises(InvalidRequest, match="'mine:latest' cannot be made from itself"):
        make(library, bases=(MINE,))


def test_a_digest_that_is_not_the_files_leaves_no_copy(library, tiny):
    with pytest.raises(DigestMismatch):
        make(library, file_paths=(tiny,), sha256="ab" * 32)
    assert state(library) == []


def test_giving_up_in_the_middle_leaves_nothing(library, tmp_path):
    big = tiny_model(tmp_path / "big.gguf")
    with big.open("ab") as file:
        file.truncate(12 << 20)

    async def begin():
        service = CreateService(library, NoPulls())
        moments = service.create(CreateRequest(name=MINE, file_paths=(big,)))
        async for moment in moments:
            if moment.phase == "copying" and moment.n_done:
                break
        await moments.aclose()

    asyncio.run(begin())
    assert state(library) == []


def test_what_show_prints_makes_the_same_model_again(library, name):
    make(
        library,
        bases=(name,),
        template=GO,
        system='Say "hi"\n"""\nand bye',
        license="MIT\n",
        options=Options(temperature=0.5, num_ctx=512, use_mmap=False, stop=('"', "a b", "#")),
        messages=(Message("user", " x "), Message("assistant", "")),
    )
    text = modelfile_of(library.show(MINE))
    assert str(library.models) not in text
    assert check_modelfile(text).is_good
    asked = meaning_of(parse(text))
    make(
        library,
        name=ModelName.parse("again"),
        bases=tuple(map(ModelName.parse, asked.bases)),
        template=asked.template,
        system=asked.system,
        license="\n\n".join(asked.licenses),
        options=asked.options,
        messages=asked.messages,
    )
    assert library.info(ModelName.parse("again")).digest == library.info(MINE).digest


def test_a_template_error_is_found_with_the_line_of_its_instruction():
    checked = check_modelfile('FROM x\n\nTEMPLATE """{{ foo .Prompt }}"""\nHEAT 2')
    assert not checked.is_good
    checked = check_modelfile('FROM x\n\nTEMPLATE """{{ foo .Prompt }}"""\nPARAMETER heat 2')
    assert [(one.line, one.severity) for one in checked.findings] == [(3, "error"), (4, "error")]
    assert checked.formatted == 'FROM x\nTEMPLATE """{{ foo .Prompt }}"""\nPARAMETER heat 2\n'


def test_the_template_itself_is_checked_without_being_run(library, name):
    with pytest.raises(TemplateFailed, match="line 1"):
        make(library, bases=(name,), template="{{ if }}")
