"""The Debian package: the frozen bundle in its places, with what desktops and shells ask for.

``packaging/bundle.py`` calls ``build``.  Nothing is installed here, and nobody's home is touched: a
package's removal leaves models, chats and settings, and says where they are.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from runner import __version__  # noqa: E402
from runner.cli.completion import SHELLS, Place, places  # noqa: E402
from runner.cli.main import build_parser  # noqa: E402

LINUX = ROOT / "packaging" / "linux"
METAINFO = LINUX / "app.corral.corral.metainfo.xml"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
#: What the bundle has beside its programs for people who unpack it.
_PAPERS = ("LICENSE", "README.md", "README.zh-CN.md", "THIRD_PARTY.md", "CHANGELOG.md")
ICON_SIZES = (16, 22, 24, 32, 48, 64, 128)

#: The bundle brings its libraries; these are the system's own, the second list for the app alone.
DEPENDS = ("libc6 (>= {glibc})", "zlib1g")
RECOMMENDS = (
    *("libegl1", "libgl1", "libxkbcommon0", "libxkbcommon-x11-0", "libdbus-1-3", "libfontconfig1"),
    *("libxcb-cursor0", "libxcb-icccm4", "libxcb-image0", "libxcb-keysyms1", "libxcb-randr0"),
    *("libxcb-render-util0", "libxcb-shape0", "libxcb-xkb1", "xdg-utils"),
)

CONTROL = """\
Package: corral
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {n_kib}
Depends: {depends}
Recommends: {recommends}
Section: science
Priority: optional
Description: Run language models on your own computer
 A daemon that keeps GGUF models and runs them through llama.cpp, a command
 line, a desktop app, and the APIs of Ollama, OpenAI and Anthropic for other
 programs.  A small starter model is included; nothing is sent anywhere.
"""
POSTRM = """\
#!/bin/sh
set -e
case "$1" in remove|purge)
  echo "corral: models, chats and settings stay with their users, in ~/.local/share/corral,"
  echo "corral: ~/.config/corral, ~/.local/state/corral and ~/.cache/corral."
esac
case "$1" in remove)
  echo "corral: a daemon that still runs ends with: pkill -x corral"
esac
"""
#: Debian's own form of what changed; the words for people are in CHANGELOG.md.
CHANGES = """\
corral ({version}) unstable; urgency=medium

  * What changed for those who use it is in CHANGELOG.md.gz beside this file.

 -- {maintainer}  {date}
"""
MAINTAINER = "The Corral developers <corral@localhost>"
COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: corral

Files: *
Copyright: The Corral developers
License: Apache-2.0
 The text is in /usr/share/common-licenses/Apache-2.0.
Comment: What the package contains of others is listed in THIRD_PARTY.md beside this file,
 and the texts of its licences are in /usr/lib/corral/licenses.
"""


def build(bundle: Path, work: Path, out: Path) -> Path:
    """Return the package made of ``bundle``; ``work`` is made anew."""
    shutil.rmtree(work, ignore_errors=True)
    tree = work / "tree"
    shutil.copytree(bundle, tree / "usr" / "lib" / "corral", symlinks=True)
    for paper in _PAPERS:  # they have a place of their own here
        (tree / "usr" / "lib" / "corral" / paper).unlink(missing_ok=True)
    binaries = tree / "usr" / "bin"
    binaries.mkdir(parents=True)
    for name in ("corral", "corral-app"):
        (binaries / name).symlink_to(f"../lib/corral/{name}")
    for source, target in _files():
        place = tree / target
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
    _write_made(tree)
    draw_icons(tree / "usr" / "share" / "icons" / "hicolor")
    _control(tree)
    _plain_modes(tree)
    package = out / f"corral_{__version__}_{_architecture()}.deb"
    command = ("dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "--build", tree, package)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return package


def _files() -> Iterator[tuple[Path, str]]:
    """Yield what is copied as it is: file, and place in the package."""
    for name in ("corral.desktop", "corral-import.desktop"):
        yield LINUX / name, f"usr/share/applications/{name}"
    yield LINUX / "corral.xml", "usr/share/mime/packages/corral.xml"
    for name in ("corral.service", "corral.socket"):
        yield LINUX / name, f"usr/lib/systemd/user/{name}"
    yield METAINFO, f"usr/share/metainfo/{METAINFO.name}"
    for name in ("README.md", "README.zh-CN.md", "THIRD_PARTY.md"):
        yield ROOT / name, f"usr/share/doc/corral/{name}"


def _write_made(tree: Path) -> None:
    """Write what is made of the program itself: completions, manual, papers."""
    parser, _ = build_parser()
    found = places(parser)
    manual = manual_page(found)
    shells = {
        "bash": "usr/share/bash-completion/completions/corral",
        "zsh": "usr/share/zsh/vendor-completions/_corral",
        "fish": "usr/share/fish/vendor_completions.d/corral.fish",
    }
    texts = {target: SHELLS[shell](found) for shell, target in shells.items()}
    texts["usr/share/doc/corral/copyright"] = COPYRIGHT
    for target, text in texts.items():
        (tree / target).parent.mkdir(parents=True, exist_ok=True)
        (tree / target).write_text(text, encoding="utf-8")
    date = format_datetime(datetime.fromtimestamp(_built_at(), UTC))
    changes = CHANGES.format(version=__version__, maintainer=MAINTAINER, date=date)
    for target, text in (
        ("usr/share/man/man1/corral.1.gz", manual),
        ("usr/share/man/man1/corral-app.1.gz", ".so man1/corral.1\n"),
        ("usr/share/doc/corral/changelog.gz", changes),
        ("usr/share/doc/corral/CHANGELOG.md.gz", (ROOT / "CHANGELOG.md").read_text("utf-8")),
    ):
        (tree / target).parent.mkdir(parents=True, exist_ok=True)
        (tree / target).write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def manual_page(found: dict[str, Place]) -> str:
    """Return ``corral.1``: every command with its options."""
    lines = [
        f'.TH CORRAL 1 "" "corral {__version__}" "User Commands"',
        ".SH NAME",
        "corral, corral\\-app \\- run language models on your own computer",
        ".SH SYNOPSIS",
        ".B corral",
        ".I COMMAND",
        "[...]",
        ".br",
        ".B corral\\-app",
        ".SH DESCRIPTION",
        "The first command that needs it starts a daemon, which keeps the models and answers",
        "programs on 127.0.0.1:11434.",
        "\\fBcorral \\fICOMMAND\\fB \\-\\-help\\fR says more of each.",
        ".SH COMMANDS",
    ]
    for path, place in found.items():
        for name, text in place.commands.items():
            words = f"{path} {name}".strip()
            lines += [".TP", f".B corral {_roff(words)}", _roff(text) or "\\&"]
            lines += [f"\\fB{_roff(option)}\\fR" for option in found[words].options]
    lines += [
        ".SH ENVIRONMENT",
        ".B corral serve \\-\\-help",
        "lists every variable with its default.",
        ".SH FILES",
        "~/.local/share/corral, ~/.config/corral, ~/.local/state/corral, ~/.cache/corral",
        "",
    ]
    return "\n".join(lines)


def _roff(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def draw_icons(folder: Path) -> None:
    """Draw the app's own icon in the sizes that desktops ask for."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtWidgets import QApplication

    from gui.icons import mark

    _application = QApplication.instance() or QApplication([])  # icons are drawn by it
    for size in ICON_SIZES:
        target = folder / f"{size}x{size}" / "apps" / "corral.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        if not mark().pixmap(size, size).toImage().save(str(target)):
            raise OSError(f"{target} cannot be written")


def _control(tree: Path) -> None:
    folder = tree / "DEBIAN"
    folder.mkdir()
    n_bytes = sum(path.lstat().st_size for path in tree.rglob("*"))
    text = CONTROL.format(
        version=__version__,
        maintainer=MAINTAINER,
        architecture=_architecture(),
        n_kib=n_bytes // 1024,
        depends=", ".join(DEPENDS).format(glibc=_glibc()),
        recommends=", ".join(RECOMMENDS),
    )
    (folder / "control").write_text(text, encoding="utf-8")
    (folder / "md5sums").write_text(_md5sums(tree), encoding="utf-8")
    (folder / "postrm").write_text(POSTRM, encoding="utf-8")
    (folder / "postrm").chmod(0o755)


def _plain_modes(tree: Path) -> None:
    """Give files the modes that a package has, whatever the umask was."""
    for path in tree.rglob("*"):
        if not path.is_symlink():
            runs = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if runs else 0o644)


def _built_at() -> int:
    """Seconds of the epoch: now, or what reproducible builds are told."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())


def _md5sums(tree: Path) -> str:
    """Return what ``dpkg --verify`` compares files with."""
    lines = []
    for path in sorted(tree.rglob("*")):
        place = path.relative_to(tree)
        if path.is_file() and not path.is_symlink() and place.parts[0] != "DEBIAN":
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
            lines.append(f"{digest.hexdigest()}  {place.as_posix()}\n")
    return "".join(lines)


def _architecture() -> str:
    return ARCHITECTURES.get(os.uname().machine, os.uname().machine)


def _glibc() -> str:
    """The version of the C library that this machine has: an older one may lack what was used."""
    return str(os.confstr("CS_GNU_LIBC_VERSION")).split()[-1]
