"""Where the daemon listens: with a lock on the door, over TLS, on a socket in the file system."""

from __future__ import annotations

import datetime
import json
import socket
import stat
import subprocess
import sys

import pytest

from runner.client.client import Client
from runner.client.launch import Kind, find_token, probe
from runner.config import load_settings
from runner.domain.address import parse_address
from runner.errors import DaemonError, Forbidden
from runner.paths import find_paths
from tests.real_daemon import command, environment, wait_for


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate that nobody vouches for, for a name that is not ours, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "box.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"


def serve_in_vain(home, host, **env):
    done = subprocess.run(
        command("serve"),
        env=environment(home, host, **env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_an_open_door_without_a_key_is_refused_with_both_ways_out(tmp_path):
    words = serve_in_vain(tmp_path / "home", "0.0.0.0:0")
    assert "there is no API key yet" in words
    assert "corral keys add" in words
    assert "--insecure-no-key" in words


def test_with_a_key_other_machines_may_come_in_and_only_they_need_it(make_daemon):
    daemon = make_daemon().start()
    client = Client(daemon.url, daemon.record["token"])
    key, secret = client.add_key("laptop", n_per_minute=100)
    daemon.stop()
    daemon.env["CORRAL_HOST"] = "0.0.0.0:0"
    daemon.start()
    assert "nobody needs a key" not in daemon.log
    assert daemon.ask("GET", "/api/tags").status == 401
    assert daemon.ask("GET", "/api/tags", owner=True).status == 200
    guest = Client(daemon.url, secret)
    assert guest.list_models() == []
    with pytest.raises(Forbidden, match="does not open 'admin'"):
        guest.keys()
    owner = Client(daemon.url, daemon.record["token"])
    (listed,) = owner.keys()
    assert (listed.id, listed.n_per_minute) == (key.id, 100)
    assert listed.used_at is not None
    owner.revoke_key(key.id)
    with pytest.raises(Exception, match="not known here"):
        guest.list_models()
    daemon.stop()
    assert secret not in daemon.log


@pytest.mark.skipif(sys.platform == "win32", reason="no modes there")
def test_it_listens_on_a_socket_that_only_its_owner_may_open(make_daemon, tmp_path):
    path = tmp_path / "corral.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    daemon = make_daemon(host=f"unix://{path}").start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    address = parse_address(daemon.record["address"])
    assert address.url == f"unix://{path}"
    assert probe(address).is_ours
    client = Client(address.url, find_token(find_paths(daemon.env), address))
    assert client.list_models() == []
    assert client.keys() == []
    assert "another program listens" in serve_in_vain(tmp_path / "other", f"unix://{path}")
    client.shutdown()
    assert daemon.process.wait(60) == 0
    assert not path.exists()
    assert probe(address).kind is Kind.NOTHING


@pytest.mark.skipif(sys.platform == "win32", reason="no such sockets there")
def test_a_file_is_never_taken_for_a_socket_left_behind(tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "no socket" in serve_in_vain(tmp_path / "home", f"unix://{tmp_path}/file")
    assert (tmp_path / "file").read_text() == "mine"


def test_with_a_certificate_it_speaks_tls_and_our_programs_know_it(make_daemon, certificate):
    cert, key = map(str, certificate)
    daemon = make_daemon(CORRAL_TLS_CERT=cert, CORRAL_TLS_KEY=key).start()
    assert daemon.record["address"].startswith("https://127.0.0.1:")
    env = {**daemon.env, "CORRAL_HOST": f"127.0.0.1:{daemon.port}"}
    address = load_settings(daemon.home / "config.toml", env).host
    assert probe(address).is_ours
    token = find_token(find_paths(env), address)
    assert Client(address.url, token, address.certificate).keys() == []
    with pytest.raises(DaemonError, match="not trusted"):
        Client(address.url).list_models()
    done = subprocess.run(
        command("list", "--json"), env=env, capture_output=True, text=True, timeout=60
    )
    assert json.loads(done.stdout) == [], done.stderr
    with pytest.raises(DaemonError):
        Client(f"http://{daemon.address}").list_models()
    assert probe(address).is_ours


def test_another_certificate_than_ours_is_not_trusted(make_daemon, certificate, tmp_path):
    cert, key = map(str, certificate)
    daemon = make_daemon(CORRAL_TLS_CERT=cert, CORRAL_TLS_KEY=key).start()
    other = tmp_path / "other.pem"
    other.write_text(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", encoding="ascii"
    )
    with pytest.raises(DaemonError, match="not the one in CORRAL_TLS_CERT"):
        Client(f"https://127.0.0.1:{daemon.port}", "", str(other)).list_models()


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"CORRAL_TLS_KEY": "/none/key.pem"}, "CORRAL_TLS_CERT is not"),
        ({"CORRAL_TLS_CERT": "/none/cert.pem"}, "/none/cert.pem cannot be used"),
        ({"CORRAL_TLS_CERT": "cert.pem"}, "absolute path"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_named(tmp_path, env, said):
    assert said in serve_in_vain(tmp_path / "home", "127.0.0.1:0", **env)


def test_https_without_a_certificate_is_refused(tmp_path):
    assert "there is no certificate" in serve_in_vain(tmp_path / "home", "https://127.0.0.1:0")


def test_settings_and_secrets_outlive_the_daemon(make_daemon):
    daemon = make_daemon().start()
    changed = daemon.ask(
        "PATCH", "/api/settings", {"keep_alive": "77s", "num_parallel": 3}, owner=True
    )
    rows = {row["name"]: row for row in changed.json["settings"]}
    assert (rows["keep_alive"]["value"], rows["keep_alive"]["pending"]) == ("77s", False)
    assert (rows["num_parallel"]["value"], rows["num_parallel"]["pending"]) == ("3", True)
    assert daemon.ask("PUT", "/api/secrets/hf", {"value": "hf_secret"}, owner=True).status == 200
    host = daemon.ask("PATCH", "/api/settings", {"host": "0.0.0.0"}, owner=True)
    assert (host.status, "CORRAL_HOST" in host.json["error"]) == (400, True)
    daemon.stop()
    daemon.start()
    told = daemon.ask("GET", "/api/settings", owner=True).json
    rows = {row["name"]: row for row in told["settings"]}
    assert (rows["num_parallel"]["value"], rows["num_parallel"]["source"]) == ("3", "file")
    assert not any(row["pending"] for row in told["settings"])
    assert told["secrets"]["hf"] is True
    assert daemon.ask("GET", "/api/machine").json["limits"]["num_parallel"] == 3
    text = daemon.ask("GET", "/api/logs?lines=50", owner=True).body.decode()
    wait_for(lambda: "serving address" in text, "the log")
    daemon.stop()
    assert "hf_secret" not in daemon.log
    assert daemon.record["token"] not in text
