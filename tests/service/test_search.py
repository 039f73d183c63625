"""What may be asked of a search, and which hubs it goes to."""

import asyncio
import threading

import pytest

from runner.errors import InvalidRequest
from runner.hub.repository import Found
from runner.service.search import SearchService
from tests.workers.pieces import until


class ListedHub:
    """A hub with one repository, whose files nobody can list."""

    def __init__(self, host):
        self.host = host
        self.asked = []

    def search(self, words, limit):
        self.asked.append((words, limit))
        return [Found(self.host, "own/tiny")]

    def claims(self, host):
        return host == self.host

    def listing(self, repository, revision=""):
        raise InvalidRequest("not here")


@pytest.fixture
def hubs():
    return {"hf": ListedHub("hf.co"), "modelscope": ListedHub("modelscope.cn")}


def found(hubs, *args, **more):
    result = asyncio.run(SearchService(hubs, memory_bytes=1).search(*args, **more))
    return [model.name for model in result.models]


def test_all_hubs_are_asked_unless_one_is_named(hubs):
    assert found(hubs, " tiny ") == ["hf.co/own/tiny", "modelscope.cn/own/tiny"]
    assert found(hubs, "tiny", hub="modelscope", limit=3) == ["modelscope.cn/own/tiny"]
    assert hubs["hf"].asked == [("tiny", 10)]
    assert hubs["modelscope"].asked == [("tiny", 10), ("tiny", 3)]


@pytest.mark.parametrize(
    ("words", "more", "param"),
    [
        ("  ", {}, "q"),
        ("x", {"limit": 0}, "limit"),
        ("x", {"limit": 51}, "limit"),
        ("x", {"hub": "ollama"}, "hub"),
    ],
)
def test_a_bad_search_names_the_field(hubs, words, more, param):
    with pytest.raises(InvalidRequest) as caught:
        found(hubs, words, **more)
    assert caught.value.param == param
    assert not hubs["hf"].asked


class SilentHub(ListedHub):
    """A hub that answers nobody until it is let."""

    def __init__(self, host):
        super().__init__(host)
        self.may_answer = threading.Event()

    def search(self, words, limit):
        super().search(words, limit)
        self.may_answer.wait(60)
        return []


def test_searches_that_wait_for_a_hub_hold_up_nothing_else():
    """What else needs a thread for a moment has one, however many wait."""
    hub = SilentHub("hf.co")

    async def story():
        service = SearchService({"hf": hub})
        searches = [asyncio.create_task(service.search(f"word {n}")) for n in range(20)]
        await until(lambda: hub.asked)
        assert await asyncio.to_thread(hub.may_answer.is_set) is False
        left, *others = searches
        left.cancel()
        hub.may_answer.set()
        assert [result.models for result in await asyncio.gather(*others)] == [()] * 19

    asyncio.run(story())


@pytest.mark.parametrize("text", ["", "tiny", "own/tiny and more", "ollama.com/own/tiny"])
def test_a_card_is_of_a_repository_named_in_full(hubs, text):
    with pytest.raises(InvalidRequest) as caught:
        asyncio.run(SearchService(hubs).card(text))
    assert caught.value.param == "name"
