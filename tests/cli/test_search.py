"""``corral search`` as a real process, and the pure parts of its table."""

import json

from runner.cli.search import shown_quant
from runner.domain.search import FoundModel, FoundQuant


def test_a_table_of_what_the_hubs_have(daemon, corral):
    done = corral("search", "tiny", "model", "--limit", "3")
    assert done.returncode == 0
    head, first, bare = done.out.splitlines()
    assert head.split() == ["NAME", "LIKES", "DOWNLOADS", "LICENSE", "QUANTS", "SIZE", "FIT"]
    for cell in ("hf.co/own/tiny-GGUF", "7", "12K", "gemma (gated)", "Q4_K_M (+1)", "2.5 GB"):
        assert cell in first
    assert first.endswith("yes")
    assert bare.split() == ["modelscope.cn/own/bare", "0", "1", "-", "-", "-", "-"]
    assert "corral pull hf.co/own/tiny-GGUF:TAG" in done.err
    paths = [path for _, path, _, _ in daemon.requests]
    assert "/api/search?q=tiny+model&hub=all&limit=3" in paths


def test_json_has_everything(corral):
    told = json.loads(corral("search", "tiny", "--json").out)
    assert told["models"][0]["quants"][1] == {
        "name": "Q8_0",
        "size": 9_000_000_000,
        "fits": False,
        "memory": None,
    }
    assert told["models"][0]["opened"] is None
    assert told["errors"] == []


OPENED = {
    "models": [
        {
            "name": "hf.co/own/tiny-GGUF",
            "hub": "hf.co",
            "likes": 7,
            "downloads": 12_000,
            "license": "mit",
            "gated": False,
            "languages": ["en"],
            "capabilities": ["tools"],
            "quants": [
                {"name": "Q4_K_M", "size": 2_500_000_000, "fits": True, "memory": 3_100_000_000},
                {"name": "Q8_0", "size": 9_000_000_000, "fits": False, "memory": 9_600_000_000},
            ],
            "opened": {
                "chosen": "Q4_K_M",
                "reason": "the usual balance of size and quality, fits 8.0 GB of memory",
                "architecture": "llama",
                "parameters": 4_000_000_000,
                "context_length": 32768,
                "memory_context": 4096,
                "problem": "",
            },
        }
    ],
    "errors": [],
}


def test_a_full_name_opens_one_repository(daemon, corral):
    """Each quantization with its memory, and what the name means here, with the reason."""
    daemon.script.search = OPENED
    done = corral("search", "hf.co/own/tiny-GGUF")
    assert done.returncode == 0
    head, first, second = done.out.splitlines()
    assert head.split() == ["QUANT", "SIZE", "MEMORY", "FIT"]
    assert first.split() == ["Q4_K_M", "2.5", "GB", "3.1", "GB", "yes"]
    assert second.split() == ["Q8_0", "9", "GB", "9.6", "GB", "no"]
    assert "hf.co/own/tiny-GGUF, mit, 12K downloads, 4B parameters (llama)" in done.err
    assert "MEMORY is with a context of 4096 tokens" in done.err
    assert "get Q4_K_M (the usual balance" in done.err
    assert "corral pull hf.co/own/tiny-GGUF:Q4_K_M" in done.err
    assert json.loads(corral("search", "hf.co/own/tiny-GGUF", "--json").out) == OPENED


def test_a_repository_that_cannot_be_looked_into_says_why(daemon, corral):
    (found,) = OPENED["models"]
    blind = {"chosen": "", "problem": "hf.co/own/tiny-GGUF is gated"}
    daemon.script.search = OPENED | {"models": [found | {"opened": blind}]}
    done = corral("search", "hf.co/own/tiny-GGUF")
    assert "warning: hf.co/own/tiny-GGUF is gated" in done.err
    assert "tokens" not in done.err


def test_a_hub_that_could_not_be_asked_is_a_warning(daemon, corral):
    failure = {"hub": "hf.co", "error": "hf.co answered 500", "code": "x", "hint": "try later"}
    daemon.script.search = daemon.script.search | {"errors": [failure]}
    done = corral("search", "tiny")
    assert done.returncode == 0
    assert "warning: hf.co answered 500\n  try later" in done.err
    assert "own/tiny-GGUF" in done.out


def test_nothing_found_is_said(daemon, corral):
    daemon.script.search = {"models": [], "errors": []}
    done = corral("search", "nothing")
    assert (done.returncode, done.out) == (0, "")
    assert "no model with GGUF files matches 'nothing'" in done.err


def test_an_error_of_all_hubs_fails_the_command(daemon, corral):
    error = {"error": "hf.co cannot be reached", "code": "source_failed", "hint": "network"}
    daemon.script.failures["/api/search?q=x&hub=all&limit=10"] = (502, error)
    done = corral("search", "x")
    assert done.returncode == 1
    assert "hf.co cannot be reached" in done.err


def model(*quants):
    return FoundModel("hf.co/a/b", "hf.co", 0, 0, "", False, quants)


def test_the_usual_quantization_is_shown_else_the_largest_that_fits():
    small, usual = FoundQuant("Q2_K", 1, True), FoundQuant("Q4_K_M", 2, True)
    large, huge = FoundQuant("Q6_K", 3, True), FoundQuant("Q8_0", 9, False)
    assert shown_quant(model(small, usual, large, huge)) == usual
    assert shown_quant(model(small, large, huge)) == large
    assert shown_quant(model(huge)) == huge
    assert shown_quant(model()) is None
