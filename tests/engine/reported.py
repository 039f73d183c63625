"""A process that loads models without allocating, and prints what llama.cpp says of its buffers.

``python -m tests.engine.reported``: a JSON list of loads on stdin, a JSON list of sizes in MiB on
stdout.  A process of its own, since llama.cpp has one log for all.
"""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import sys

KV_TYPES = {"f32": 0, "f16": 1, "q8_0": 8, "q4_0": 2}
#: Lines of llama.cpp's log, and what their sizes are of.
SIZES = {
    "n_kv": re.compile(r"^\w+: size = +([\d.]+) MiB \("),
    "n_compute": re.compile(r"compute buffer size = +([\d.]+) MiB"),
    "n_output": re.compile(r"output buffer size = +([\d.]+) MiB"),
}


def reported(loads: list[dict]) -> list[dict[str, float]]:
    """What llama.cpp says of each load: ``path``, and fields of ``Plan``."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.reported"],
        input=json.dumps(loads),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def main() -> None:
    import llama_cpp

    lines: list[str] = []

    @llama_cpp.llama_log_callback
    def log(_level, text, _data):
        lines.append(text.decode("utf-8", "replace"))

    llama_cpp.llama_log_set(log, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    found = []
    for load in json.load(sys.stdin):
        lines.clear()
        _load(llama_cpp, load)
        text = "".join(lines).splitlines()
        found.append(
            {
                name: sum(float(hit[1]) for line in text if (hit := pattern.search(line)))
                for name, pattern in SIZES.items()
            }
        )
    json.dump(found, sys.stdout)


def _load(llama_cpp, load: dict) -> None:
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = 0
    params.no_alloc = True
    params.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
    model = llama_cpp.llama_model_load_from_file(load["path"].encode(), params)
    sizes = llama_cpp.llama_context_default_params()
    sizes.n_ctx = load["n_cells"]
    sizes.n_seq_max = load["n_seq_max"]
    sizes.n_batch = load["n_batch"]
    sizes.n_ubatch = load["n_ubatch"]
    sizes.kv_unified = True
    sizes.swa_full = False
    sizes.type_k, sizes.type_v = (KV_TYPES[kind] for kind in load["kv_types"])
    flash = load["flash_attention"]
    sizes.flash_attn_type = -1 if flash is None else int(flash)
    context = llama_cpp.llama_init_from_model(model, sizes)
    assert context, load
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)


if __name__ == "__main__":
    main()
