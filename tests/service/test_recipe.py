"""What a stranger wrote beside a model: the good of it is kept, the rest left out."""

import pytest
from hypothesis import given, strategies as st

from runner.domain.options import Options
from runner.hub.source import Recipe, RemoteFile
from runner.service.recipe import extras_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
NAMES = st.sampled_from(["temperature", "top_k", "stop", "seed", "num_ctx"]) | st.text(max_size=8)


def file(**recipe):
    return RemoteFile("m.gguf", "/m.gguf", True, 1, license="MIT", recipe=Recipe(**recipe))


def test_what_is_good_comes_into_the_manifest():
    extras = extras_of(
        file(
            parameters={"temperature": 0.5, "stop": ["<|a|>"], "num_ctx": -7, "heat": 1},
            system="Be kind.",
            template="{{ messages }}",
        )
    )
    assert extras.parameters == Options(temperature=0.5, stop=("<|a|>",))
    assert (extras.system, extras.license, extras.template) == ("Be kind.", "MIT", "{{ messages }}")
    (words,) = extras.left_out
    assert "num_ctx" in words


@pytest.mark.parametrize(
    ("template", "is_good"),
    [
        ("{{ .System }}{{ .Prompt }}", True),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", True),
        ("{{ if .System }}", False),
        ("{% x %}", False),
    ],
)
def test_a_template_of_either_language_is_taken_when_it_is_valid(template, is_good):
    extras = extras_of(file(template=template))
    assert extras.template == (template if is_good else None)
    assert len(extras.left_out) == (not is_good)
    assert is_good or "template" in extras.left_out[0]


def test_a_file_without_a_recipe_adds_nothing():
    extras = extras_of(file())
    assert (extras.parameters, extras.system, extras.template) == (Options(), "", None)


@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_no_parameters_of_a_stranger_stop_a_pull(parameters):
    kept = extras_of(file(parameters=parameters)).parameters.set_values()
    assert set(kept) <= set(parameters)
