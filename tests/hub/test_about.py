"""What a hub's own words say of a model."""

from __future__ import annotations

from hypothesis import given, strategies as st

from runner.domain.model import Capability
from runner.hub.about import abilities, languages

words = st.lists(st.one_of(st.text(max_size=12), st.sampled_from(("en", "zh", "gguf", "tools"))))


@given(words)
def test_languages_are_codes_each_once_and_in_order(told):
    found = languages(told)
    assert list(found) == sorted(set(found))
    assert ("en" in found) >= ("en" in told)
    assert "gguf" not in found and "tools" not in found


@given(words, st.lists(st.text(max_size=12)), st.text(max_size=40))
def test_abilities_are_those_beside_completing(told, files, template):
    assert set(abilities(told, files, template)) <= {Capability.TOOLS, Capability.VISION}


def test_a_template_that_names_tools_and_a_projector_speak_for_themselves():
    assert abilities((), template="{% if tools %}{% endif %}") == (Capability.TOOLS,)
    assert abilities((), files=("mmproj-F16.gguf",)) == (Capability.VISION,)
    assert abilities(("gguf",), ("a.gguf",), "{{ messages }}") == ()


def test_a_hub_that_puts_other_things_among_its_words_is_no_trouble():
    assert languages((None, 3, "EN", "language:zh", {"a": 1})) == ("en", "zh")
