"""The app as a person works it: a real window, moved by a real mouse and keyboard, from its first
start with an empty home to a chat in Chinese in the dark."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from tests.desktop.screen import Desk, missing, screen
from tests.fakes.hub import FakeHub
from tests.fakes.models import tiny_model
from tests.gui.system_libraries import REASON
from tests.real_daemon import ROOT

pytestmark = [
    pytest.mark.skipif(bool(REASON or missing()), reason=REASON or missing()),
    pytest.mark.timeout(900),
]


@pytest.fixture
def desk(tmp_path):
    with screen() as display, FakeHub() as hub:
        tiny = tiny_model(tmp_path / "tiny.gguf", n_ctx_train=65536).read_bytes()
        hub.add("meadow/sprout-GGUF", {"sprout-F32.gguf": tiny}, n_likes=7)
        home = tmp_path / "home"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("CORRAL_", "QT_"))}
        environ = {
            **clean,
            **hub.environ(),
            "DISPLAY": display,
            "QT_QPA_PLATFORM": "xcb",
            "PYTHONPATH": str(ROOT),
            "CORRAL_HOME": str(home),
            "CORRAL_HOST": f"127.0.0.1:{free_port()}",
            "CORRAL_NUM_THREAD": "1",
            "CORRAL_MODEL_OPTIONS": "temperature=0",  # the same answers each time
            "LANG": "C.UTF-8",
        }
        with Desk(environ, tmp_path / "app.log") as made:
            yield made
        corral = [sys.executable, "-P", "-m", "runner"]
        subprocess.run([*corral, "daemon", "stop"], env=environ, timeout=60, capture_output=True)


def test_a_newcomer_gets_models_chats_branches_and_settles_in(desk):
    first_run(desk)
    download_from_the_hub(desk)
    make_a_smaller_form(desk)
    chat_stop_and_branch(desk)
    settle_in(desk)
    close_and_come_back(desk)


def first_run(desk):
    desk.see("Welcome to Corral")
    desk.click("Get it: smollm2")
    desk.see("What would you like to know?")


def download_from_the_hub(desk):
    desk.press("ctrl+2")
    desk.click("Search the hubs")
    desk.type("sprout")
    desk.press("Return")
    desk.see("hf.co/meadow/sprout-GGUF")
    desk.until(lambda: any(t.startswith("Download F32") for t in desk.texts()), "the download")
    desk.click(next(text for text in desk.texts() if text.startswith("Download F32")))
    desk.see("Done")
    desk.press("ctrl+4")
    desk.see("hf.co/meadow/sprout-GGUF:F32")


def make_a_smaller_form(desk):
    desk.click("hf.co/meadow/sprout-GGUF:F32")
    desk.click("More")
    desk.click("Smaller forms…")
    desk.click("Q8_0")
    desk.click("Name of the new model")
    desk.type("seedling")
    desk.click("Make them")
    desk.see("seedling:latest")
    desk.press("ctrl+4")
    desk.see("seedling:latest")
    desk.see("Q8_0")


def chat_stop_and_branch(desk):
    desk.press("ctrl+1")
    desk.see("Your question")
    desk.click("Your question")
    desk.type("Say hello.")
    desk.press("Return")
    desk.see("tokens/s")
    assert desk.sees("smollm2")
    # This one's weights are noise: it goes on until it is stopped.
    desk.click("Model")
    desk.click("hf.co/meadow/sprout-GGUF:F32")
    desk.until(
        lambda: any(t[:1] == "=" and t.endswith("sprout-GGUF:F32") for t in desk.texts()),
        "the model to be chosen",
    )
    desk.click("Your question")
    desk.type("Count to ten.")
    desk.press("Return")
    desk.see("Stop")
    desk.until(lambda: desk.texts().count("Text of the turn") >= 4, "its first words")
    desk.press("Escape")
    desk.see("stopped")
    desk.click("Answer again; the arrow has other models")
    desk.until(lambda: desk.sees("Stop") or desk.sees("2/2"), "another answer")
    desk.press("Escape")
    desk.see("2/2")
    desk.click("Earlier version")
    desk.see("1/2")


def settle_in(desk):
    desk.press("ctrl+7")
    before = desk.ask(state=True)["theme"]
    desk.click("Theme")
    desk.click("Dark")
    desk.until(lambda: desk.ask(state=True)["theme"] != before, "the dark")
    desk.click("Language")
    desk.click("简体中文")
    desk.see("设置")
    desk.click("模型")
    desk.see("模型在内存中保留")


def close_and_come_back(desk):
    assert desk.ask(state=True)["tray"]
    desk.press("alt+F4")
    desk.until(lambda: not desk.ask(state=True)["windows"], "the window to close")
    again = subprocess.run(
        [sys.executable, "-m", "gui"], env=desk.environ, cwd=ROOT, timeout=60, capture_output=True
    )
    assert again.returncode == 0, again.stderr
    desk.until(lambda: "Corral" in desk.ask(state=True)["windows"], "the window to come back")


def free_port() -> int:
    """A port that the app's daemon may take: the app must know it before there is one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
