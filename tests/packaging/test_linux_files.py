"""What a desktop, systemd, launchd and dpkg read is well formed, as far as this machine can say."""

from __future__ import annotations

import configparser
import gzip
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
sys.path.insert(0, str(PACKAGING))
import deb  # noqa: E402

sys.path.remove(str(PACKAGING))


def unit(name: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read(PACKAGING / "linux" / name)
    return {section: dict(parser[section]) for section in parser.sections()}


def test_desktop_files_are_valid():
    files = sorted((PACKAGING / "linux").glob("*.desktop"))
    assert len(files) == 2
    for file in files:
        entry = unit(file.name)["Desktop Entry"]
        assert entry["Type"] == "Application" and entry["Exec"].split()[0].startswith("corral")
    if check := shutil.which("desktop-file-validate"):
        done = subprocess.run([check, *files], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "")


def test_the_type_of_model_files_is_the_one_that_the_desktop_opens():
    spaces = {"m": "http://www.freedesktop.org/standards/shared-mime-info"}
    tree = ElementTree.parse(PACKAGING / "linux" / "corral.xml")
    (kind,) = tree.findall("m:mime-type", spaces)
    assert kind.find("m:glob", spaces).get("pattern") == "*.gguf"
    assert kind.find("m:magic/m:match", spaces).get("value") == "GGUF"
    opener = unit("corral-import.desktop")["Desktop Entry"]["MimeType"]
    assert opener == f"{kind.get('type')};"


def test_the_app_is_told_of_in_words_that_centres_of_software_read():
    (file,) = (PACKAGING / "linux").glob("*.metainfo.xml")
    told = ElementTree.parse(file).getroot()
    assert f"{told.findtext('id')}.metainfo.xml" == file.name
    launched = PACKAGING / "linux" / (told.findtext("launchable") or "")
    entry = unit(launched.name)["Desktop Entry"]
    assert (told.findtext("name"), told.findtext("icon")) == (entry["Name"], entry["Icon"])
    opened = unit("corral-import.desktop")["Desktop Entry"]["MimeType"]
    assert f"{told.findtext('provides/mediatype')};" == opened
    if check := shutil.which("appstreamcli"):
        command = [check, "validate", "--no-net", file]
        done = subprocess.run(command, capture_output=True, text=True)
        # Newer ones warn of what there is none of, such as a page on the network.
        assert not [line for line in done.stdout.splitlines() if line.startswith("E:")]


def test_the_socket_is_for_this_machine_and_starts_the_service():
    from runner.config import SETTING_SPECS

    assert unit("corral.socket")["Socket"]["ListenStream"] == SETTING_SPECS["host"].shown_default
    service = unit("corral.service")["Service"]
    assert service["ExecStart"] == "/usr/bin/corral serve"
    assert service["NoNewPrivileges"] == "yes"
    assert service["OOMPolicy"] == "continue", "the kernel ends a model, not the daemon"
    assert unit("corral.service")["Install"]["Also"] == "corral.socket"


@pytest.mark.parametrize("name", ["app.corral.daemon.plist", "Info.plist"])
def test_property_lists_can_be_read(name):
    with (PACKAGING / "macos" / name).open("rb") as file:
        assert plistlib.load(file)


@pytest.mark.parametrize("script", ["linux/try_deb", "macos/make_app", "prerequisites"])
def test_scripts_of_the_shell_can_be_read_and_run(script):
    path = PACKAGING / script
    assert path.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", path]).returncode == 0


def test_what_was_never_run_says_so():
    for path in ("container/Containerfile", "container/Containerfile.cuda", "windows/corral.iss"):
        assert "Untested" in (PACKAGING / path).read_text().splitlines()[0]


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no dpkg on this machine")
def test_the_package_has_everything_in_its_place(tmp_path):
    bundle = tmp_path / "bundle"
    (bundle / "_internal").mkdir(parents=True)
    for name in ("corral", "corral-app"):
        (bundle / name).write_text("#!/bin/sh\n")
        (bundle / name).chmod(0o700)
    package = deb.build(bundle, tmp_path / "work", tmp_path)
    told = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True)
    modes = {line.split()[5]: line.split()[0] for line in told.stdout.splitlines()}
    assert modes["./usr/lib/corral/corral"] == "-rwxr-xr-x"
    assert modes["./usr/lib/systemd/user/corral.socket"] == "-rw-r--r--"
    assert "root/root" in told.stdout and modes["./usr/bin/corral-app"].startswith("l")
    for place in (
        "usr/share/icons/hicolor/48x48/apps/corral.png",
        "usr/share/bash-completion/completions/corral",
        "usr/share/man/man1/corral.1.gz",
        "usr/share/doc/corral/copyright",
        "usr/share/mime/packages/corral.xml",
    ):
        assert f"./{place}" in modes
    control = subprocess.run(["dpkg-deb", "--field", package], capture_output=True, text=True)
    assert "Depends: libc6" in control.stdout
    manual = gzip.decompress((tmp_path / "work/tree/usr/share/man/man1/corral.1.gz").read_bytes())
    assert b"daemon logs" in manual and b"\\-\\-follow" in manual


@pytest.mark.skipif(not shutil.which("man"), reason="no man on this machine")
def test_the_manual_can_be_set(tmp_path):
    from runner.cli.completion import places
    from runner.cli.main import build_parser

    page = tmp_path / "corral.1"
    page.write_text(deb.manual_page(places(build_parser()[0])))
    environ = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "80"}
    done = subprocess.run(
        ["man", "--warnings=all", "-l", page], capture_output=True, text=True, env=environ
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "corral pull" in done.stdout
