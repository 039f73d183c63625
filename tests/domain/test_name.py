"""Model names: what is written parses back, and nothing hostile gets through."""

import string

import pytest
from hypothesis import given, strategies as st

from runner.domain.name import DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG, ModelName
from runner.errors import InvalidName

FIRST = string.ascii_letters + string.digits + "_"


def parts(more: str, longest: int) -> st.SearchStrategy[str]:
    rest = st.text(FIRST + more, max_size=longest - 1)
    return st.builds(str.__add__, st.sampled_from(FIRST), rest)


TAGS = parts("-.", 80)
MODELS = parts("-.", 96)
NAMESPACES = parts("-", 80)
HOSTS = st.sampled_from(["hf.co", "HF.co", "modelscope.cn", "example.org:8080", "localhost:1"])
NAMES = st.one_of(
    st.builds(ModelName, st.just(DEFAULT_HOST), st.just(DEFAULT_NAMESPACE), MODELS, TAGS),
    st.builds(ModelName, st.just(DEFAULT_HOST), NAMESPACES, MODELS, TAGS),
    st.builds(ModelName, HOSTS, MODELS, MODELS, TAGS),
)
HOSTILE = st.one_of(
    st.text(),
    st.text("aA0_.-:/ \\\0\n%~é😀"),
    st.lists(
        st.sampled_from(["..", ".", "", "hf.co", "ms", "a", "://", ":", "CON", "x" * 400])
    ).map("/".join),
)


@given(NAMES)
def test_a_name_parses_back_from_its_own_spelling(name):
    assert ModelName.parse(str(name)) == name


@given(NAMES)
def test_the_spelling_of_a_name_keeps_its_case(name):
    assert ModelName.parse(str(name)).model == name.model


@given(NAMES)
def test_case_is_ignored_for_comparing(name):
    other = ModelName.parse(str(name).upper())
    assert other == ModelName.parse(str(name).lower()) == name
    assert hash(other) == hash(name)


@given(HOSTILE)
def test_any_text_is_a_name_or_an_invalid_name(text):
    try:
        name = ModelName.parse(text)
    except InvalidName as error:
        assert error.message
        assert error.hint
        assert len(error.message) < 1000
        return
    assert ModelName.parse(str(name)) == name
    for part in name.key:
        assert part
        assert part[0] in FIRST
        assert not set(part) - set(FIRST + "-.:")


@given(HOSTILE)
def test_no_name_leads_out_of_a_folder(text):
    try:
        name = ModelName.parse(text)
    except InvalidName:
        return
    assert not any(part in ("", ".", "..") or "/" in part or "\\" in part for part in name.key)


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("smollm2", (DEFAULT_HOST, "library", "smollm2", "latest")),
        ("smollm2:135m", (DEFAULT_HOST, "library", "smollm2", "135m")),
        ("me/mine", (DEFAULT_HOST, "me", "mine", "latest")),
        ("hf.co/owner/Some-Model-GGUF:Q4_K_M", ("hf.co", "owner", "Some-Model-GGUF", "Q4_K_M")),
        ("huggingface.co/o/m", ("hf.co", "o", "m", "latest")),
        ("https://huggingface.co/o/m", ("hf.co", "o", "m", "latest")),
        ("https://www.HuggingFace.co/o/m", ("hf.co", "o", "m", "latest")),
        ("ms/o/m", ("modelscope.cn", "o", "m", "latest")),
        ("www.modelscope.cn/o/m:x", ("modelscope.cn", "o", "m", "x")),
        ("registry.ollama.ai/library/qwen3:4b", (DEFAULT_HOST, "library", "qwen3", "4b")),
        ("localhost:8080/o/m", ("localhost:8080", "o", "m", "latest")),
        ("hf.co/bartowski.ai/m", ("hf.co", "bartowski.ai", "m", "latest")),
    ],
)
def test_a_spelling_stands_for_a_full_name(text, full):
    name = ModelName.parse(text)
    assert (name.host, name.namespace, name.model, name.tag) == full


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the model is empty"),
        (":", "the tag after ':' is empty"),
        ("model:", "the tag after ':' is empty"),
        (":tag", "the model is empty"),
        ("/model", "the namespace is empty"),
        ("a//b", "the namespace is empty"),
        ("/a/b", "the host is empty"),
        ("a/b/c/d", "4 parts"),
        ("../secret", "bad namespace '..'"),
        ("hf.co/../secret", "bad namespace '..'"),
        ("..", "bad model '..'"),
        ("a.b/model", "bad namespace 'a.b'"),
        (f"{DEFAULT_HOST.upper()}/a.b/model", "bad namespace 'a.b'"),
        ("mödel", "bad model 'mödel'"),
        ("model:t\n", "bad tag"),
        ("a:b:c", "bad model 'a:b'"),
        ("m" * 97, "bad model"),
        ("-model", "bad model '-model'"),
    ],
)
def test_a_bad_name_is_refused_with_its_reason(text, reason):
    with pytest.raises(InvalidName) as caught:
        ModelName.parse(text)
    assert reason in caught.value.message


def test_the_short_form_leaves_out_what_everybody_means():
    assert str(ModelName.parse("Smollm2")) == f"Smollm2:{DEFAULT_TAG}"
    assert str(ModelName.parse("me/m:1")) == "me/m:1"
    assert str(ModelName.parse("hf.co/library/m")) == "hf.co/library/m:latest"
