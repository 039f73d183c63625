"""What every test stands on: a home of its own, and none of the user's settings."""

import os
import socket
import sys

import pytest
from hypothesis import settings

#: Of other programs: clients of hubs and APIs read these when they are imported, which is before
#: the first test, and a machine that tests may well be told to stay offline.
_OF_OTHERS = (
    "ANTHROPIC_",
    "GGML_",
    "HF_",
    "HUGGINGFACE_",
    "HUGGING_FACE_",
    "LLAMA_",
    "MODELSCOPE_",
    "OPENAI_",
    "TRANSFORMERS_",
)
# No test finds the keyring of whoever runs it: the library reads this when it is first asked.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
_PROXIES = ("ALL_PROXY", "FTP_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
for _name in list(os.environ):
    if _name.upper().startswith(_OF_OTHERS) or _name.upper() in _PROXIES:
        del os.environ[_name]

# A busy machine is no fault of the example that ran on it; pytest's own timeout stays.
settings.register_profile("corral", deadline=None)
# ``make test`` says the same of the same code every time; pytest by hand looks for new examples.
settings.register_profile("seeded", deadline=None, derandomize=True)
settings.load_profile("seeded" if os.environ.get("CORRAL_TESTS_SEEDED") else "corral")


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("CORRAL_", "OLLAMA_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CORRAL_HOME", str(tmp_path / "home"))


@pytest.fixture
def unused_port():
    """A port of this machine on which nothing listens, and that nobody else is given meanwhile."""
    with socket.socket() as held:
        # Linux lets a daemon listen there all the same; elsewhere the port is let go at once.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        if sys.platform != "linux":
            held.close()
        yield port
