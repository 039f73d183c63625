"""``/api/search`` on a real socket."""

import pytest

from runner.domain.model import Capability
from runner.domain.search import FoundModel, FoundQuant, HubFailure, SearchResult
from runner.errors import NotOnHub, RateLimited

RESULT = SearchResult(
    (
        FoundModel(
            name="hf.co/own/tiny-GGUF",
            hub="hf.co",
            n_likes=7,
            n_downloads=100,
            license="mit",
            is_gated=False,
            quants=(FoundQuant("Q4_K_M", 2_000, True), FoundQuant("Q8_0")),
            languages=("en", "zh"),
            abilities=(Capability.TOOLS,),
        ),
    ),
    (HubFailure("modelscope.cn", "offline", "was not asked", "unset it"),),
)


def test_a_search_tells_models_and_who_could_not_be_asked(house):
    house.searches.result = RESULT
    reply = house.ask("GET", "/api/search?q=tiny+model&hub=HF&limit=3")
    assert reply.status == 200
    assert house.searches.asked == [("tiny model", "hf", 3)]
    assert reply.json == {
        "models": [
            {
                "name": "hf.co/own/tiny-GGUF",
                "hub": "hf.co",
                "likes": 7,
                "downloads": 100,
                "license": "mit",
                "gated": False,
                "languages": ["en", "zh"],
                "capabilities": ["tools"],
                "quants": [
                    {"name": "Q4_K_M", "size": 2000, "fits": True, "memory": None},
                    {"name": "Q8_0", "size": 0, "fits": None, "memory": None},
                ],
                "opened": None,
            }
        ],
        "errors": [
            {
                "hub": "modelscope.cn",
                "error": "was not asked",
                "code": "offline",
                "hint": "unset it",
            }
        ],
    }


def test_what_is_left_out_has_its_default(house):
    assert house.ask("GET", "/api/search?q=x").json == {"models": [], "errors": []}
    assert house.searches.asked == [("x", "all", 10)]


@pytest.mark.parametrize("limit", ["many", "-1", "1.5", "9" * 20, "²"])
def test_a_limit_that_is_no_number_is_named(house, limit):
    reply = house.ask("GET", f"/api/search?q=x&limit={limit}")
    assert reply.status == 400
    assert "limit must be a whole number" in reply.json["error"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(RateLimited("slow down"), 502, "rate_limited"), (NotOnHub("no"), 404, "not_on_hub")],
)
def test_an_error_of_the_hubs_keeps_its_code(house, error, status, code):
    house.searches.result = error
    reply = house.ask("GET", "/api/search?q=x")
    assert (reply.status, reply.json["code"]) == (status, code)


def test_a_web_page_may_not_search(house):
    house.origins = ("https://page.example",)
    reply = house.ask("GET", "/api/search?q=x", headers={"Origin": "https://page.example"})
    assert reply.status == 403
    assert house.searches.asked == []


def test_a_card_is_told_with_its_text(house):
    reply = house.ask("GET", "/api/search/card?name=hf.co/own/tiny-GGUF")
    assert reply.status == 200
    assert reply.json == {"name": "hf.co/own/tiny-GGUF", "text": "# A card", "truncated": True}
    assert house.searches.opened == ["hf.co/own/tiny-GGUF"]


def test_a_card_that_cannot_be_had_says_why(house):
    house.searches.result = NotOnHub("there is no such repository")
    reply = house.ask("GET", "/api/search/card?name=hf.co/own/none")
    assert (reply.status, reply.json["code"]) == (404, "not_on_hub")
