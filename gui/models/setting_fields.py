"""The daemon's settings as a person meets them: by topic, in plain words, with what can be chosen.

A setting that this app does not know yet shows under its own name with the daemon's words.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runner.domain.setting import SettingState

#: A value as the daemon takes it, and its words in English.
Choice = tuple[str, str]

_ON_OFF: tuple[Choice, ...] = (("true", "On"), ("false", "Off"))
_AUTO: tuple[Choice, ...] = (("auto", "Automatic"), ("on", "On"), ("off", "Off"))


@dataclass(frozen=True, slots=True)
class SettingField:
    """How one setting is shown; texts are English and shown through ``tr``.

    Attributes:
        name: Of the setting.
        label: What it is called.
        words: What it does, in a sentence.
        choices: What can be chosen; none: any text.
        is_open: Whether something else may be typed as well.
    """

    name: str
    label: str
    words: str
    choices: tuple[Choice, ...] = ()
    is_open: bool = False


MODELS = (
    SettingField(
        "keep_alive",
        "Models stay in memory",
        "After the last request, such as 5m or 1h; a negative number is for ever.",
    ),
    SettingField(
        "max_loaded_models", "Models at the same time", "Most that are in memory at once."
    ),
    SettingField(
        "memory_share", "Share of memory", "In percent: what all models together may take."
    ),
    SettingField(
        "preload", "Loaded at the start", "Names with commas between; others may take their place."
    ),
    SettingField(
        "pin", "Never give way", "Names with commas between: once in memory, these stay there."
    ),
    SettingField(
        "context_length",
        "Context tokens",
        "For conversations that do not ask for another length; 0 goes by the memory.",
    ),
    SettingField(
        "kv_cache_type",
        "Numbers of the cache",
        "Smaller ones leave room for longer conversations and cost some quality.",
        tuple((kind, kind) for kind in ("f16", "q8_0", "q5_1", "q4_0")),
        is_open=True,
    ),
    SettingField("flash_attention", "Flash attention", "Saves memory in long contexts.", _AUTO),
    SettingField(
        "speculate",
        "Guess tokens ahead",
        "Text that repeats comes faster; the answer stays the same.",
        _AUTO,
    ),
    SettingField(
        "devices",
        "Devices in their order",
        "The first is filled first; -NAME leaves one out, empty takes all of this machine.",
    ),
    SettingField(
        "model_options",
        "Options of all models",
        "With blanks between, such as num_gpu=20 use_mlock=true.",
    ),
    SettingField("num_parallel", "Answers at the same time", "Most that one model gives at once."),
    SettingField("max_queue", "Requests that may wait", "For one model; more are refused."),
    SettingField("num_thread", "Processor threads", "0 takes one for each core."),
    SettingField(
        "load_timeout", "Longest time to load", "Such as 5m; 0 waits for as long as it takes."
    ),
)
NETWORK = (
    SettingField(
        "host",
        "Address",
        "127.0.0.1:11434 serves this computer alone, 0.0.0.0:11434 others with a key too.",
    ),
    SettingField(
        "insecure_no_key",
        "Others need no key",
        "Anybody who reaches this computer may then use it.",
        _ON_OFF,
    ),
    SettingField("origins", "Web pages that may ask", "Their origins, with commas between."),
    SettingField("tls_cert", "Certificate", "A PEM file; the address is then https."),
    SettingField("tls_key", "Its private key", "A PEM file, when it is one of its own."),
    SettingField("max_connections", "Connections in all", "Further ones are told to come back."),
    SettingField(
        "max_peer_connections", "Connections of one computer", "Most that another one may open."
    ),
)
DOWNLOADS = (
    SettingField("offline", "Stay offline", "No hub is ever asked.", _ON_OFF),
    SettingField(
        "hub",
        "Hub of short names",
        "Automatic takes the one that answers first.",
        (("auto", "Automatic"), ("hf", "Hugging Face"), ("modelscope", "ModelScope")),
    ),
    SettingField(
        "download_limit",
        "Speed of all downloads",
        "Bytes a second, such as 5M or 500k; 0 is no limit.",
    ),
    SettingField(
        "proxy",
        "Proxy",
        "Such as http://127.0.0.1:7890; empty takes HTTPS_PROXY of the daemon's environment.",
    ),
    SettingField("download_ranges", "Connections of a download", "From 1 to 16 at once."),
)
PRIVACY = (
    SettingField(
        "kv_disk",
        "Prompts kept on disk",
        "They let a conversation go on at once after a restart. 0 keeps none.",
    ),
    SettingField(
        "share_cache",
        "Users share what is computed",
        "Faster, but how fast an answer begins tells what others have asked.",
        _ON_OFF,
    ),
    SettingField(
        "log_level",
        "What the log tells",
        "No level writes what is asked or answered.",
        (("debug", "All"), ("info", "Info"), ("warn", "Warnings"), ("error", "Errors")),
    ),
)
#: Settings that a panel of their own changes.
ELSEWHERE = frozenset({"models"})
#: Topics and their fields.
TOPICS = {"models": MODELS, "network": NETWORK, "downloads": DOWNLOADS, "privacy": PRIVACY}


def fields_of(topic: str, states: Iterable[SettingState]) -> list[SettingField]:
    """Return the fields of a topic that the daemon has; ``others`` is what no topic knows."""
    there = {state.name: state for state in states}
    if topic != "others":
        return [field for field in TOPICS[topic] if field.name in there]
    known = ELSEWHERE | {field.name for fields in TOPICS.values() for field in fields}
    return [
        SettingField(state.name, state.name.replace("_", " "), state.help)
        for state in there.values()
        if state.name not in known
    ]


def chosen(field: SettingField, value: str) -> str:
    """Return which of the choices a value is; the value itself when it is none of them."""
    lowered = value.strip().lower()
    same = {"1": "true", "yes": "true", "on": "true", "0": "false", "no": "false", "off": "false"}
    values = [choice for choice, _ in field.choices]
    if lowered in values:
        return lowered
    if field.choices == _ON_OFF:
        return same.get(lowered, lowered)
    if field.choices == _AUTO:
        return {"1": "on", "true": "on", "0": "off", "false": "off"}.get(lowered, lowered)
    return {"warning": "warn"}.get(lowered, value)


def waiting(states: Sequence[SettingState]) -> list[str]:
    """Return the names of settings whose new value waits for the next start."""
    return [state.name for state in states if state.is_pending]
