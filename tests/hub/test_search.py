"""A search of both hubs: what they have with sizes and fit, and who could not be asked."""

import pytest

from runner.errors import RateLimited, SourceError
from runner.hub.huggingface import HuggingFace
from runner.hub.modelscope import ModelScope
from runner.hub.search import search
from tests.fakes.hub import FakeHub

WEIGHTS = b"GGUF" + b"w" * 200
GB = 10**9
SIZES = {"t-Q4_K_M.gguf": 2 * GB, "t-Q8_0.gguf": 20 * GB}
FILES = dict.fromkeys(SIZES, WEIGHTS)


@pytest.fixture
def second():
    with FakeHub() as hub:
        yield hub


@pytest.fixture
def hubs(hub, second):
    environ = {"HF_ENDPOINT": hub.url, "MODELSCOPE_ENDPOINT": second.url}
    return [HuggingFace(environ), ModelScope(environ=environ)]


def test_both_hubs_are_searched_with_sizes_and_fit(hub, second, hubs):
    hub.add("own/tiny-GGUF", FILES, sizes=SIZES, gated=True, license="gemma", n_likes=7)
    second.add("other/tiny-GGUF", FILES, sizes=SIZES, n_downloads=5)
    result = search(hubs, "tiny", 5, memory_bytes=16 * GB)
    assert [model.name for model in result.models] == [
        "hf.co/own/tiny-GGUF",
        "modelscope.cn/other/tiny-GGUF",
    ]
    first, other = result.models
    assert (first.n_likes, first.license, first.is_gated) == (7, "gemma", True)
    assert (other.n_downloads, other.is_gated) == (5, False)
    for model in result.models:
        assert [(q.label, q.n_bytes, q.fits) for q in model.quants] == [
            ("Q4_K_M", 2 * GB, True),
            ("Q8_0", 20 * GB, False),
        ]
    assert result.failures == ()


def test_each_hub_gives_its_most_downloaded_up_to_the_limit(hub, hubs):
    for n in range(5):
        hub.add(f"own/tiny-{n}-GGUF", FILES, n_downloads=n)
    result = search(hubs, "tiny", 3)
    assert [model.n_downloads for model in result.models] == [4, 3, 2]


def test_without_memory_nothing_is_said_of_the_fit(hub, hubs):
    hub.add("own/tiny-GGUF", FILES, sizes=SIZES)
    (model,) = search(hubs, "tiny", 3).models
    assert {quant.fits for quant in model.quants} == {None}


def test_one_hub_down_is_named_beside_what_the_other_has(hub, second, hubs):
    hub.add("own/tiny-GGUF", FILES, fault="500")
    second.add("own/tiny-GGUF", FILES)
    result = search(hubs, "tiny", 5)
    assert [model.hub for model in result.models] == ["modelscope.cn"]
    (failure,) = result.failures
    assert (failure.hub, failure.code) == ("hf.co", "source_failed")
    assert "answered 500" in failure.message


def test_a_hub_that_never_answers_is_named_and_keeps_nobody_waiting(hub, hubs):
    """What the other one has found is there without it."""

    class Silent:
        host = "modelscope.cn"

        def search(self, words, limit):
            hub.over.wait(60)
            return []

    hub.add("own/tiny-GGUF", FILES)
    answered = search(hubs[:1], "tiny", 5).models
    result = search([hubs[0], Silent()], "tiny", 5, patience_s=3.0)
    assert result.models == answered
    (failure,) = result.failures
    assert failure.hub == "modelscope.cn"
    assert "not answered within 3 seconds" in failure.message
    with pytest.raises(SourceError, match=r"not answered within 0\.01 seconds"):
        search([Silent()], "tiny", 5, patience_s=0.01)
    hub.over.set()


def test_no_hub_at_all_is_the_first_ones_error(hub, second, hubs):
    hub.add("own/tiny-GGUF", FILES, fault="429")
    second.add("own/tiny-GGUF", FILES, fault="500")
    with pytest.raises(RateLimited):
        search(hubs, "tiny", 5)
    with pytest.raises(SourceError, match=r"modelscope\.cn answered 500"):
        search(hubs[1:], "tiny", 5)


def test_nothing_found_is_no_error(hubs):
    assert search(hubs, "nothing like it", 5).models == ()
