"""One table of settings: environment, file, default and help text.

A setting is looked for in ``CORRAL_<NAME>``, then in Ollama's variable where it has the same
setting, then in ``config.toml``, and then has its default.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runner.domain.duration import keep_alive_seconds, parse_duration
from runner.domain.options import Speculate
from runner.errors import InvalidRequest

DEFAULT_PORT = 11434

#: Types that the cache can have, the largest first.
KV_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
_SWITCH: Mapping[str, bool | None] = {
    **dict.fromkeys(("1", "true", "on", "yes"), True),
    **dict.fromkeys(("0", "false", "off", "no"), False),
    "auto": None,
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where the daemon listens; ``host`` is a name or an address without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def reachable(self) -> Address:
        """Where a client on this machine finds it: a wildcard is no place to connect to."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return Address(host, self.port)

    @property
    def url(self) -> str:
        """Base URL for a client on this machine."""
        return f"http://{self.reachable}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, in their own types; seconds and bytes as their names say."""

    host: Address = Address("127.0.0.1", DEFAULT_PORT)
    keep_alive_s: float = 300.0
    context_length: int = 0
    num_parallel: int = 16
    max_loaded_models: int = 3
    max_queue: int = 512
    num_thread: int = 0
    kv_cache_type: tuple[str, str] = ("f16", "f16")
    flash_attention: bool | None = None
    load_timeout_s: float = 300.0
    speculate: Speculate = "auto"
    kv_disk_bytes: int = 4 << 30
    share_cache: bool = False
    origins: tuple[str, ...] = ()
    hub: str = "auto"
    log_level: str = "info"


@dataclass(frozen=True, slots=True)
class SettingSpec:
    """How one setting is given.

    Attributes:
        env: Our variable.
        parse: Text to value; raises ``ValueError`` in words for people.
        help: What it does, one sentence.
        ollama_env: Ollama's variable for the same behaviour, read when ours is unset.
        shown_default: The default as a user would write it.
    """

    env: str
    parse: Callable[[str], Any]
    help: str
    shown_default: str
    ollama_env: str = ""


def parse_address(text: str) -> Address:
    """Return the address in ``text``: ``host``, ``:port``, ``host:port`` or a URL.

    Raises:
        ValueError: It is none of these.
    """
    scheme, _, rest = text.rpartition("://")
    parts = urlsplit(f"//{rest}")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"bad port in '{text}'; want a number from 1 to 65535") from None
    if port is None:
        port = {"http": 80, "https": 443}.get(scheme, DEFAULT_PORT)
    return Address(parts.hostname or "127.0.0.1", port)


def _ollama_address(text: str) -> Address:
    """OLLAMA_HOST never opens the daemon to other machines (a wildcard means loopback)."""
    address = parse_address(text)
    return address if address.is_loopback else Address("127.0.0.1", address.port)


def _count(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError(f"want a whole number, not '{text}'") from None
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}, not {value}")
        return value

    return parse


def _keep_alive(text: str) -> float:
    """A bare number is seconds here, as in Ollama's environment."""
    try:
        return keep_alive_seconds(float(text))
    except ValueError:
        return keep_alive_seconds(text)


def _timeout(text: str) -> float:
    seconds = parse_duration(text)
    return seconds if seconds > 0 else float("inf")


def _kv_types(text: str) -> tuple[str, str]:
    """One type for keys and values, or one for each."""
    keys, _, values = text.strip().lower().partition("/")
    pair = (keys, values or keys)
    for kind in pair:
        if kind not in KV_TYPES:
            raise ValueError(f"'{kind}' is no type of a cache; want one of {', '.join(KV_TYPES)}")
    return pair


def _switch(text: str) -> bool | None:
    value = _SWITCH.get(text.lower(), text)
    if isinstance(value, str):
        raise ValueError(f"want on, off or auto, not '{text}'")
    return value


def _speculate(text: str) -> Speculate:
    value = _SWITCH.get(text.lower(), text)
    if isinstance(value, str):
        raise ValueError(f"want on, off or auto, not '{text}'")
    return "auto" if value is None else "on" if value else "off"


def _size(text: str) -> int:
    """Bytes: a whole number of them, or one followed by KB, MB, GB or TB (powers of 1024)."""
    found = re.fullmatch(r"(\d{1,15})\s*(?:([kmgt])(?:i?b)?|b)?", text.strip().lower())
    if not found:
        raise ValueError(f"want a size such as 500MB or 4GB, not '{text}'")
    return int(found[1]) << 10 * (" kmgt".index(found[2] or " "))


def _flag(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True}
    words |= {"0": False, "false": False, "no": False, "off": False}
    if text.lower() not in words:
        raise ValueError(f"want true or false, not '{text}'")
    return words[text.lower()]


def _level(text: str) -> str:
    if text.lower() not in ("debug", "info", "warn", "warning", "error"):
        raise ValueError(f"want debug, info, warn or error, not '{text}'")
    return text.lower()


def _hub(text: str) -> str:
    if text.lower() not in ("auto", "hf", "modelscope"):
        raise ValueError(f"want auto, hf or modelscope, not '{text}'")
    return text.lower()


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


SETTING_SPECS: Mapping[str, SettingSpec] = {
    "host": SettingSpec(
        "CORRAL_HOST", parse_address, "Address the daemon listens on.", "127.0.0.1:11434"
    ),
    "keep_alive_s": SettingSpec(
        "CORRAL_KEEP_ALIVE",
        _keep_alive,
        "How long a model stays loaded after its last request; negative: for ever.",
        "5m",
        "OLLAMA_KEEP_ALIVE",
    ),
    "context_length": SettingSpec(
        "CORRAL_CONTEXT_LENGTH",
        _count(0, 2**24),
        "Context of one conversation in tokens, when neither request nor model says; 0: from"
        " 4096 to 32768, as memory allows.",
        "0",
        "OLLAMA_CONTEXT_LENGTH",
    ),
    "num_parallel": SettingSpec(
        "CORRAL_NUM_PARALLEL",
        _count(1, 256),
        "Most requests one model answers at the same time.",
        "16",
        "OLLAMA_NUM_PARALLEL",
    ),
    "max_loaded_models": SettingSpec(
        "CORRAL_MAX_LOADED_MODELS",
        _count(1, 64),
        "Most models in memory at the same time.",
        "3",
        "OLLAMA_MAX_LOADED_MODELS",
    ),
    "max_queue": SettingSpec(
        "CORRAL_MAX_QUEUE",
        _count(1, 2**16),
        "Most requests waiting for one model; further ones are refused with 503.",
        "512",
        "OLLAMA_MAX_QUEUE",
    ),
    "num_thread": SettingSpec(
        "CORRAL_NUM_THREAD",
        _count(0, 1024),
        "Threads of a model's engine; 0: one for each processor core.",
        "0",
    ),
    "kv_cache_type": SettingSpec(
        "CORRAL_KV_CACHE_TYPE",
        _kv_types,
        f"Numbers that the cache of a conversation holds: {', '.join(KV_TYPES)}; or keys and"
        " values apart, as in q8_0/f16.",
        "f16",
        "OLLAMA_KV_CACHE_TYPE",
    ),
    "flash_attention": SettingSpec(
        "CORRAL_FLASH_ATTENTION",
        _switch,
        "Whether attention is computed in one pass that saves memory: on, off, or auto.",
        "auto",
        "OLLAMA_FLASH_ATTENTION",
    ),
    "speculate": SettingSpec(
        "CORRAL_SPECULATE",
        _speculate,
        "Whether tokens are guessed and checked several at a time: on, off, or auto for where it"
        " is measured to pay.",
        "auto",
    ),
    "load_timeout_s": SettingSpec(
        "CORRAL_LOAD_TIMEOUT",
        _timeout,
        "How long a model may take to load; 0: any time.",
        "5m",
        "OLLAMA_LOAD_TIMEOUT",
    ),
    "kv_disk_bytes": SettingSpec(
        "CORRAL_KV_DISK",
        _size,
        "Most disk that kept prompts may take, such as 500MB or 4GB; 0: none is kept there.",
        "4GB",
    ),
    "share_cache": SettingSpec(
        "CORRAL_SHARE_CACHE",
        _flag,
        "Whether answers may start from what was computed for another owner's prompt; how fast"
        " they start then tells what others have asked.",
        "false",
    ),
    "origins": SettingSpec(
        "CORRAL_ORIGINS",
        _list,
        "Web origins that may call the API, comma-separated, beside this machine's own.",
        "",
        "OLLAMA_ORIGINS",
    ),
    "hub": SettingSpec(
        "CORRAL_HUB",
        _hub,
        "Hub that short names come from: hf, modelscope, or auto for the one that answers first.",
        "auto",
    ),
    "log_level": SettingSpec(
        "CORRAL_LOG_LEVEL", _level, "Least level logged: debug, info, warn or error.", "info"
    ),
}


def load_settings(config_file: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of environment, file and defaults.

    Raises:
        InvalidRequest: A value cannot be understood; the message names where it stands.
    """
    stored = _read_file(config_file)
    values: dict[str, Any] = {}
    for field in fields(Settings):
        spec = SETTING_SPECS[field.name]
        found = _find(field.name, spec, stored, environ)
        if found is None:
            continue
        where, parse, text = found
        try:
            values[field.name] = parse(text)
        except ValueError as error:
            raise InvalidRequest(
                f"{where}: {error}", hint=f"{spec.help} Default: {spec.shown_default or 'none'}"
            ) from None
    return Settings(**values)


def _find(
    name: str, spec: SettingSpec, stored: Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[str, Callable[[str], Any], str] | None:
    """Where a setting is given, how to read it there, and its text."""
    if text := environ.get(spec.env, "").strip():
        return spec.env, spec.parse, text
    if spec.ollama_env and (text := environ.get(spec.ollama_env, "").strip()):
        # Ollama's 0 means "choose for me" where our variables have no such value.
        if text == "0" and name not in ("keep_alive_s", "load_timeout_s", "flash_attention"):
            return None
        return spec.ollama_env, spec.parse, text
    if name == "host" and (text := environ.get("OLLAMA_HOST", "").strip()):
        return "OLLAMA_HOST", _ollama_address, text
    key = spec.env.removeprefix("CORRAL_").lower()
    if key in stored:
        value = stored[key]
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        return f"config.toml: {key}", spec.parse, text
    return None


def _read_file(config_file: Path) -> dict[str, Any]:
    try:
        text = config_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{config_file}: {error}", hint="mend or delete the file") from None
    import tomllib  # here, because most installations have no such file

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidRequest(f"{config_file}: {error}", hint="mend or delete the file") from None
