"""Where things live on Linux, macOS and Windows, and how our own processes are started.

``CORRAL_HOME`` moves everything under one folder; ``CORRAL_MODELS``, or the setting ``models``,
moves the models alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

_APP = "corral"


@dataclass(frozen=True, slots=True)
class Paths:
    """The folders and files of one installation; nothing is created here.

    Attributes:
        models: Blobs, manifests and partial downloads.
        config_file: Settings, written by the daemon only.
        run: The daemon's lock and its address.
        logs: Log files of daemon and workers.
        cache: What can be made again.
        state: The CLI's history and other small records.
    """

    models: Path
    config_file: Path
    run: Path
    logs: Path
    cache: Path
    state: Path

    def with_models(self, folder: str) -> Paths:
        """Return the same with the models in another folder; empty: as they are."""
        return replace(self, models=Path(folder)) if folder else self

    @property
    def daemon_file(self) -> Path:
        """Pid, address, version and owner token of the running daemon; mode 0600."""
        return self.run / "daemon.json"

    @property
    def lock_file(self) -> Path:
        """Held locked while a daemon serves this home."""
        return self.run / "daemon.lock"

    @property
    def daemon_log(self) -> Path:
        """The daemon's log, when it was not started in the foreground."""
        return self.logs / "daemon.log"

    @property
    def history(self) -> Path:
        """Lines typed into ``corral run``."""
        return self.state / "history"

    @property
    def keys_file(self) -> Path:
        """The API keys, hashed; mode 0600."""
        return self.config_file.with_name("keys")

    @property
    def secrets_file(self) -> Path:
        """Tokens of model hubs; mode 0600."""
        return self.config_file.with_name("secrets")

    @property
    def devices_file(self) -> Path:
        """Keys of other machines' devices; mode 0600."""
        return self.config_file.with_name("devices")

    @property
    def share_key_file(self) -> Path:
        """The key of this machine's own devices, for ``corral share``; mode 0600."""
        return self.config_file.with_name("share-key")

    @property
    def own_catalogue(self) -> Path:
        """The user's own Modelfiles, which lie over those of the program."""
        return self.config_file.parent / "modelfiles"

    @property
    def kv(self) -> Path:
        """Prompts that are kept on disk."""
        return self.cache / "kv"

    @property
    def jobs_file(self) -> Path:
        """What long jobs are known by when the daemon starts again."""
        return self.state / "state.sqlite"

    @property
    def catalogue(self) -> Path:
        """The Modelfiles that came with the program: in the wheel, else in the checkout."""
        package = Path(__file__).parent
        packed = package / "catalogue"
        return packed if packed.is_dir() else package.parent / "modelfiles"


def given_path(text: str) -> Path:
    """Return the path that a person wrote: ``~`` is the home folder, as in a shell.

    ``~nobody``, the folder of somebody who is not there, stays what it is, as in a shell too.
    """
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path's raises for ~nobody


def find_paths(environ: Mapping[str, str] = os.environ) -> Paths:
    """Return the paths that the environment asks for."""
    home = environ.get("CORRAL_HOME", "").strip()
    models = environ.get("CORRAL_MODELS", "").strip()
    if home:
        root = given_path(home).absolute()
        return Paths(
            models=given_path(models).absolute() if models else root / "models",
            config_file=root / "config.toml",
            run=root / "run",
            logs=root / "logs",
            cache=root / "cache",
            state=root / "state",
        )
    import platformdirs  # here, because it takes longer to import than a small command to run

    dirs = platformdirs.PlatformDirs(_APP, appauthor=False)
    state = dirs.user_state_path
    return Paths(
        models=given_path(models).absolute() if models else dirs.user_data_path / "models",
        config_file=dirs.user_config_path / "config.toml",
        run=state / "run",  # not the session's runtime folder: that ends at logout
        logs=dirs.user_log_path,
        cache=dirs.user_cache_path,
        state=state,
    )


def own_command(role: str, *args: str) -> list[str]:
    """Return the command line that starts another process of this program.

    Args:
        role: ``serve`` for the daemon, ``_worker`` for an engine process, ``_tool`` for one
            long job on model files, ``_offer`` for one that computes for another machine,
            ``_devices`` and ``_doctor`` for short-lived ones that answer with JSON.
        args: Passed on.
    """
    if getattr(sys, "frozen", False):  # a frozen bundle is its own interpreter
        program = Path(sys.executable).resolve()
        # The desktop app is a program of its own, beside the one that knows all roles.
        return [str(program.with_name(_APP + program.suffix)), role, *args]
    # -P: a folder named like one of our modules, where the user stands, must not be imported.
    return [sys.executable, "-P", "-m", "runner", role, *args]
