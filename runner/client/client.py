"""The daemon's native API as blocking calls and iterators.

    client = Client("http://127.0.0.1:11434")
    with client.chat("smollm2", [Message("user", "Hello")]) as answer:
        for event in answer:
            ...

A ``Client`` holds no connection and no state, so any thread may use it.  Finding or starting
the daemon is ``launch.py``'s.
"""

from __future__ import annotations

import json
import math
import time
from binascii import b2a_base64
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlencode

from runner.client import decode, decode_keeping, decode_measuring, decode_storage
from runner.client.connection import ANSWER_S, Exchange, Json, Stream, decoded, refusal
from runner.client.decode import DaemonVersion, ShownModel
from runner.client.decode_keeping import Load
from runner.client.http1 import BadReply
from runner.client.keeping import Keeping
from runner.domain.cache import CacheReport, Cleared
from runner.domain.chat import Message
from runner.domain.devices import SharedDevice
from runner.domain.event import Event
from runner.domain.job import Job
from runner.domain.key import Key
from runner.domain.memory import MemoryNeed
from runner.domain.model import ModelInfo, RunningModel
from runner.domain.options import Options
from runner.domain.progress import Progress
from runner.domain.quality import BenchReport, QualityReport
from runner.domain.request import Priority, Think
from runner.domain.running import RunningRequest
from runner.domain.search import ModelCard, SearchResult
from runner.domain.storage import DiskUse, Pruned
from runner.errors import DaemonError, ModelNotFound


class Client(Keeping):
    """Speaks to one daemon.  Every call raises ``CorralError`` and nothing else on purpose.

    Args:
        url: ``http://host:port``, ``https://host:port`` or ``unix:///path``.
        token: The owner's token; empty: without.  ``launch.find_token`` knows which to send.
        certificate: File of a certificate to trust, whoever signed it.
    """

    def __init__(self, url: str, token: str = "", certificate: str = "") -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._certificate = certificate

    def version(self) -> DaemonVersion:
        """Return what the daemon says it is."""
        return decoded(decode.version, self._call("GET", "/api/version"))

    def list_models(self) -> list[ModelInfo]:
        """Return the library, last changed first."""
        return decoded(decode.models, self._call("GET", "/api/tags"))

    def running(self) -> list[RunningModel]:
        """Return the models in memory, the one that stays longest first."""
        value = self._call("GET", "/api/ps")
        return decoded(lambda v: decode.running(v, now=time.time()), value)

    def loading(self) -> dict[str, Load]:
        """Return how far each model is that is on its way into memory, by its name."""
        return decoded(decode_keeping.loads, {"loads": [], **self._call("GET", "/api/ps")})

    def requests(self) -> list[RunningRequest]:
        """Return the requests that run, then those that wait, who is next first."""
        return decoded(decode.requests, self._call("GET", "/api/requests"))

    def cancel(self, request_id: str) -> None:
        """End a request by its id in the list; whoever asked is told so."""
        self._call("DELETE", f"/api/requests/{quote(request_id, safe='')}")

    def show(self, name: str, *, verbose: bool = False) -> ShownModel:
        """Return all of one model; ``verbose``: long arrays and the tensor table too."""
        body = {"model": name, "verbose": verbose}
        value = self._call("POST", "/api/show", body, model=name)
        return decoded(lambda v: decode.shown(v, name=name), value)

    def estimate(self, name: str) -> MemoryNeed:
        """Return what loading a model would take of memory now, and with which context."""
        value = self._call("POST", "/api/estimate", {"model": name}, model=name)
        return decoded(decode.estimate, value)

    def chat(
        self,
        model: str,
        messages: Sequence[Message],
        *,
        options: Options | None = None,
        keep_alive: float | None = None,
        priority: Priority | None = None,
        think: Think = None,
        form: str | Json | None = None,
        conversation: str = "",
    ) -> Stream[Event]:
        """Answer a conversation.

        Args:
            model: A name in the library.
            messages: The conversation so far; none: only load the model.
            options: What differs from the model's own parameters.
            keep_alive: Seconds the model stays loaded afterwards; ``math.inf`` for ever, ``None``
                for the daemon's own setting.
            priority: Its class; ``None`` for the daemon's default.
            think: Whether to think first, and how hard; ``None``: as the model does by itself.
            form: ``json``, or the JSON schema that the answer must follow.
            conversation: Its name, by which ``clear_cache`` finds what is kept of it.
        """
        turns = [_turn(message) for message in messages]
        body: Json = {"model": model, "messages": turns, **_settings(options, keep_alive)}
        if priority is not None:
            body["priority"] = priority.value
        if think is not None:
            body["think"] = think
        if form is not None:
            body["format"] = form
        if conversation:
            body["conversation"] = conversation
        return Stream(self._exchange("POST", "/api/chat", body), decode.chat_events, _is_done)

    def generate(
        self,
        model: str,
        prompt: str,
        *,
        system: str | None = None,
        raw: bool = False,
        options: Options | None = None,
        keep_alive: float | None = None,
    ) -> Stream[Event]:
        """Continue one prompt.

        Args:
            model: A name in the library.
            prompt: The text; empty: only load the model.
            system: Instead of the model's own system message.
            raw: Take the prompt as it is, without the model's template.
            options: As in ``chat``.
            keep_alive: As in ``chat``.
        """
        body: Json = {"model": model, "prompt": prompt, **_settings(options, keep_alive)}
        if system is not None:
            body["system"] = system
        if raw:
            body["raw"] = True
        exchange = self._exchange("POST", "/api/generate", body)
        return Stream(exchange, decode.generate_events, _is_done)

    def embed(self, model: str, text: str) -> list[float]:
        """Return the vector of one text."""
        value = self._call("POST", "/api/embed", {"model": model, "input": text}, model=model)
        return decoded(lambda v: [float(n) for n in v["embeddings"][0]], value)

    def pull(
        self, name: str, path: Path | None = None, *, limit: str | None = None
    ) -> Stream[Progress]:
        """Bring a model into the library; closing the stream pauses a download.

        Args:
            name: What to pull; with ``path`` how to call it, empty: after the file.
            path: A local GGUF file to take instead; needs the owner's token.
            limit: Most bytes a second, such as ``5M``; ``None``: as the job has it.

        Returns:
            The progress; afterwards ``last`` may have the model's name as ``name`` or ``model``.
        """
        body: Json = {"model": name, "stream": True}
        if path is not None:
            body["path"] = str(path.absolute())
        if limit is not None:
            body["limit"] = limit
        exchange = self._exchange("POST", "/api/pull", body)
        return Stream(exchange, decode.progress, lambda line: line.get("status") == "success")

    def create(self, name: str, body: Json) -> Stream[Progress]:
        """Make a model; closing the stream gives it up, unless weights are converted or quantized.

        That is a job, which goes on; asked for once more, it is followed.

        Args:
            name: What it will be called.
            body: Further fields of ``/api/create``; paths in it need the owner's token.
        """
        exchange = self._exchange("POST", "/api/create", {**body, "model": name, "stream": True})
        return Stream(exchange, decode.progress, lambda line: line.get("status") == "success")

    def check_modelfile(self, text: str) -> Json:
        """Return ``ok``, ``findings`` and ``formatted`` of a Modelfile."""
        return self._call("POST", "/api/modelfile/check", {"modelfile": text})

    def search(self, words: str, *, hub: str = "all", limit: int = 10) -> SearchResult:
        """Return models on the hubs; ``hub`` is ``all``, ``hf`` or ``modelscope``."""
        query = urlencode({"q": words, "hub": hub, "limit": limit})
        return decoded(decode.search_result, self._call("GET", f"/api/search?{query}"))

    def card(self, name: str) -> ModelCard:
        """Return what the owner of ``name``, a hub's repository, wrote about it."""
        query = urlencode({"name": name})
        return decoded(decode.model_card, self._call("GET", f"/api/search/card?{query}"))

    def verify(self, name: str | None = None, *, deep: bool = False) -> Stream[Progress]:
        """Look at a model, or all; ``decode_storage.verified`` reads the stream's last line."""
        body: Json = {"deep": deep}
        if name is not None:
            body["model"] = name
        exchange = self._exchange("POST", "/api/verify", body)
        return Stream(exchange, decode.progress, lambda line: line.get("status") == "success")

    def repair(self, name: str) -> Stream[Progress]:
        """Mend a model; ``decode_storage.repaired`` reads the stream's last line."""
        exchange = self._exchange("POST", "/api/repair", {"model": name})
        return Stream(exchange, decode.progress, lambda line: line.get("status") == "success")

    def prune(self, *, dry_run: bool = False) -> Pruned:
        """Remove what nothing needs, or only say what that is."""
        body: Json = {"dry_run": dry_run}
        return decoded(decode_storage.pruned, self._call("POST", "/api/prune", body))

    def disk_use(self) -> DiskUse:
        """Return what the library takes of the disk."""
        return decoded(decode_storage.disk_use, self._call("GET", "/api/du"))

    def begin_pull(self, name: str, *, limit: str | None = None) -> Job:
        """Begin a pull that goes on alone; return its job."""
        body: Json = {"kind": "pull", "model": name}
        if limit is not None:
            body["limit"] = limit
        return decoded(decode.job, self._call("POST", "/api/jobs", body))

    def begin_quantize(self, name: str, body: Json) -> Job:
        """Begin to write a model in other types; return the job.

        Args:
            name: The model to make them from.
            body: Further fields of ``/api/quantize``; a path in it needs the owner's token.
        """
        value = self._call("POST", "/api/quantize", {**body, "model": name}, model=name)
        return decoded(decode.job, value)

    def plan_quantize(self, name: str, body: Json) -> Json:
        """Return what ``begin_quantize`` would make, as the daemon says it."""
        asked = {**body, "model": name, "dry_run": True}
        return self._call("POST", "/api/quantize", asked, model=name)

    def begin_perplexity(self, name: str, body: Json) -> Job:
        """Begin to measure how good a model is, with fields of ``/api/perplexity``."""
        value = self._call("POST", "/api/perplexity", {**body, "model": name}, model=name)
        return decoded(decode.job, value)

    def quality(self, name: str) -> list[QualityReport]:
        """Return what was measured of how good a model is, the latest first."""
        value = self._call("GET", f"/api/quality?{urlencode({'model': name})}", model=name)
        return decoded(decode_measuring.qualities, value)

    def begin_bench(self, name: str, body: Json) -> Job:
        """Begin to measure how fast a model is, with fields of ``/api/bench``."""
        value = self._call("POST", "/api/bench", {**body, "model": name}, model=name)
        return decoded(decode.job, value)

    def benches(self, name: str) -> list[BenchReport]:
        """Return what was measured of how fast a model is, the latest first."""
        value = self._call("GET", f"/api/bench?{urlencode({'model': name})}", model=name)
        return decoded(decode_measuring.benches, value)

    def job(self, job_id: int) -> Job:
        """Return one job."""
        return decoded(decode.job, self._call("GET", f"/api/jobs/{job_id}"))

    def jobs(self) -> list[Job]:
        """Return all jobs: those on their way in the order of the queue, then the latest."""
        return decoded(decode.jobs, self._call("GET", "/api/jobs"))

    def steer_job(self, job_id: int, verb: str, body: Json | None = None) -> Job:
        """Change a job and return it.

        Args:
            job_id: Which.
            verb: ``pause``, ``resume``, ``move`` (with ``place``) or ``limit`` (with ``limit``).
            body: What the verb needs.
        """
        return decoded(decode.job, self._call("POST", f"/api/jobs/{job_id}/{verb}", body or {}))

    def limit_jobs(self, limit: str) -> None:
        """Limit the speed of all jobs together."""
        self._call("POST", "/api/jobs/all/limit", {"limit": limit})

    def cancel_job(self, job_id: int) -> Job:
        """End a job, and remove what has arrived for it."""
        return decoded(decode.job, self._call("DELETE", f"/api/jobs/{job_id}"))

    def copy(self, source: str, destination: str) -> None:
        """Give a model a second name."""
        body = {"source": source, "destination": destination}
        self._call("POST", "/api/copy", body, model=source)

    def delete(self, name: str) -> None:
        """Take a model out of the library."""
        self._call("DELETE", "/api/delete", {"model": name}, model=name)

    def keys(self) -> list[Key]:
        """Return the API keys.  This and the next two need the owner's token or an admin key."""
        return decoded(decode.keys, self._call("GET", "/api/keys"))

    def add_key(
        self,
        name: str,
        *,
        scopes: Sequence[str] | None = None,
        models: Sequence[str] | None = None,
        n_per_minute: int = 0,
        expires: str | None = None,
    ) -> tuple[Key, str]:
        """Make an API key; return it and its secret, which nobody can ask for later.

        Args:
            name: Whom or what it is for.
            scopes: What it opens; ``None``: answers only.
            models: Those it may name; ``None``: all.
            n_per_minute: Requests a minute; 0: any number.
            expires: A span such as ``30d``, or a moment; ``None``: never.
        """
        body: Json = {"name": name, "requests_per_minute": n_per_minute}
        if scopes is not None:
            body["scopes"] = list(scopes)
        if models is not None:
            body["models"] = list(models)
        if expires is not None:
            body["expires"] = expires
        value = self._call("POST", "/api/keys", body)
        return decoded(lambda v: (decode.key(v), str(v["key"])), value)

    def revoke_key(self, key_id: str) -> None:
        """Take an API key away."""
        self._call("DELETE", f"/api/keys/{quote(key_id, safe='')}")

    def devices(self) -> list[SharedDevice]:
        """Return the devices of other machines that the daemon has a key of."""
        value = self._call("GET", "/api/devices")
        return decoded(
            lambda v: [SharedDevice(str(d["address"]), bool(d["lost"])) for d in v["devices"]],
            value,
        )

    def add_device(self, address: str, key: str) -> None:
        """Have the daemon keep the key of a device, once that has accepted it."""
        self._call("POST", "/api/devices", {"address": address, "key": key})

    def remove_device(self, address: str) -> None:
        """Have the daemon forget a device."""
        self._call("DELETE", f"/api/devices/{quote(address, safe='')}")

    def unload(self, name: str) -> bool:
        """Take a model out of memory; return whether it was in it."""
        return bool(self._call("POST", "/api/unload", {"model": name}, model=name).get("unloaded"))

    def cache(self) -> CacheReport:
        """Return what is kept of prompts, the last used first."""
        return decoded(decode.cache, self._call("GET", "/api/cache"))

    def clear_cache(self, model: str = "", *, conversation: str = "") -> Cleared:
        """Remove what is kept of prompts, of one model, of one conversation, or of all."""
        body: Json = {"model": model} if model else {}
        if conversation:
            body["conversation"] = conversation
        value = self._call("DELETE", "/api/cache", body, model=model)
        return decoded(decode.cleared, value)

    def shutdown(self) -> None:
        """Ask the daemon to end; returns when it has agreed.  Needs the owner's token."""
        self._call("POST", "/api/shutdown", {})

    def _exchange(self, method: str, path: str, body: Json | None) -> Exchange:
        return Exchange(
            self.url,
            method,
            path,
            body=body,
            token=self._token,
            certificate=self._certificate,
        )

    def _call(self, method: str, path: str, body: Json | None = None, *, model: str = "") -> Json:
        """Return the JSON object of a whole reply; an empty reply is an empty object."""
        exchange = self._exchange(method, path, body)
        try:
            raw = exchange.reply(ANSWER_S).read()
            value = json.loads(raw) if raw.strip() else {}
        except ModelNotFound as error:
            error.name = model
            raise
        except (OSError, BadReply, ValueError) as error:
            raise DaemonError(f"the daemon's answer to {path} cannot be read: {error}") from None
        finally:
            exchange.release()
        if not isinstance(value, dict):
            raise refusal(200, raw)
        return value


def _turn(message: Message) -> Json:
    turn: Json = {"role": message.role, "content": message.content}
    if message.thinking:
        turn["thinking"] = message.thinking
    if message.images:
        turn["images"] = [
            b2a_base64(image.content, newline=False).decode() for image in message.images
        ]
    return turn


def _settings(options: Options | None, keep_alive: float | None) -> Json:
    settings: Json = {}
    if options is not None and (values := options.set_values()):
        settings["options"] = values
    if keep_alive is not None:
        settings["keep_alive"] = -1 if math.isinf(keep_alive) else keep_alive
    return settings


def _is_done(line: Json) -> bool:
    return bool(line.get("done"))
