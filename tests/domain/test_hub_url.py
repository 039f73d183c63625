"""Links of the hubs become names; what is no link is left to the grammar of names."""

import pytest
from hypothesis import given, strategies as st

from runner.domain.hub_url import read_link
from runner.domain.name import ModelName
from runner.errors import InvalidName

SHA = "a" * 40


@pytest.mark.parametrize(
    ("text", "name", "revision", "file"),
    [
        ("https://huggingface.co/Own/Repo-GGUF", "hf.co/Own/Repo-GGUF:latest", "", ""),
        ("https://hf.co/Own/Repo:Q8_0", "hf.co/Own/Repo:Q8_0", "", ""),
        ("hf://Own/Repo", "hf.co/Own/Repo:latest", "", ""),
        ("hf://Own/Repo/m-Q4_K_M.gguf", "hf.co/Own/Repo:Q4_K_M", "", "m-Q4_K_M.gguf"),
        ("hf.co/Own/Repo/blob/v1/m-Q4_K_M.gguf", "hf.co/Own/Repo:Q4_K_M", "v1", "m-Q4_K_M.gguf"),
        (
            "https://huggingface.co/Own/Repo/resolve/main/Q8_0/m%20x.gguf?download=true",
            "hf.co/Own/Repo:Q8_0",
            "main",
            "Q8_0/m x.gguf",
        ),
        (f"https://huggingface.co/Own/Repo/tree/{SHA}", "hf.co/Own/Repo:latest", SHA, ""),
        (f"hf.co/Own/Repo:q4_k_m@{SHA}", "hf.co/Own/Repo:q4_k_m", SHA, ""),
        ("hf.co/Own/Repo@refs/pr/1", "hf.co/Own/Repo:latest", "refs/pr/1", ""),
        ("ms/Own/Repo:Q8_0", "modelscope.cn/Own/Repo:Q8_0", "", ""),
        ("https://www.modelscope.cn/models/Own/Repo/summary", "modelscope.cn/Own/Repo", "", ""),
        (
            "https://www.modelscope.cn/models/Own/Repo/file/view/master/a/m-Q8_0.gguf?status=2",
            "modelscope.cn/Own/Repo:Q8_0",
            "master",
            "a/m-Q8_0.gguf",
        ),
        (
            "https://modelscope.cn/models/Own/Repo/resolve/v2/model.gguf",
            "modelscope.cn/Own/Repo:model",
            "v2",
            "model.gguf",
        ),
        (
            "https://modelscope.cn/api/v1/models/Own/Repo/repo?Revision=master&FilePath=d%2Fx.gguf",
            "modelscope.cn/Own/Repo:x",
            "master",
            "d/x.gguf",
        ),
        (
            "https://hf-mirror.com/Own/Repo/resolve/main/m-Q8_0.gguf?download=true",
            "hf.co/Own/Repo:Q8_0",
            "main",
            "m-Q8_0.gguf",
        ),
        (
            "https://huggingface.co/Own/Repo/blob/main/m-Q8_0.gguf?download=true#L1",
            "hf.co/Own/Repo:Q8_0",
            "main",
            "m-Q8_0.gguf",
        ),
        (
            f"https://www.modelscope.cn/models/Own/Repo/resolve/{SHA}/m-Q8_0.gguf?download=true",
            "modelscope.cn/Own/Repo:Q8_0",
            SHA,
            "m-Q8_0.gguf",
        ),
        (f"ms/Own/Repo:Q8_0@{SHA}", "modelscope.cn/Own/Repo:Q8_0", SHA, ""),
        ("https://www.modelscope.ai/models/Own/Repo", "modelscope.ai/Own/Repo", "", ""),
    ],
)
def test_a_link_is_a_name_with_revision_and_file(text, name, revision, file):
    found = ModelName.parse(text)
    assert found == ModelName.parse(name)
    assert (found.revision, found.file) == (revision, file)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("https://huggingface.co/Own/Repo/blob/main/m.safetensors", "is no GGUF file"),
        ("https://huggingface.co/Own/Repo/blob/main/%2e%2e/m.gguf", "bad file path"),
        ("https://huggingface.co/Own/Repo/tree/..%2Fx", "bad revision"),
        ("hf.co/Own/Repo@", "no revision"),
        ("hf.co/Own/Repo@a..b", "bad revision"),
        ("smollm2@main", "only a hub's repositories have revisions"),
        ("file:///home/me/m.gguf", "is a file of this machine"),
        ("FILE:/m.gguf", "is a file of this machine"),
        ("https://example.com/m.gguf?token=1", "'example.com' is no model hub that is known here"),
        ("http://example.com/a/b/resolve/main/m", "'example.com' is no model hub"),
    ],
)
def test_a_bad_link_is_refused_with_the_reason(text, reason):
    with pytest.raises(InvalidName, match=reason):
        ModelName.parse(text)


def test_a_name_and_a_revision_of_it_are_the_same_name():
    assert ModelName.parse("hf.co/a/b:c@main") == ModelName.parse("hf.co/a/b:c")
    assert str(ModelName.parse("hf.co/a/b:c@main")) == "hf.co/a/b:c"


@given(
    st.lists(
        st.sampled_from(
            [
                *("https://", "hf.co", "huggingface.co", "modelscope.cn", "models", "a", "b"),
                *("resolve", "blob", "tree", "main", "x.gguf", "..", "%2e"),
                *("?", "=", "@", ":", "[", "\0", "é"),
            ]
        ),
        max_size=10,
    ).map("/".join)
)
def test_any_text_is_a_link_or_none_and_its_name_is_good_or_refused(text):
    link = read_link(text)
    assert link is None or link.host
    try:
        name = ModelName.parse(text)
    except InvalidName:
        return
    assert ModelName.parse(str(name)) == name
    assert ".." not in name.file.split("/")
