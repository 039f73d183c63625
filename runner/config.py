"""One table of settings: environment, file, default and help text.

A setting is looked for in ``CORRAL_<NAME>``, then in Ollama's variable where it has the same
setting, then in ``config.toml``, and then has its default.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from runner.domain.address import DEFAULT_ADDRESS, Address, parse_address
from runner.domain.load_options import KV_TYPES
from runner.domain.options import Speculate
from runner.domain.setting_texts import (
    parse_count,
    parse_devices,
    parse_flag,
    parse_guessing,
    parse_hub,
    parse_kv_types,
    parse_level,
    parse_list,
    parse_model_options,
    parse_names,
    parse_proxy,
    parse_size,
    parse_stay,
    parse_switch,
    parse_timeout,
)
from runner.domain.speed import parse_speed
from runner.errors import InvalidRequest

#: Of ``config.toml``; one without a number was written by hand.
CONFIG_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, in their own types; seconds and bytes as their names say."""

    host: Address = DEFAULT_ADDRESS
    models: str = ""
    insecure_no_key: bool = False
    tls_cert: str = ""
    tls_key: str = ""
    max_connections: int = 1024
    max_peer_connections: int = 128
    keep_alive_s: float = 300.0
    context_length: int = 0
    num_parallel: int = 16
    max_loaded_models: int = 3
    memory_share: int = 90
    preload: tuple[str, ...] = ()
    pin: tuple[str, ...] = ()
    model_options: tuple[tuple[str, Any], ...] = ()
    max_queue: int = 512
    num_thread: int = 0
    devices: tuple[str, ...] = ()
    kv_cache_type: tuple[str, str] = ("f16", "f16")
    flash_attention: bool | None = None
    load_timeout_s: float = 300.0
    speculate: Speculate = "auto"
    kv_disk_bytes: int = 4 << 30
    share_cache: bool = False
    origins: tuple[str, ...] = ()
    hub: str = "auto"
    offline: bool = False
    proxy: str = ""
    download_ranges: int = 4
    download_limit_bps: int = 0
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

    @property
    def key(self) -> str:
        """Its name in ``config.toml``."""
        return self.env.removeprefix("CORRAL_").lower()


@dataclass(frozen=True, slots=True)
class FoundSetting:
    """Where a setting is given, how to read it there, and its text."""

    where: str
    parse: Callable[[str], Any]
    text: str


def _ollama_address(text: str) -> Address:
    """OLLAMA_HOST never opens the daemon to other machines (a wildcard means loopback)."""
    address = parse_address(text)
    return address if address.is_loopback else Address("127.0.0.1", address.port)


def _file(text: str) -> str:
    path = Path(os.path.expanduser(text))  # noqa: PTH111 - Path's raises for ~nobody
    if not path.is_absolute():
        raise ValueError(f"want an absolute path, not '{text}'")
    return str(path)


def _folder(text: str) -> str:
    return os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111 - Path's may raise


SETTING_SPECS: Mapping[str, SettingSpec] = {
    "host": SettingSpec(
        "CORRAL_HOST",
        parse_address,
        "Address the daemon listens on: host:port, or unix:///path of a socket.",
        "127.0.0.1:11434",
    ),
    "models": SettingSpec(
        "CORRAL_MODELS",
        _folder,
        "Folder of the models; corral folder moves them. Empty: models, beside all else.",
        "",
    ),
    "insecure_no_key": SettingSpec(
        "CORRAL_INSECURE_NO_KEY",
        parse_flag,
        "Whether other machines may use the daemon without a key; anybody who reaches it may then.",
        "false",
    ),
    "tls_cert": SettingSpec(
        "CORRAL_TLS_CERT", _file, "Certificate file (PEM, with its chain); the API is HTTPS.", ""
    ),
    "tls_key": SettingSpec(
        "CORRAL_TLS_KEY",
        _file,
        "The certificate's private key (PEM), when in a file of its own.",
        "",
    ),
    "max_connections": SettingSpec(
        "CORRAL_MAX_CONNECTIONS",
        parse_count(8, 2**16),
        "Most open connections; further ones are told to come back (503).",
        "1024",
    ),
    "max_peer_connections": SettingSpec(
        "CORRAL_MAX_PEER_CONNECTIONS",
        parse_count(1, 2**16),
        "Most open connections of one other machine.",
        "128",
    ),
    "keep_alive_s": SettingSpec(
        "CORRAL_KEEP_ALIVE",
        parse_stay,
        "How long a model stays loaded after its last request; negative: for ever.",
        "5m",
        "OLLAMA_KEEP_ALIVE",
    ),
    "context_length": SettingSpec(
        "CORRAL_CONTEXT_LENGTH",
        parse_count(0, 2**24),
        "Context of one conversation in tokens, when neither request nor model says; 0: from"
        " 4096 to 32768, as memory allows.",
        "0",
        "OLLAMA_CONTEXT_LENGTH",
    ),
    "num_parallel": SettingSpec(
        "CORRAL_NUM_PARALLEL",
        parse_count(1, 256),
        "Most requests one model answers at the same time.",
        "16",
        "OLLAMA_NUM_PARALLEL",
    ),
    "max_loaded_models": SettingSpec(
        "CORRAL_MAX_LOADED_MODELS",
        parse_count(1, 64),
        "Most models in memory at the same time.",
        "3",
        "OLLAMA_MAX_LOADED_MODELS",
    ),
    "memory_share": SettingSpec(
        "CORRAL_MEMORY_SHARE",
        parse_count(1, 100),
        "Most of main memory that all models together may need, in percent.",
        "90",
    ),
    "preload": SettingSpec(
        "CORRAL_PRELOAD",
        parse_names,
        "Models that are loaded when the daemon starts, comma-separated; they stay until another"
        " needs their place.",
        "",
    ),
    "pin": SettingSpec(
        "CORRAL_PIN",
        parse_names,
        "Models that stay in memory once they are there, comma-separated: no other takes their"
        " place.",
        "",
    ),
    "model_options": SettingSpec(
        "CORRAL_MODEL_OPTIONS",
        parse_model_options,
        "Options for all models where neither request nor model says, separated by blanks:"
        " num_gpu=20 use_mlock=true tensor_split=3,1.",
        "",
    ),
    "max_queue": SettingSpec(
        "CORRAL_MAX_QUEUE",
        parse_count(1, 2**16),
        "Most requests waiting for one model; further ones are refused with 503.",
        "512",
        "OLLAMA_MAX_QUEUE",
    ),
    "num_thread": SettingSpec(
        "CORRAL_NUM_THREAD",
        parse_count(0, 1024),
        "Threads of a model's engine; 0: one for each processor core.",
        "0",
    ),
    "devices": SettingSpec(
        "CORRAL_DEVICES",
        parse_devices,
        "Devices that layers are put on, the first filled first: names that corral doctor shows,"
        " HOST:PORT of another machine's corral share, or -NAME to leave one out; empty: all of"
        " this machine.",
        "",
    ),
    "kv_cache_type": SettingSpec(
        "CORRAL_KV_CACHE_TYPE",
        parse_kv_types,
        f"Numbers that the cache of a conversation holds: {', '.join(KV_TYPES)}; or keys and"
        " values apart, as in q8_0/f16.",
        "f16",
        "OLLAMA_KV_CACHE_TYPE",
    ),
    "flash_attention": SettingSpec(
        "CORRAL_FLASH_ATTENTION",
        parse_switch,
        "Whether attention is computed in one pass that saves memory: on, off, or auto.",
        "auto",
        "OLLAMA_FLASH_ATTENTION",
    ),
    "speculate": SettingSpec(
        "CORRAL_SPECULATE",
        parse_guessing,
        "Whether tokens are guessed and checked several at a time, for requests and models that do"
        " not say: on, off, or auto for where it is measured to pay.",
        "auto",
    ),
    "load_timeout_s": SettingSpec(
        "CORRAL_LOAD_TIMEOUT",
        parse_timeout,
        "How long a model may take to load; 0: any time.",
        "5m",
        "OLLAMA_LOAD_TIMEOUT",
    ),
    "kv_disk_bytes": SettingSpec(
        "CORRAL_KV_DISK",
        parse_size,
        "Most disk that kept prompts may take, such as 500MB or 4GB; 0: none is kept there.",
        "4GB",
    ),
    "share_cache": SettingSpec(
        "CORRAL_SHARE_CACHE",
        parse_flag,
        "Whether answers may start from what was computed for another owner's prompt; how fast"
        " they start then tells what others have asked.",
        "false",
    ),
    "origins": SettingSpec(
        "CORRAL_ORIGINS",
        parse_list,
        "Web origins that may call the API, comma-separated, beside this machine's own.",
        "",
        "OLLAMA_ORIGINS",
    ),
    "hub": SettingSpec(
        "CORRAL_HUB",
        parse_hub,
        "Hub that short names come from: hf, modelscope, or auto for the one that answers first.",
        "auto",
    ),
    "offline": SettingSpec(
        "CORRAL_OFFLINE",
        parse_flag,
        "Whether no hub is ever asked; HF_HUB_OFFLINE does the same.",
        "false",
    ),
    "proxy": SettingSpec(
        "CORRAL_PROXY",
        parse_proxy,
        "Proxy between this machine and the hubs, as http://host:port; empty: what HTTPS_PROXY"
        " says.",
        "",
    ),
    "download_ranges": SettingSpec(
        "CORRAL_DOWNLOAD_RANGES",
        parse_count(1, 16),
        "How many ranges of one file are downloaded at once.",
        "4",
    ),
    "download_limit_bps": SettingSpec(
        "CORRAL_DOWNLOAD_LIMIT",
        parse_speed,
        "Most bytes a second for all downloads together, such as 5M; 0: no limit.",
        "0",
    ),
    "log_level": SettingSpec(
        "CORRAL_LOG_LEVEL", parse_level, "Least level logged: debug, info, warn or error.", "info"
    ),
}


def load_settings(config_file: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of environment, file and defaults.

    Raises:
        InvalidRequest: A value cannot be understood; the message names where it stands.
    """
    return settings_of(read_config(config_file), environ)


def settings_of(stored: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Return the settings that the environment and the file's content make.

    Raises:
        InvalidRequest: As ``load_settings``.
    """
    settings, problems = readable_settings(stored, environ)
    if problems:
        raise problems[0]
    return settings


def readable_settings(
    stored: Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[Settings, list[InvalidRequest]]:
    """Return what can be understood, with defaults for the rest, and what cannot, in order."""
    values: dict[str, Any] = {}
    problems: list[InvalidRequest] = []
    for one in fields(Settings):
        spec = SETTING_SPECS[one.name]
        found = find_setting(one.name, stored, environ)
        if found is None:
            continue
        try:
            values[one.name] = found.parse(found.text)
        except ValueError as error:
            hint = f"{spec.help} Default: {spec.shown_default or 'none'}"
            problems.append(InvalidRequest(f"{found.where}: {error}", hint=hint))
    settings = Settings(**values)
    try:
        settings = _with_tls(settings)
    except InvalidRequest as error:
        settings = replace(settings, tls_key="")
        problems.append(error)
    return settings, problems


def _with_tls(settings: Settings) -> Settings:
    """Make the address say whether TLS is spoken there."""
    address, cert = settings.host, settings.tls_cert
    if settings.tls_key and not cert:
        raise InvalidRequest(
            "CORRAL_TLS_KEY is set, but CORRAL_TLS_CERT is not",
            hint="name the certificate that belongs to the key",
        )
    if not cert or address.scheme == "unix":
        return settings
    return replace(settings, host=replace(address, scheme="https", certificate=cert))


def find_setting(
    name: str, stored: Mapping[str, Any], environ: Mapping[str, str]
) -> FoundSetting | None:
    """Return where a setting is given: in the environment, else in the file.

    Args:
        name: Of the field of ``Settings``.
        stored: What ``config.toml`` holds.
        environ: The environment.
    """
    spec = SETTING_SPECS[name]
    if text := environ.get(spec.env, "").strip():
        return FoundSetting(spec.env, spec.parse, text)
    if spec.ollama_env and (text := environ.get(spec.ollama_env, "").strip()):
        # Ollama's 0 means "choose for me" where our variables have no such value.
        if text == "0" and name not in ("keep_alive_s", "load_timeout_s", "flash_attention"):
            return None
        return FoundSetting(spec.ollama_env, spec.parse, text)
    if name == "host" and (text := environ.get("OLLAMA_HOST", "").strip()):
        return FoundSetting("OLLAMA_HOST", _ollama_address, text)
    if spec.key in stored:
        value = stored[spec.key]
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        return FoundSetting(f"config.toml: {spec.key}", spec.parse, text)
    return None


def read_config(config_file: Path) -> dict[str, Any]:
    """Return what ``config.toml`` holds; nothing when there is no such file.

    Raises:
        InvalidRequest: It cannot be read, is no TOML, or is of a later version.
    """
    try:
        text = config_file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):  # the latter is told by who writes there
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{config_file}: {error}", hint="mend or delete the file") from None
    import tomllib  # here, because most installations have no such file

    try:
        stored = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidRequest(f"{config_file}: {error}", hint="mend or delete the file") from None
    if stored.get("format", CONFIG_FORMAT) != CONFIG_FORMAT:
        raise InvalidRequest(
            f"{config_file} has format {stored['format']!r}, this version knows {CONFIG_FORMAT}",
            hint="a newer version of Corral wrote it: use that one, or move the file away",
        )
    return stored
