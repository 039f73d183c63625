"""The loopback hub is honest: the real clients of both hubs download through it."""

import hashlib

import pytest

from tests.fakes.hub import COMMIT, TOKEN

WEIGHTS = b"GGUF" + bytes(range(256)) * 400
FILES = {"m-Q4_K_M.gguf": WEIGHTS, "sub/m-Q8_0.gguf": WEIGHTS[::-1], "system": b"Be kind."}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "downloads"


@pytest.mark.parametrize("path", FILES)
def test_hugging_faces_client_downloads_a_file(hub, folder, path):
    from huggingface_hub import hf_hub_download

    hub.add("Own/Repo", FILES)
    place = hf_hub_download("Own/Repo", path, endpoint=hub.url, local_dir=folder)
    with open(place, "rb") as file:  # noqa: PTH123 - the client gives text
        assert file.read() == FILES[path]


def test_hugging_faces_client_downloads_a_whole_repository(hub, folder):
    from huggingface_hub import snapshot_download

    hub.add("Own/Repo", FILES)
    snapshot_download("Own/Repo", endpoint=hub.url, local_dir=folder, max_workers=1)
    for path, content in FILES.items():
        assert (folder / path).read_bytes() == content


def test_the_token_of_hugging_face_does_not_reach_the_cdn(hub, folder):
    from huggingface_hub import hf_hub_download

    hub.add("Own/Repo", FILES, private=True)
    hf_hub_download("Own/Repo", "m-Q4_K_M.gguf", endpoint=hub.url, local_dir=folder, token=TOKEN)
    assert any("authorization" in seen for seen in hub.headers_seen_by("hub"))
    assert hub.headers_seen_by("cdn")
    assert not any("authorization" in seen for seen in hub.headers_seen_by("cdn"))


def test_hugging_faces_client_lists_searches_and_asks(hub):
    from huggingface_hub import HfApi, errors

    hub.add("Own/Repo", FILES, gated=True)
    api = HfApi(endpoint=hub.url, token=False)
    tree = {entry.path: entry for entry in api.list_repo_tree("Own/Repo", recursive=True)}
    assert tree["m-Q4_K_M.gguf"].lfs.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert [info.id for info in api.list_models(search="repo", filter="gguf")] == ["Own/Repo"]
    assert api.model_info("Own/Repo").sha == COMMIT
    with pytest.raises(errors.GatedRepoError):
        api.auth_check("Own/Repo")
    with pytest.raises(errors.RevisionNotFoundError):
        api.model_info("Own/Repo", revision="v9")


@pytest.fixture
def modelscope(hub, monkeypatch):
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
    hub.add("Own/Repo", FILES)
    from modelscope_hub import HubApi

    return HubApi(endpoint=hub.url, token="")


@pytest.mark.parametrize("path", FILES)
def test_modelscopes_client_downloads_a_file(modelscope, folder, path):
    place = modelscope.download_file("Own/Repo", "model", path, local_dir=folder)
    assert place.read_bytes() == FILES[path]


def test_the_modelscope_package_downloads_a_whole_repository(hub, modelscope, folder):
    from modelscope.hub.snapshot_download import snapshot_download

    snapshot_download("Own/Repo", local_dir=str(folder), max_workers=1, endpoint=hub.url)
    for path, content in FILES.items():
        assert (folder / path).read_bytes() == content
    assert not any("authorization" in seen for seen in hub.headers_seen_by("cdn"))


def test_modelscopes_client_lists_and_searches(modelscope):
    files = {file.path: file for file in modelscope.list_repo_files("Own/Repo", "model")}
    assert files["m-Q4_K_M.gguf"].sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert modelscope.list_repo_files("Own/Repo", "model", revision="main") == []
    assert [info.name for info in modelscope.list_repos("model", search="repo").items] == ["Repo"]
