"""Both hubs' sources, over the real clients, against a hub on loopback."""

import hashlib
import logging
import subprocess
import sys

import pytest

from runner.domain.name import ModelName
from runner.errors import AccessDenied, NotOnHub, Offline, RateLimited, SourceError
from runner.hub.huggingface import HuggingFace
from runner.hub.modelscope import ModelScope
from runner.hub.repository import HubSource
from runner.hub.source import Role
from tests.fakes.hub import COMMIT, TOKEN, FakeHub

GB = 10**9
HOSTS = ("hf.co", "modelscope.cn")


def content(word):
    return b"GGUF" + word.encode() * 100


FILES = {
    "m-Q4_K_M.gguf": content("4"),
    "m-Q8_0-00001-of-00002.gguf": content("8"),
    "m-Q8_0-00002-of-00002.gguf": content("9"),
    "mmproj-F16.gguf": content("p"),
    "m.imatrix.gguf": content("i"),
    "README.md": b"# m",
}


def made(host, hub, **environ):
    kind = HuggingFace if host == "hf.co" else ModelScope
    return kind(environ=hub.environ(**environ))


@pytest.fixture(params=HOSTS)
def host(request):
    return request.param


@pytest.fixture
def source(host, hub):
    return HubSource(made(host, hub), memory_bytes=16 * GB)


@pytest.fixture
def resolve(host, source):
    return lambda rest: source.resolve(ModelName.parse(f"{host}/{rest}"))


def test_a_name_without_tag_is_the_usual_quantization_with_its_projector(host, hub, resolve):
    hub.add("Own/Repo-GGUF", FILES, license="mit")
    model, projector = resolve("Own/Repo-GGUF")
    assert (model.name, model.role, model.n_bytes) == ("m-Q4_K_M.gguf", Role.MODEL, 104)
    assert model.sha256 == hashlib.sha256(FILES["m-Q4_K_M.gguf"]).hexdigest()
    assert model.license == "mit"
    assert model.location.startswith(hub.url)
    assert model.provenance["source"] == f"hub:{host}"
    assert model.provenance["repository"] == "Own/Repo-GGUF"
    assert model.provenance["file"] == "m-Q4_K_M.gguf"
    assert "the usual balance" in model.recipe.note and "16.0 GB" in model.recipe.note
    assert (projector.name, projector.role) == ("mmproj-F16.gguf", Role.PROJECTOR)


def test_a_split_model_is_all_its_shards_in_order(hub, resolve):
    hub.add("Own/Repo-GGUF", FILES)
    files = resolve("own/repo-gguf:q8_0")
    assert [(file.name, file.role) for file in files] == [
        ("m-Q8_0-00001-of-00002.gguf", Role.MODEL),
        ("m-Q8_0-00002-of-00002.gguf", Role.SHARD),
        ("mmproj-F16.gguf", Role.PROJECTOR),
    ]


def test_a_hugging_face_revision_is_pinned_to_its_commit(hub):
    hub.add("Own/Repo", FILES, branches=("v1",))
    source = HubSource(made("hf.co", hub))
    for asked in ("", "@v1", f"@{COMMIT}"):
        model = source.resolve(ModelName.parse(f"hf.co/Own/Repo:Q4_K_M{asked}"))[0]
        assert model.provenance["revision"] == COMMIT
        assert f"/resolve/{COMMIT}/" in model.location


def test_a_modelscope_file_has_its_commit_recorded_and_a_place_that_stays(hub):
    """A branch moves on, so the commit of the listing is where the bytes are found afterwards."""
    hub.add("Own/Repo", FILES)
    source = HubSource(made("modelscope.cn", hub))
    model = source.resolve(ModelName.parse("modelscope.cn/Own/Repo:Q4_K_M"))[0]
    assert "Revision=master&" in model.location
    assert model.provenance["revision"] == COMMIT
    assert model.provenance["listed_at"] == "master"
    (pinned,) = model.candidates
    assert f"Revision={COMMIT}&FilePath=m-Q4_K_M.gguf" in pinned.location


@pytest.mark.parametrize("knows_commits", [True, False])
def test_a_modelscope_commit_is_found_whether_the_hub_takes_it_or_not(hub, knows_commits):
    hub.add("Own/Repo", FILES, knows_commits=knows_commits)
    source = HubSource(made("modelscope.cn", hub))
    model = source.resolve(ModelName.parse(f"modelscope.cn/Own/Repo:Q4_K_M@{COMMIT}"))[0]
    assert model.provenance["revision"] == COMMIT
    assert f"Revision={COMMIT if knows_commits else 'master'}&" in model.location
    assert model.sha256 == hashlib.sha256(FILES["m-Q4_K_M.gguf"]).hexdigest()


def test_a_modelscope_commit_that_is_gone_is_told(hub):
    hub.add("Own/Repo", FILES)
    source = HubSource(made("modelscope.cn", hub))
    with pytest.raises(NotOnHub, match="has no file of commit aaaaaaaaaaaa: it has moved on"):
        source.resolve(ModelName.parse(f"modelscope.cn/Own/Repo:Q4_K_M@{'a' * 40}"))


def test_a_modelscope_revision_goes_into_the_address(hub):
    hub.add("Own/Repo", FILES, branches=("v1",))
    source = HubSource(made("modelscope.cn", hub))
    model = source.resolve(ModelName.parse("modelscope.cn/Own/Repo:Q4_K_M@v1"))[0]
    assert "Revision=v1&FilePath=m-Q4_K_M.gguf" in model.location


def test_a_link_to_a_file_is_that_file(hub):
    hub.add("Own/Repo", {"deep/er/m-Q4_K_M.gguf": content("d"), "n-Q4_K_M.gguf": content("n")})
    link = "https://huggingface.co/Own/Repo/blob/main/deep/er/m-Q4_K_M.gguf"
    source = HubSource(made("hf.co", hub))
    (model,) = source.resolve(ModelName.parse(link))
    assert model.provenance["file"] == "deep/er/m-Q4_K_M.gguf"
    assert model.location.endswith("/deep/er/m-Q4_K_M.gguf")


def test_an_unknown_revision_is_told(hub, resolve):
    hub.add("Own/Repo", FILES)
    with pytest.raises(NotOnHub, match="has no revision 'v9'") as caught:
        resolve("Own/Repo@v9")
    assert caught.value.hint


def test_a_repository_that_is_not_there_names_its_like(host, hub, resolve):
    hub.add("Own/Good-GGUF", FILES)
    with pytest.raises(NotOnHub, match=f"there is no {host}/Own/Good-GUFF, or it is private") as no:
        resolve("Own/Good-GUFF")
    assert "corral search" in no.value.hint
    with pytest.raises(NotOnHub) as near:
        resolve("Ohn/Good-GGUF")
    assert near.value.hint == f"did you mean {host}/Own/Good-GGUF?"


def test_a_gated_repository_says_where_to_ask(host, hub, resolve):
    hub.add("Own/Gated", FILES, gated=True)
    with pytest.raises(AccessDenied) as caught:
        resolve("Own/Gated")
    assert f"{hub.url}/" in caught.value.hint and "Own/Gated" in caught.value.hint
    assert "TOKEN" in caught.value.hint


def test_a_token_opens_what_is_gated_or_private(host, hub):
    hub.add("Own/Gated", FILES, gated=True)
    hub.add("Own/Private", FILES, private=True)
    name = "HF_TOKEN" if host == "hf.co" else "MODELSCOPE_API_TOKEN"
    source = HubSource(made(host, hub, **{name: TOKEN}))
    for repo in ("Own/Gated", "Own/Private"):
        model = source.resolve(ModelName.parse(f"{host}/{repo}"))[0]
        headers = {key.lower(): value for key, value in model.headers().items()}
        assert headers["authorization"] == f"Bearer {TOKEN}"
        assert TOKEN not in repr(model)


def test_a_token_of_the_daemon_goes_before_the_environments(hub):
    hub.add("Own/Private", FILES, private=True)
    environ = hub.environ(HF_TOKEN="wrong", MODELSCOPE_API_TOKEN="wrong")
    for kind in (HuggingFace, ModelScope):
        assert kind(environ=environ, token=lambda: TOKEN).listing("Own/Private").files


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("429", RateLimited, "wants fewer requests for 7 seconds"),
        ("500", SourceError, "answered 500"),
        ("html", SourceError, "does not answer as a model hub does"),
        ("wrong", SourceError, "does not answer as a model hub does"),
        ("token", AccessDenied, "does not accept the token"),
        ("404", NotOnHub, "there is no"),
    ],
)
def test_each_fault_of_a_hub_has_its_error(hub, resolve, fault, error, message):
    hub.add("Own/Repo", FILES, fault=fault)
    with pytest.raises(error, match=message) as caught:
        resolve("Own/Repo")
    assert type(caught.value) is error
    assert caught.value.hint


def test_an_empty_answer_is_no_model(hub, resolve):
    hub.add("Own/Repo", FILES, fault="empty")
    with pytest.raises(SourceError):
        resolve("Own/Repo")


def test_a_disabled_repository_is_told(hub):
    hub.add("Own/Repo", FILES, fault="disabled")
    with pytest.raises(AccessDenied, match="disabled"):
        made("hf.co", hub).listing("Own/Repo")


def test_a_renamed_repository_is_followed_and_recorded(hub):
    hub.add("New/Name-GGUF", FILES)
    hub.rename("Old/Name-GGUF", "New/Name-GGUF")
    model = HubSource(made("hf.co", hub)).resolve(ModelName.parse("hf.co/Old/Name-GGUF"))[0]
    assert model.provenance["repository"] == "New/Name-GGUF"
    assert model.provenance["renamed_from"] == "Old/Name-GGUF"
    assert "Old/Name-GGUF is now New/Name-GGUF" in model.recipe.note
    assert "/New/Name-GGUF/resolve/" in model.location


def test_a_hub_that_cannot_be_reached_is_told_with_its_address(host, unused_port):
    place = f"http://127.0.0.1:{unused_port}"
    kind = HuggingFace if host == "hf.co" else ModelScope
    hub = kind(environ={"HF_ENDPOINT": place, "MODELSCOPE_ENDPOINT": place})
    with pytest.raises(SourceError, match=f"cannot be reached at {place}") as caught:
        hub.listing("Own/Repo")
    assert "network" in caught.value.hint


def test_offline_asks_nobody(host, hub):
    hub.add("Own/Repo", FILES)
    with pytest.raises(Offline, match="HF_HUB_OFFLINE is set"):
        made(host, hub, HF_HUB_OFFLINE="1").listing("Own/Repo")
    with pytest.raises(Offline):
        made(host, hub, HF_HUB_OFFLINE="1").search("repo", 5)
    with pytest.raises(Offline, match="TRANSFORMERS_OFFLINE is set"):
        made(host, hub, TRANSFORMERS_OFFLINE="TRUE").listing("Own/Repo")
    kind = HuggingFace if host == "hf.co" else ModelScope
    with pytest.raises(Offline, match="CORRAL_OFFLINE is set"):
        kind(environ=hub.environ(), is_offline=True).listing("Own/Repo")
    assert hub.requests == []


def test_the_bridge_files_of_a_repository_become_its_recipe(hub, resolve):
    params = b'{"temperature": 0.5, "stop": ["<|end|>"], "unheard_of": 1}'
    bridge = {"system": b"Be kind.\n", "params": params, "template": b"{{ .Prompt }}"}
    hub.add("Own/Repo", FILES | bridge)
    recipe = resolve("Own/Repo")[0].recipe
    assert recipe.parameters == {"temperature": 0.5, "stop": ["<|end|>"], "unheard_of": 1}
    assert recipe.system == "Be kind."
    assert recipe.template == "{{ .Prompt }}"


def test_a_jinja_template_of_the_repository_is_taken(hub, resolve):
    template = b"{% for m in messages %}{{ m.content }}{% endfor %}"
    hub.add("Own/Repo", FILES | {"template": template, "params": b"not json"})
    recipe = resolve("Own/Repo")[0].recipe
    assert recipe.template == template.decode()
    assert recipe.parameters == {}
    assert "params is left out" in recipe.note


def test_the_other_hub_offers_the_same_bytes(hub):
    other_files = FILES | {"m-Q4_K_M.gguf": content("c")}
    with FakeHub() as second:
        hub.add("Own/Repo", FILES)
        second.add("Own/Repo", other_files)
        source = HubSource(made("hf.co", hub), others=[made("modelscope.cn", second)])
        whole = source.resolve(ModelName.parse("hf.co/Own/Repo:Q8_0"))
        changed = source.resolve(ModelName.parse("hf.co/Own/Repo:Q4_K_M"))
    assert [len(file.candidates) for file in whole] == [1, 1, 1]
    assert whole[0].candidates[0].location.startswith(second.url)
    assert whole[0].candidates[0].provenance["source"] == "hub:modelscope.cn"
    assert [len(file.candidates) for file in changed] == [0, 1]


def test_the_other_hub_stands_in_nobodys_way(hub, unused_port):
    hub.add("Own/Repo", FILES)
    nowhere = f"http://127.0.0.1:{unused_port}"
    away = ModelScope(environ={"MODELSCOPE_ENDPOINT": nowhere})
    source = HubSource(made("hf.co", hub), others=[away])
    assert source.resolve(ModelName.parse("hf.co/Own/Repo"))[0].candidates == ()


def test_no_secret_reaches_the_log(hub, host, caplog):
    hub.add("Own/Private", FILES | {"system": b"Be kind. " * 20}, private=True)
    hub.add("Own/Bad", FILES, fault="500")
    name = "HF_TOKEN" if host == "hf.co" else "MODELSCOPE_API_TOKEN"
    source = HubSource(made(host, hub, **{name: TOKEN}))
    with caplog.at_level(logging.INFO):
        model = source.resolve(ModelName.parse(f"{host}/Own/Private"))[0]
        with pytest.raises(SourceError) as caught:
            source.resolve(ModelName.parse(f"{host}/Own/Bad"))
    assert model.recipe.system.startswith("Be kind.")
    assert TOKEN not in caplog.text
    assert hub.cdn_url not in caplog.text, "what a redirect leads to is signed"
    assert hub.headers_seen_by("cdn")
    assert not any({"authorization", "cookie"} & set(seen) for seen in hub.headers_seen_by("cdn"))
    assert TOKEN not in caught.value.message + caught.value.hint


def test_the_clients_are_imported_only_when_a_hub_is_asked():
    code = (
        "import sys; import runner.daemon.main, runner.hub.places as p; from pathlib import Path;"
        "p.hubs_and_sources(order='auto', folders=(Path('.'),), memory_bytes=0);"
        "slow = ('huggingface_hub', 'modelscope', 'requests');"
        "print([m for m in sys.modules if m.startswith(slow)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("token", ["two words", "line\nend", "gr\u00fc\u00dfe", "nul\0", "\ud83d"])
def test_what_can_be_no_token_is_neither_sent_nor_told(host, hub, caplog, token):
    hub.add("Own/Repo", FILES)
    caplog.set_level(logging.DEBUG)
    variable = {"hf.co": "HF_TOKEN", "modelscope.cn": "MODELSCOPE_API_TOKEN"}[host]
    source = HubSource(made(host, hub, **{variable: f"sesame-{token}"}))
    with pytest.raises(AccessDenied, match=f"{variable} cannot be a token") as caught:
        source.resolve(ModelName.parse(f"{host}/Own/Repo"))
    assert "sesame" not in caught.value.message + caught.value.hint + caplog.text
    assert hub.requests == []


def test_blanks_around_a_token_are_none_of_it(host, hub):
    hub.add("Own/Repo", FILES, private=True)
    variable = {"hf.co": "HF_TOKEN", "modelscope.cn": "MODELSCOPE_API_TOKEN"}[host]
    source = HubSource(made(host, hub, **{variable: f"  {TOKEN}\n"}))
    assert source.resolve(ModelName.parse(f"{host}/Own/Repo"))
