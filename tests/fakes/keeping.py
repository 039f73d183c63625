"""What the scripted daemon says of settings, secrets, keys, the machine and its log."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

KEY = {
    "id": "k1",
    "name": "notes on the phone",
    "scopes": ["infer"],
    "models": [],
    "requests_per_minute": 0,
    "created_at": "2026-01-02T03:04:05Z",
    "expires_at": None,
    "last_used_at": None,
}
MACHINE: dict[str, Any] = {
    "cores": 2,
    "memory": 16_000_000_000,
    "memory_available": 9_000_000_000,
    "daemon_memory": 60_000_000,
    "devices": [
        {"id": "cpu", "kind": "cpu", "name": "A processor", "memory": 0, "memory_available": 0},
        {
            "id": "gpu0",
            "kind": "gpu",
            "name": "A card",
            "memory": 8_000_000_000,
            "memory_available": 6_000_000_000,
        },
    ],
    "limits": {"num_parallel": 16, "max_loaded_models": 3},
    "model_loads": 3,
    "model_evictions": 1,
}


def setting(name, value, default, **more):
    """One line of ``/api/settings``."""
    return {
        "name": name,
        "value": value,
        "default": default,
        "source": "default" if value == default else "file",
        "variable": f"CORRAL_{name.upper()}",
        "help": f"What {name} does.",
        "live": True,
        "pending": False,
    } | more


SETTINGS = {
    "settings": [
        setting("keep_alive", "5m", "5m"),
        setting("flash_attention", "auto", "auto"),
        setting("kv_cache_type", "f16", "f16"),
        setting("num_thread", "0", "0", live=False),
        setting("host", "127.0.0.1:11434", "127.0.0.1:11434", source="environment"),
        setting("share_cache", "false", "false"),
        setting("hub", "auto", "auto"),
        setting("devices", "", "", live=False),
        setting("of_a_later_version", "1", "1"),
    ],
    "secrets": {"hf": False, "modelscope": True},
    "secret_places": {"modelscope": "file"},
}


FOLDER = {
    "folder": "/home/me/models",
    "usual": "/home/me/models",
    "fixed_by": "",
    "there": True,
    "disk": 500_000_000_000,
    "free": 90_000_000_000,
}
FOLDER_PLAN = {
    "dry_run": True,
    "folder": "",
    "before": "/home/me/models",
    "models": 2,
    "size": 9_000_000_000,
    "needed": 8_000_000_000,
    "free": 70_000_000_000,
    "models_there": 0,
    "ok": True,
}


def move_job(name, state="running", n_done=0, **more):
    """A job that moves the models to ``name``."""
    return {
        "id": 9,
        "kind": "move",
        "name": name,
        "state": state,
        "phase": "copying",
        "n_done": n_done,
        "n_bytes": 8_000_000_000,
        "started": "2026-01-02T03:04:05Z",
    } | more


#: What ``POST /api/quantize`` with ``dry_run`` says of a type: size, memory, bits a weight.
TYPES = {
    "Q8_0": (143_000_000, 400_000_000, 8.5),
    "Q4_K_M": (105_000_000, 350_000_000, 5.0),
    "Q2_K": (88_000_000, 30_000_000_000, 3.0),
}


class Kept:
    """The state behind those paths; ``answer`` returns status and object, or ``None``."""

    def __init__(self):
        self.settings = deepcopy(SETTINGS)
        self.keys = [dict(KEY)]
        self.machine = deepcopy(MACHINE)
        self.tokens = {}
        self.is_quantized = False  # what shall be quantized is so already
        self.quantized = []
        self.findings = []
        self.folder = dict(FOLDER)
        self.folder_plan = dict(FOLDER_PLAN)
        self.moved = []  # bodies of what was not only looked at
        self.streams = {}  # lines of ``/api/verify`` and ``/api/repair``, by path

    def answer(self, method, path, body):
        if path == "/api/machine":
            return 200, self.machine
        if path == "/api/settings":
            return self._settings(body or {})
        if path == "/api/keys":
            return self._keys(body)
        if path == "/api/folder":
            return self._folder(body)
        if path == "/api/quantize":
            return self._quantize(body)
        if path == "/api/modelfile/check":
            is_good = not any(one["severity"] == "error" for one in self.findings)
            tidy = body["modelfile"].strip() + "\n"
            return 200, {"ok": is_good, "findings": self.findings, "formatted": tidy}
        last = path.rpartition("/")[2]
        if path.startswith("/api/keys/") and method == "DELETE":
            self.keys = [key for key in self.keys if key["id"] != last]
            return 200, {"revoked": last}
        if path.startswith("/api/secrets/"):
            if " " in (body["value"] or ""):
                return 400, {"error": "'value' must be a token", "code": "invalid_request"}
            self.tokens[last] = body["value"]
            self.settings["secrets"][last] = body["value"] is not None
            self.settings["secret_places"][last] = "keyring"
            return 200, {"name": last, "set": body["value"] is not None}
        return None

    def _settings(self, changes):
        rows = {row["name"]: row for row in self.settings["settings"]}
        for name, value in changes.items():
            if value == "wrong":
                return 400, {"error": f"'{name}': no", "code": "invalid_request", "hint": ""}
            row = rows[name]
            row["value"] = row["default"] if value is None else value
            row["source"] = "default" if value is None else "file"
            row["pending"] = not row["live"]
        return 200, self.settings

    def _folder(self, asked):
        if asked is None:
            return 200, self.folder
        name = asked["folder"] or self.folder["usual"]
        if name.endswith("wrong"):
            error = {"error": f"{name} is a file, not a folder", "code": "invalid_request"}
            return 400, error | {"hint": ""}
        if asked.get("dry_run"):
            return 200, self.folder_plan | {"folder": name}
        self.moved.append(asked)
        if asked.get("move") is False:
            self.folder["folder"] = name
            return 200, self.folder_plan | {"folder": name, "dry_run": False}
        return 201, move_job(name)

    def _quantize(self, asked):
        if not asked.get("dry_run"):
            self.quantized.append(asked)
            return 201, {
                "id": 9,
                "kind": "quantize",
                "name": asked["model"],
                "state": "queued",
                "n_done": 0,
                "n_bytes": 0,
                "started": "2026-01-02T03:04:05Z",
            }
        targets = [
            {
                "type": kind,
                "name": f"smollm2:{kind.lower()}",
                "size": TYPES[kind][0],
                "memory": TYPES[kind][1],
                "context": 4096,
                "bits_per_weight": TYPES[kind][2],
                "tensors": {},
                "exists": kind == "Q8_0",
            }
            for kind in asked["types"]
            if kind in TYPES
        ]
        problem = self.is_quantized and not asked["requantize"]
        return 200, {
            "dry_run": True,
            "ok": not problem,
            "model": asked["model"],
            "quantization": "F16",
            "size": 270_000_000,
            "free": 10_000_000_000,
            "targets": targets,
            "problem": "it is quantized already" if problem else "",
            "hint": "begin with the F16 one" if problem else "",
        }

    def _keys(self, asked):
        if asked is None:
            return 200, {"keys": self.keys}
        made = KEY | {"id": f"k{len(self.keys) + 1}", "name": asked["name"]}
        self.keys.append(made)
        return 201, made | {"key": "corral-sk-once"}
