"""What a button does about an error, and that it tries again then."""

from __future__ import annotations

import pytest

from gui.mender import elsewhere, hub_of, wait_s
from gui.ways import GUIDE, actions_for
from gui.widgets.way_row import WayRow
from gui.words import WORDS


@pytest.mark.parametrize(
    ("name", "hub", "other"),
    [
        ("hf.co/meadow/sprout:Q4_K_M", "hf.co", "modelscope.cn/meadow/sprout:Q4_K_M"),
        ("modelscope.cn/meadow/sprout", "modelscope.cn", "hf.co/meadow/sprout"),
        ("modelscope.ai/meadow/sprout:Q8_0", "modelscope.ai", "hf.co/meadow/sprout:Q8_0"),
        ("smollm2", "", ""),
        ("registry.example/meadow/sprout", "", ""),
        ("/home/me/model.gguf", "", ""),
    ],
)
def test_a_repository_has_a_name_on_the_other_hub(name, hub, other):
    assert hub_of(name) == hub
    assert elsewhere(name) == other


@pytest.mark.parametrize(
    ("words", "n_s"),
    [
        ("this key may make 2 requests a minute try again in 31 s", 31),
        ("hf.co wants fewer requests for 2.5 seconds", 3),
        ("try again in 0 s", 1),
        ("server busy, 12 are waiting", 5),
        ("", 5),
    ],
)
def test_what_an_error_asks_to_be_waited_for(words, n_s):
    assert wait_s(words) == n_s


def test_a_button_does_what_can_be_done_here_and_else_leads_there(application):
    done = []
    acts = {"token": lambda: done.append("token")}
    [(text, act)] = actions_for("access_denied", acts)
    act()
    assert (text, done) == ("Give a token", ["token"])
    led = []
    GUIDE.led.connect(led.append)
    [(text, act)] = actions_for("access_denied")
    act()
    GUIDE.led.disconnect(led.append)
    assert (text, led) == ("Give a token", ["settings/downloads"])


def test_a_row_of_buttons_speaks_both_languages_and_does_what_was_said_last(application):
    row, done = WayRow(), []
    row.show_code("disk_full", {"clean": lambda: done.append(1)})
    assert [button.text() for button in row.buttons] == [
        "Free disk space…",
        "Make room in the library",
        "Where models are kept",
    ]
    row.show_code("disk_full", {"clean": lambda: done.append(2)})
    row.buttons[0].click()
    assert done == [2]
    try:
        WORDS.use("zh")
        row.retranslate()
        assert row.buttons[0].text() == "清理磁盘空间…"
    finally:
        WORDS.use("en")
    row.show_code("of_a_later_version", {})
    assert row.isHidden() and row.buttons == []
    row.deleteLater()
