"""What Modelfiles ask for, and what is said about those that cannot be followed."""

import pytest
from hypothesis import given, strategies as st

from runner.domain.chat import Message
from runner.domain.options import Options
from runner.errors import InvalidRequest
from runner.modelfile.lint import lint
from runner.modelfile.meaning import meaning_of
from runner.modelfile.parse import parse

DIGEST = "0123456789abcdef" * 4


def test_every_instruction_has_its_meaning():
    meaning = meaning_of(
        parse(
            "FROM ./model.gguf\nFROM ./mmproj.gguf\nADAPTER ./lora.gguf\nDRAFT ./small.gguf\n"
            "PARAMETER temperature 0.5\nPARAMETER num_ctx 2048\nPARAMETER use_mmap false\n"
            "PARAMETER stop <|end|>\nPARAMETER stop b\nPARAMETER low_vram true\n"
            'TEMPLATE """{{ .Prompt }}"""\nSYSTEM one\nSYSTEM two\nLICENSE MIT\nLICENSE other\n'
            f"MESSAGE user hi\nMESSAGE assistant ho\nREQUIRES 0.14.0\n"
            f"MIRROR ms/a/b\nSHA256 {DIGEST}"
        )
    )
    assert meaning.bases == ("./model.gguf", "./mmproj.gguf")
    assert (meaning.adapters, meaning.drafts) == (("./lora.gguf",), ("./small.gguf",))
    assert meaning.options == Options(
        temperature=0.5, num_ctx=2048, use_mmap=False, stop=("<|end|>", "b")
    )
    assert (meaning.template, meaning.system) == ("{{ .Prompt }}", "two")
    assert meaning.licenses == ("MIT", "other")
    assert meaning.messages == (Message("user", "hi"), Message("assistant", "ho"))
    assert (meaning.requires, meaning.mirrors, meaning.sha256) == ("0.14.0", ("ms/a/b",), DIGEST)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("PARAMETER heat 1", "unknown parameter 'heat'"),
        ("PARAMETER temperature hot", "PARAMETER temperature 'hot': option"),
        ("PARAMETER top_p 7", "top_p must be in"),
        ("RENDERER qwen3-coder", "RENDERER is not supported"),
        ("PARSER harmony", "PARSER is not supported"),
        ("REQUIRES soon", "requires must be a valid semver"),
        ("SHA256 12", "SHA256 must be 64"),
    ],
)
def test_what_cannot_be_followed_is_named_with_its_line(line, reason):
    with pytest.raises(InvalidRequest, match=rf"\(line 2\): .*{reason}") as caught:
        meaning_of(parse(f"FROM a\n{line}"))
    assert caught.value.param in ("parameter", "renderer", "parser", "requires", "sha256")
    assert [(found.severity, found.line) for found in lint(f"FROM a\n{line}")] == [("error", 2)]


def test_the_linter_tells_all_at_once():
    text = (
        "FROM a\nPARAMETER heat 1\nSYSTEM x\nPARAMETER top_k 3\nPARAMETER top_k 4\nSYSTEM y\n"
        "PARAMETER f16_kv true\nTEMPLATE hello\nPARSER q\n"
    )
    assert [(one.severity, one.line) for one in lint(text)] == [
        ("error", 2),
        ("warning", 5),
        ("warning", 6),
        ("warning", 7),
        ("warning", 8),
        ("error", 9),
    ]
    assert lint("FROM a\nSTOP\n")[0].line == 2
    assert lint("")[0].line == 0


@given(st.text(st.sampled_from('FROMSYTEPARAMTER stop1.5"\n<>#é')))
def test_any_text_has_findings_or_a_meaning(text):
    findings = lint(text)
    if not any(one.severity == "error" for one in findings):
        assert meaning_of(parse(text)).bases


def test_a_parameter_that_is_nearly_one_is_guessed():
    with pytest.raises(InvalidRequest, match="unknown parameter 'temperatur'") as caught:
        meaning_of(parse("FROM a\nPARAMETER temperatur 1"))
    assert caught.value.hint == "did you mean 'temperature'?"
