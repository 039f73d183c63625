"""More models than places: nothing is lost, and each answer is its own model's."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time

import pytest

from tests.fakes.models import tiny_model
from tests.real_daemon import RealDaemon, wait_for

pytestmark = pytest.mark.live

#: Read here: tests themselves run without the user's settings.
IS_SOAK = bool(os.environ.get("CORRAL_SOAK"))
#: What each model says, over and over.
WORDS = {"alpha": "abcdefgh", "beta": "ijklmnop", "gamma": "qrstuvwx"}


@pytest.fixture
def make_crowd(tmp_path):
    """Starts a daemon that has the models of these names, and so many places for them."""
    with contextlib.ExitStack() as stack:

        def start(names, n_places):
            own = {"CORRAL_MAX_LOADED_MODELS": str(n_places)}
            daemon = stack.enter_context(RealDaemon(tmp_path / "home", **own))
            for name in names:
                path = tmp_path / f"{name}.gguf"
                daemon.take_in(
                    tiny_model(path, says=WORDS[name], name=name, n_ctx_train=65536), name
                )
            return daemon

        yield start


@pytest.fixture
def crowd(make_crowd):
    return make_crowd(WORDS, 2)


def ask(daemon, name, n_tokens, **options):
    body = {
        "model": name,
        "messages": [{"role": "user", "content": "go on"}],
        "stream": False,
        "options": {"num_predict": n_tokens, "temperature": 0, **options},
    }
    return daemon.ask("POST", "/api/chat", body)


def expected(name, n_tokens):
    return (WORDS[name] * (n_tokens // 8 + 1))[:n_tokens]


def client(daemon, names, seed, until, found):
    """Ask any of the models for answers of any length; ``until`` tells when to stop."""
    dice = random.Random(seed)
    while until(len(found)):
        name, n_tokens = dice.choice(sorted(names)), dice.randint(1, 60)
        options = dice.choice([{}, {"num_ctx": 2048}, {"num_ctx": 4096}, {"num_batch": 256}])
        reply = ask(daemon, name, n_tokens, **options)
        said = reply.json.get("message", {}).get("content") if reply.status == 200 else reply.body
        found.append((name, n_tokens, reply.status, said))


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("names", "n_places", "n_least"), [(("alpha", "beta"), 1, 2), (tuple(WORDS), 2, 8)]
)
def test_models_that_push_each_other_out_answer_all_that_is_asked(
    make_crowd, names, n_places, n_least
):
    """Ten minutes where ``CORRAL_SOAK`` is set, else a few answers of each client."""
    crowd = make_crowd(names, n_places)
    end = time.monotonic() + 600.0

    def until(n_done):
        return time.monotonic() < end if IS_SOAK else n_done < n_least

    answers = [[] for _ in range(4)]
    threads = [
        threading.Thread(target=client, args=(crowd, names, seed, until, found))
        for seed, found in enumerate(answers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, n_tokens, status, said in [one for found in answers for one in found]:
        assert (status, said) == (200, expected(name, n_tokens)), name
    assert all(len(found) >= n_least for found in answers)
    told = crowd.ask("GET", "/api/machine").json
    assert told["model_evictions"] > 0
    assert len(crowd.ask("GET", "/api/ps").json["models"]) <= n_places


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL and no SIGSEGV to send")
@pytest.mark.parametrize("how", ["SIGKILL", "SIGSEGV"])
def test_a_model_that_dies_is_loaded_again_and_the_others_notice_nothing(crowd, how):
    """With less, and once more with even less; whoever had heard of its answer hears of it."""
    number = getattr(signal, how)
    assert ask(crowd, "alpha", 8).status == ask(crowd, "beta", 8).status == 200
    other = crowd.running("beta")["pid"]
    body = {"model": "alpha", "prompt": "go on", "options": {"num_predict": 30000}, "stream": False}
    for n_deaths in (1, 2):
        n_before = crowd.running("alpha")["n_tokens"]
        with contextlib.closing(crowd.send("POST", "/api/generate", body)) as lost:
            # One of which no text has come would be asked again, of the next process.
            wait_for(lambda n=n_before: crowd.running("alpha")["n_tokens"] > n + 200, "the answer")
            os.kill(crowd.running("alpha")["pid"], number)
            reply = lost.getresponse()
            told = reply.read()
        assert reply.status == 500
        assert b'"code":"worker_failed"' in told
        assert f"signal {number.value}".encode() in told
        assert b"with less" in told
        again = ask(crowd, "alpha", 24)
        assert again.json["message"]["content"] == expected("alpha", 24)
        note = crowd.running("alpha")["note"]
        assert (
            note.count(f"for 10 minutes, since its process died (signal {number.value})")
            == n_deaths
        )
        assert crowd.log.count("to be loaded with less model=alpha") == n_deaths
    assert crowd.running("beta")["pid"] == other
