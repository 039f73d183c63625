"""Words that people try as commands by habit, from other programs, and what to type instead."""

from __future__ import annotations

from collections.abc import Mapping

_RM = "a model is removed with: corral rm MODEL"
_STOP = "a model leaves memory with: corral stop MODEL"
_PULL = "a model is fetched with: corral pull NAME"
_SHOW = "what is known of a model: corral show MODEL"
_RUN = 'ask a model with: corral run MODEL "..."'
_SERVE = "the daemon starts by itself; in the foreground: corral serve"
_SETTINGS = "settings are variables, and lines of config.toml: corral serve --help"
_NEWER = "install the new version over this one; a model's newer files: corral pull NAME"

#: What to do instead, by the word that was typed.
INSTEAD: Mapping[str, str] = {
    "push": "nothing can be pushed: give others the file, or its address on a hub",
    **dict.fromkeys(("signin", "signout", "login", "logout"), "no account is needed"),
    "launch": "other programs need the daemon's address; it is told by: corral daemon status",
    "chat": "a chat opens with: corral run MODEL",
    **{verb: f"did you mean 'corral daemon {verb}'?" for verb in ("status", "restart", "logs")},
    "log": "did you mean 'corral daemon logs'?",
    **dict.fromkeys(("get", "download", "install", "add"), _PULL),
    "import": "a file is taken in with: corral pull ./file.gguf",
    "load": 'a model is loaded, and nothing asked, with: corral run MODEL ""',
    **dict.fromkeys(("unload", "eject", "kill"), _STOP),
    **dict.fromkeys(("remove", "delete", "del", "uninstall"), _RM),
    **dict.fromkeys(("info", "inspect"), _SHOW),
    "models": "what is in the library: corral list",
    **dict.fromkeys(("ask", "generate", "prompt"), _RUN),
    "server": _SERVE,
    **dict.fromkeys(("config", "settings", "set"), _SETTINGS),
    **dict.fromkeys(("update", "upgrade"), _NEWER),
    **dict.fromkeys(("app", "gui"), "the desktop app is a program of its own: corral-app"),
    "version": "did you mean 'corral --version'?",
}
