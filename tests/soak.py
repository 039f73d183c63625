"""Everything at once, for an hour: clients, pulls, loads, cancels, killed workers, new daemons.

    python tests/soak.py [--minutes 60] [--seed 1] [--clients 6] [--calm] [--folder DIR]

Clients of three dialects ask, stream, leave halfway, cancel each other, pull and remove models,
while a troublemaker kills workers and ends or kills the daemon and starts it again.  What each does
follows from the seed.  Every request must be answered, refused in words, or broken off by a daemon
that was ended; nothing may hang.  At the end nothing waits, no process is left over, the library
and the cache are sound, the log has no prompt, and memory and open files are what they were; else
the exit code is 1.  ``--calm`` ends no daemon: one lives through all of it, and is held to what it
had after a fifth of the time.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import psutil  # noqa: E402

from runner.store.library import Library  # noqa: E402
from tests.fakes.hub import FakeHub  # noqa: E402
from tests.fakes.models import tiny_model  # noqa: E402
from tests.real_daemon import RealDaemon, wait_for  # noqa: E402

#: Models that stay; more than may be in memory at once, so that they make room for each other.
KEPT = ("alpha", "beta", "gamma")
#: One that comes from the hub and goes again.
PULLED = "hf.co/owner/Tiny-GGUF:Q8_0"
#: Seconds after which a request counts as hanging.
HANGS_S = 120.0
#: Seconds that a daemon may take to end, on a machine where much else computes.
ENDS_S = 60.0
#: Seconds that one may take to start there.
STARTS_S = 600.0
#: Memory of the daemon may grow by this factor and this much, from its first quiet moment on.
GROWTH, GROWTH_BYTES = 1.5, 40 << 20
MORE_FILES = 24
#: The same where one daemon lives all the time, from the end of its warm-up on.
CALM_GROWTH, CALM_GROWTH_BYTES = 1.1, 16 << 20
CALM_MORE_FILES = 4
WARM_UP = 0.2  # of the time
#: What prompts are made of; no log may have it twice in a row.
WORD = "again "


class Broken(Exception):
    """The daemon was ended while it answered."""


@dataclass
class World:
    """What all threads share.

    Attributes:
        daemon: The one that runs now.
        trouble: Held while the daemon is ended and started.
        epoch: Counts the daemons: a request that saw two of them may have been broken off.
        over: Set when the time is up.
        ended: How requests ended, by kind and outcome.
        faults: What went wrong, in words.
        is_calm: No daemon is ended.
        sizes: The daemon's memory in bytes and its open files, whenever it was at rest.
    """

    daemon: RealDaemon
    is_calm: bool = False
    trouble: threading.Lock = field(default_factory=threading.Lock)
    epoch: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    ended: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)

    def ask(self, kind: str, act: Callable[[http.client.HTTPConnection], str]) -> None:
        """Do one thing over a connection of its own, and note how it ended."""
        before, began = self.epoch, time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=HANGS_S)
        try:
            self.ended[f"{kind}: {act(connection)}"] += 1
        except (OSError, http.client.HTTPException, Broken) as error:
            if isinstance(error, TimeoutError):
                self.faults.append(f"{kind} hangs for {time.monotonic() - began:.0f} s")
            elif self.epoch == before and not self.trouble.locked():
                self.faults.append(f"{kind} was broken off by a daemon that lives: {error!r}")
                self.over.wait(1.0)  # a daemon that is gone has enough faults
            else:
                self.ended[f"{kind}: broken off with its daemon"] += 1
                with self.trouble:  # until the next one serves: asking nobody takes its cores
                    pass
        except AssertionError as error:
            self.faults.append(f"{kind}: {error}")
        finally:
            connection.close()


def post(connection: http.client.HTTPConnection, path: str, body: object) -> None:
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})


def refusal(response: http.client.HTTPResponse) -> str:
    """The code of an error; every one has words."""
    told = json.loads(response.read())
    error = told.get("error")
    words = error.get("message") if isinstance(error, dict) else error
    assert words, f"an error without words: {told}"
    assert response.status != 500 or "worker" in str(told), f"a bug: {told}"
    return f"refused with {response.status}"


def chat(rng: random.Random) -> Callable[[http.client.HTTPConnection], str]:
    """A conversation in a dialect of its own; read to its end, or left in the middle."""
    path = rng.choice(["/api/chat", "/v1/chat/completions", "/v1/messages"])
    n_tokens, leaves_after = rng.choice([1, 8, 64, 400]), rng.choice([None, None, 0, 3])
    text = WORD * rng.choice([1, 20, 200])
    body: dict[str, object] = {
        "model": rng.choice(KEPT),
        "messages": [{"role": "user", "content": text}],
        "stream": True,
    }
    if path == "/api/chat":
        body["options"] = {"num_predict": n_tokens, "num_ctx": rng.choice([1024, 2048])}
    else:
        body["max_tokens"] = n_tokens
    ends = {"/api/chat": b'"done":true', "/v1/messages": b"message_stop"}.get(path, b"[DONE]")

    def act(connection: http.client.HTTPConnection) -> str:
        post(connection, path, body)
        response = connection.getresponse()
        if response.status != 200:
            return refusal(response)
        last, n_lines = b"", 0
        for line in response:
            if not line.strip():
                continue
            last, n_lines = line, n_lines + 1
            if leaves_after is not None and n_lines > leaves_after:
                return "left"
        if b'"error"' in last or b"event: error" in last:
            return "an error at its end"
        if ends not in last:
            raise Broken(f"{path} ends with {last[:80]!r}")
        return "whole"

    return act


def once(
    rng: random.Random, path: str, body: object
) -> Callable[[http.client.HTTPConnection], str]:
    """A request with one answer."""

    def act(connection: http.client.HTTPConnection) -> str:
        if body is None:
            connection.request("GET", path)
        else:
            post(connection, path, body)
        response = connection.getresponse()
        if response.status != 200:
            return refusal(response)
        text = response.read()
        json.loads(text.splitlines()[-1])
        return "whole"

    return act


def pull(connection: http.client.HTTPConnection) -> str:
    """A model from the hub, followed to its end."""
    post(connection, "/api/pull", {"model": PULLED})
    response = connection.getresponse()
    if response.status != 200:
        return refusal(response)
    lines = [json.loads(line) for line in response if line.strip()]
    if lines and lines[-1].get("status") == "success":
        return "whole"
    if lines and "error" in lines[-1]:
        return "an error at its end"
    raise Broken("a pull ends without a word")


def remove(connection: http.client.HTTPConnection) -> str:
    connection.request("DELETE", "/api/delete", json.dumps({"model": PULLED}))
    response = connection.getresponse()
    if response.status not in (200, 404):
        return refusal(response)
    response.read()
    return "gone"


def cancel(connection: http.client.HTTPConnection) -> str:
    """End somebody else's request, whichever is first."""
    connection.request("GET", "/api/requests")
    rows = json.loads(connection.getresponse().read())["requests"]
    if not rows:
        return "nobody there"
    connection.request("DELETE", f"/api/requests/{rows[0]['id']}")
    response = connection.getresponse()
    response.read()
    assert response.status in (200, 204, 404), f"cancelling answers {response.status}"
    return "done"


def client(world: World, rng: random.Random) -> None:
    """Ask one thing after another until the time is up."""
    while not world.over.is_set():
        model = rng.choice(KEPT)
        kind = rng.choices(
            ("chat", "generate", "tokens", "look", "pull", "remove", "unload", "cancel"),
            (50, 10, 8, 12, 4, 3, 5, 8),
        )[0]
        act: Callable[[http.client.HTTPConnection], str]
        match kind:
            case "chat":
                act = chat(rng)
            case "generate":
                body = {"model": model, "prompt": "once", "stream": False}
                act = once(rng, "/api/generate", body | {"options": {"num_predict": 16}})
            case "tokens":
                act = once(rng, "/api/tokenize", {"model": model, "content": "some words"})
            case "look":
                paths = ("/api/tags", "/api/ps", "/api/cache", "/api/du", "/api/jobs", "/v1/models")
                act = once(rng, rng.choice(paths), None)
            case "unload":
                act = once(rng, "/api/unload", {"model": model})
            case _:
                act = {"pull": pull, "remove": remove, "cancel": cancel}[kind]
        world.ask(kind, act)


def troublemaker(world: World, rng: random.Random, pause_s: float) -> None:
    """Kill workers, and end or kill the daemon."""
    while not world.over.wait(rng.uniform(0.5, 1.5) * pause_s):
        what = rng.choices(("worker", "restart", "kill"), (6, 2, 1))[0]
        if world.is_calm:
            what = "worker"
        world.ended[f"trouble: {what}"] += 1
        if what == "worker":
            for child in psutil.Process(world.daemon.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
                    break
            continue
        with world.trouble:
            world.epoch += 1
            if what == "kill":
                world.daemon.process.kill()
                world.daemon.process.wait()
            else:
                try:
                    world.daemon.stop(timeout_s=ENDS_S)
                except subprocess.TimeoutExpired:  # it was killed; the next one is started anyway
                    log = world.daemon.log[-2000:]
                    world.faults.append(f"the daemon did not end within {ENDS_S:.0f} s: {log}")
            start(world.daemon)
            world.epoch += 1


def start(daemon: RealDaemon) -> RealDaemon:
    """Return the daemon when it serves, however busy the machine is."""
    process = daemon.spawn()
    wait_for(lambda: daemon.file.exists() or process.poll() is not None, "daemon.json", STARTS_S)
    assert process.poll() is None, daemon.log
    daemon.record = json.loads(daemon.file.read_text())
    return daemon


def at_rest(world: World) -> tuple[int, int]:
    """Return memory in bytes and open files of the daemon, once nobody asks anything."""
    wait_for(
        lambda: not world.daemon.ask("GET", "/api/requests").json["requests"],
        "the last request to end",
        timeout_s=HANGS_S,
    )
    for name in KEPT:
        world.daemon.ask("POST", "/api/unload", {"model": name})
    wait_for(lambda: not world.daemon.ask("GET", "/api/ps").json["models"], "empty memory", HANGS_S)
    process = psutil.Process(world.daemon.pid)
    n_files = process.num_fds() if hasattr(process, "num_fds") else 0
    world.sizes.append((process.memory_info().rss, n_files))
    return world.sizes[-1]


def check_end(world: World, at_first: tuple[int, int]) -> Iterator[str]:
    """Yield what is not as it should be when all is over."""
    daemon = world.daemon
    if (code := daemon.process.poll()) is not None:
        yield f"no daemon runs, the last one ended with {code}: {daemon.log[-2000:]}"
        return
    yield from _check_growth(world, at_first, at_rest(world))
    if children := psutil.Process(daemon.pid).children():
        yield f"{len(children)} workers are there without a model"
    said = daemon.ask("POST", "/api/verify", {"deep": True})
    if faults := [line for line in said.lines if line.get("faults")]:
        yield f"the library is damaged: {faults}"
    yield from _check_cache(daemon)
    pids = [child.pid for child in psutil.Process(daemon.pid).children(recursive=True)]
    if code := daemon.stop(timeout_s=ENDS_S):
        yield f"the daemon ended with {code}"
    if left := [pid for pid in pids if psutil.pid_exists(pid)]:
        yield f"processes outlive the daemon: {left}"
    if broken := Library(daemon.home / "models").broken():
        yield f"manifests that cannot be read: {broken}"
    for what, sign in (("a bug", "Traceback"), ("a prompt", WORD * 2)):
        before, found, after = daemon.log.partition(sign)
        if found:
            yield f"the log has {what}: {before[-200:]}{found}{after[:2000]}"


def _check_growth(
    world: World, at_first: tuple[int, int], at_last: tuple[int, int]
) -> Iterator[str]:
    growth, growth_bytes, more_files = GROWTH, GROWTH_BYTES, MORE_FILES
    if world.is_calm:
        growth, growth_bytes, more_files = CALM_GROWTH, CALM_GROWTH_BYTES, CALM_MORE_FILES
    if at_last[0] > at_first[0] * growth + growth_bytes:
        yield f"the daemon grew from {at_first[0] >> 20} to {at_last[0] >> 20} MiB"
    if at_last[1] > at_first[1] + more_files:
        yield f"the daemon has {at_last[1]} files open, at first it had {at_first[1]}"


def _check_cache(daemon: RealDaemon) -> Iterator[str]:
    """Whether the account of kept prompts is what lies on the disk."""
    told = daemon.ask("GET", "/api/cache").json
    there = sum(path.stat().st_size for path in (daemon.home / "cache" / "kv").rglob("*.kv"))
    disk, n_tokens = told["tiers"]["disk"], told["tiers"]["resident"]["tokens"]
    if disk["size"] != there:
        yield f"the cache says it has {disk['size']} bytes on disk, and has {there}"
    if disk["size"] > disk["limit"]:
        yield f"the cache has {disk['size']} bytes, more than its limit of {disk['limit']}"
    if n_tokens:
        yield f"{n_tokens} tokens are in contexts that are gone"


def soak(
    folder: Path,
    *,
    seconds: float,
    seed: int,
    n_clients: int,
    pause_s: float,
    is_calm: bool = False,
) -> World:
    """Run it; what went wrong is in ``faults``."""
    rng = random.Random(seed)
    model = tiny_model(folder / "tiny.gguf", n_ctx_train=4096)
    with FakeHub() as hub:
        hub.add("owner/Tiny-GGUF", {"tiny-Q8_0.gguf": model.read_bytes() + bytes(4 << 20)})
        limits = {"CORRAL_MAX_LOADED_MODELS": "2", "CORRAL_NUM_PARALLEL": "4"}
        daemon = RealDaemon(folder / "home", **hub.environ(), **limits, CORRAL_KV_DISK="64MB")
        daemon.answers_s = STARTS_S  # what is asked before and after: nothing is measured there
        world = World(start(daemon), is_calm)
        try:
            for name in KEPT:
                daemon.take_in(model, name)
                first = {"model": name, "prompt": "x", "stream": False}
                daemon.ask("POST", "/api/generate", first | {"options": {"num_predict": 1}})
            at_first = at_rest(world)
            if is_calm:
                _run(world, rng, seconds * WARM_UP, n_clients, pause_s)
                at_first, seconds = at_rest(world), seconds * (1 - WARM_UP)
            _run(world, rng, seconds, n_clients, pause_s)
            try:
                world.faults += check_end(world, at_first)
            except Exception as error:  # what was found before is told as well
                world.faults.append(f"the end could not be looked at: {error!r}")
        finally:
            if daemon.process.poll() is None:
                daemon.process.kill()
                daemon.process.wait()
    return world


def _run(world: World, rng: random.Random, seconds: float, n_clients: int, pause_s: float) -> None:
    def guarded(act: Callable[..., None], *arguments: object) -> None:
        try:
            act(world, *arguments)
        except Exception as error:
            world.faults.append(f"{act.__name__}: {error!r}")

    seeds = [random.Random(rng.random()) for _ in range(n_clients + 1)]
    threads = [
        threading.Thread(target=guarded, args=(client, one), daemon=True) for one in seeds[1:]
    ]
    threads.append(
        threading.Thread(target=guarded, args=(troublemaker, seeds[0], pause_s), daemon=True)
    )
    world.over.clear()
    for thread in threads:
        thread.start()
    world.over.wait(seconds)
    world.over.set()
    for thread in threads:
        thread.join(STARTS_S + HANGS_S)
        if thread.is_alive():
            world.faults.append("a client never came back")


def main() -> int:
    """Soak, and tell; returns the exit code."""
    parser = argparse.ArgumentParser(description="Everything at once, for an hour.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--calm", action="store_true", help="end no daemon; it may not grow")
    parser.add_argument("--folder", type=Path, help="where all of it lies, and stays")
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = asked.folder
        if folder is None:
            temporary = tempfile.TemporaryDirectory(prefix="corral-soak-")
            folder = Path(stack.enter_context(temporary))
        folder.mkdir(parents=True, exist_ok=True)
        world = soak(
            folder.resolve(),
            seconds=asked.minutes * 60,
            seed=asked.seed,
            n_clients=asked.clients,
            pause_s=10.0,
            is_calm=asked.calm,
        )
        for n_bytes, n_files in world.sizes:
            print(f"at rest: {n_bytes / (1 << 20):.1f} MiB, {n_files} open files")
        for kind, n in sorted(world.ended.items()):
            print(f"{n:8} {kind}")
        for fault, n in Counter(world.faults).items():
            print(f"FAULT {fault}" + (f" ({n} times)" if n > 1 else ""))
        if world.faults:
            kept = Path("soak-daemon.log")
            kept.write_text(world.daemon.log, encoding="utf-8")
            print(f"seed {asked.seed}; the daemon's log is in {kept}")
    return int(bool(world.faults))


if __name__ == "__main__":
    sys.exit(main())
