"""Short names: the entries that come along, a user's own over them, and which hub goes first."""

from pathlib import Path

import pytest

from runner.domain.hub_url import HUGGING_FACE, MODELSCOPE
from runner.domain.name import ModelName
from runner.domain.options import parse_options
from runner.errors import InvalidRequest, ModelNotFound, NotOnHub, SourceError
from runner.hub.catalogue import Catalogue, CatalogueSource, read_entry
from runner.hub.huggingface import HuggingFace
from runner.hub.modelscope import ModelScope
from runner.hub.places import hubs_and_sources
from runner.hub.repository import HubSource
from tests.fakes.hub import FakeHub

ROOT = Path(__file__).parents[2] / "modelfiles"
ENTRIES = sorted(
    path for path in ROOT.glob("*/*") if path.is_file() and not path.name.startswith(".")
)
WEIGHTS = b"GGUF" + b"w" * 200
NAME = ModelName.parse("tiny:1b")
ENTRY = (
    "FROM hf.co/own/tiny-GGUF:Q4_K_M\nMIRROR modelscope.cn/own/tiny-GGUF:Q4_K_M\nALIAS latest\n"
    "LICENSE MIT\nPARAMETER temperature 0.5\nPARAMETER stop <|a|>\nPARAMETER stop <|b|>\n"
    "SYSTEM Be kind.\nSIZE 204\n"
)


@pytest.mark.parametrize("path", ENTRIES, ids=lambda path: f"{path.parent.name}:{path.name}")
def test_every_entry_that_comes_along_is_good(path):
    text = path.read_text(encoding="utf-8")
    name = ModelName.parse(f"{path.parent.name}:{path.name}")
    entry = read_entry(name, text)
    assert path.name == path.name.lower()
    assert text.startswith("# Seen in: "), "only repositories that a public document names"
    assert entry.places[0].host == HUGGING_FACE
    assert {place.host for place in entry.places[1:]} <= {MODELSCOPE}
    assert entry.license and entry.n_bytes > 0
    parse_options(entry.recipe.parameters)


def test_no_two_entries_of_a_family_share_a_tag():
    tags = [
        (entry.name.model, tag.lower())
        for entry in Catalogue([ROOT]).entries()
        for tag in (entry.name.tag, *entry.aliases)
    ]
    assert len(tags) == len(set(tags))
    assert len(list(Catalogue([ROOT]).entries())) == len(ENTRIES)


@pytest.mark.parametrize(
    "family", ["qwen3", "llama3.2", "gemma3", "mistral", "deepseek-r1", "phi4", "smollm2"]
)
def test_the_families_that_people_ask_for_have_a_default(family):
    assert Catalogue([ROOT]).find(ModelName.parse(family)) is not None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("FROM smollm2", "is on no hub"),
        ("SIZE big", "invalid literal"),
        ("SHA256 abc", "64 digits"),
        ("PARAMETER heat 1", "unknown parameter 'heat'"),
        ("PARAMETER temperature hot", "Expecting value"),
        ("PARAMETER top_p 7", "top_p must be"),
        ("TEMPLATE x", "TEMPLATE has no place"),
        ("ALIAS a b", "bad tag"),
    ],
)
def test_what_no_entry_can_say_is_refused_with_its_line(line, reason):
    with pytest.raises(InvalidRequest, match=r"\(line 2\)") as caught:
        read_entry(NAME, f"FROM hf.co/a/b\n{line}")
    assert reason in caught.value.message


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "theirs" / "tiny").mkdir(parents=True)
    (tmp_path / "theirs" / "tiny" / "1b").write_text(ENTRY)
    return tmp_path / "theirs"


@pytest.fixture
def second():
    with FakeHub() as hub:
        yield hub


@pytest.fixture
def sources(hub, second, folder):
    """Makes the source of short names: Hugging Face is ``hub``, ModelScope is ``second``."""
    hub.add("own/tiny-GGUF", {"t-Q4_K_M.gguf": WEIGHTS}, license="apache-2.0")
    second.add("own/tiny-GGUF", {"t-Q4_K_M.gguf": WEIGHTS}, license="apache-2.0")
    environ = {"HF_ENDPOINT": hub.url, "MODELSCOPE_ENDPOINT": second.url}
    hubs = [HuggingFace(environ), ModelScope(environ=environ)]

    def make(order="auto"):
        return CatalogueSource(
            Catalogue([folder]), {hub.host: HubSource(hub) for hub in hubs}, order=order
        )

    return make


def elsewhere(model):
    """Candidates on another hub than the model's own."""
    own = model.provenance["source"]
    return [one for one in model.candidates if one.provenance["source"] != own]


@pytest.mark.parametrize(("order", "first"), [("hf", "hf.co"), ("modelscope", "modelscope.cn")])
def test_the_setting_says_which_hub_goes_first_and_the_other_is_its_candidate(
    sources, order, first
):
    (model,) = sources(order).resolve(NAME)
    assert model.provenance["source"] == f"hub:{first}"
    assert model.provenance["catalogue"] == "tiny:1b"
    (candidate,) = elsewhere(model)
    assert {model.provenance["source"], candidate.provenance["source"]} == {
        "hub:hf.co",
        "hub:modelscope.cn",
    }


def test_an_entry_brings_its_licence_and_its_recipe(sources):
    (model,) = sources().resolve(ModelName.parse("TINY"))
    assert model.license == "MIT"
    assert model.recipe.parameters == {"temperature": 0.5, "stop": ["<|a|>", "<|b|>"]}
    assert model.recipe.system == "Be kind."
    assert len(elsewhere(model)) == 1


@pytest.mark.parametrize("order", ["auto", "hf"])
def test_one_hub_down_leaves_the_other(hub, sources, order):
    hub.repositories["own/tiny-gguf"].fault = "500"
    (model,) = sources(order).resolve(NAME)
    assert model.provenance["source"] == "hub:modelscope.cn"
    assert elsewhere(model) == []


def test_both_hubs_down_names_each_with_its_reason(hub, second, sources):
    hub.repositories["own/tiny-gguf"].fault = "500"
    second.repositories["own/tiny-gguf"].fault = "429"
    reasons = r"hf\.co answered 500; modelscope\.cn wants fewer requests"
    with pytest.raises(SourceError, match=reasons):
        sources().resolve(NAME)


def test_other_bytes_on_the_other_hub_are_no_candidate(second, sources):
    second.repositories["own/tiny-gguf"].files["t-Q4_K_M.gguf"] = WEIGHTS[::-1]
    assert elsewhere(sources("hf").resolve(NAME)[0]) == []


def test_a_digest_that_the_entry_knows_is_kept_to(folder, sources):
    (folder / "tiny" / "1b").write_text(f"{ENTRY}SHA256 {'0' * 64}\n")
    with pytest.raises(NotOnHub, match="is not the file that tiny:1b names"):
        sources().resolve(NAME)


def test_the_users_folder_lies_over_the_programs(tmp_path, folder):
    own = tmp_path / "own"
    (own / "tiny").mkdir(parents=True)
    (own / "tiny" / "1b").write_text("FROM hf.co/me/mine\n")
    catalogue = Catalogue([own, folder])
    assert str(catalogue.find(NAME).places[0]) == "hf.co/me/mine:latest"
    assert [str(entry.name) for entry in catalogue.entries()] == ["tiny:1b"]
    assert catalogue.find(ModelName.parse("tiny")) is not None, "the program's aliases go on"


def test_a_damaged_entry_is_told_when_it_is_asked_for_and_left_out_of_the_list(folder, sources):
    (folder / "tiny" / "1b").write_text("FROM\n")
    assert sources().claims(NAME)
    with pytest.raises(InvalidRequest, match=r"1b: \(line 1\): FROM has no value"):
        sources().resolve(NAME)
    assert list(Catalogue([folder]).entries()) == []


@pytest.mark.parametrize("name", ["nobody/tiny:1b", "hf.co/a/tiny:1b", "huge"])
def test_other_names_are_not_claimed(sources, name):
    assert not sources().claims(ModelName.parse(name))
    with pytest.raises(ModelNotFound):
        sources().resolve(ModelName.parse(name))


def test_an_unknown_tag_of_a_family_names_those_it_has(sources):
    with pytest.raises(NotOnHub, match="has no '9b' of tiny") as caught:
        sources().resolve(ModelName.parse("tiny:9b"))
    assert "it has: 1b;" in caught.value.hint


def test_every_kind_of_name_has_one_source(folder):
    _, sources = hubs_and_sources(order="auto", folders=(folder,), memory_bytes=0, environ={})
    for name in ("tiny:1b", "hf.co/a/b", "ms/a/b", "https://www.modelscope.ai/models/a/b"):
        assert sum(source.claims(ModelName.parse(name)) for source in sources) == 1
    assert not any(source.claims(ModelName.parse("a/b")) for source in sources)
