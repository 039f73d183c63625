"""What is remembered of a file that is still arriving: lines that are only ever added; pure.

    8c2ec9bf {"format":1,"key":"sha256:…","n_bytes":…,"part_bytes":…,"boot":"…"}
    1f00a7d3 {"part":3,"n":262144}           the first n bytes of part 3 are written
    77ab3c01 {"part":3,"sha256":"…"}         all of part 3 is written, and hashes to this
    0b9d22ee {"forget":3}                    part 3 must come again
    5e0f1a40 {"synced":1280}                 what the first 1280 bytes here say is on the disk

Each line begins with the CRC-32 of the rest, so a line torn by a crash is known and ends the
journal.  After a crash of the program all lines hold: what it wrote, the system keeps.  After a
crash of the system (another ``boot``) only those that a ``synced`` vouches for do.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

FORMAT = 1


@dataclass(slots=True)
class Arrived:
    """What of a file is there.

    Attributes:
        parts: Bytes from the start of each part.
        digests: SHA-256 of the parts that are whole.
    """

    parts: dict[int, int] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Head:
    """What a journal is about.

    Attributes:
        key: Which file: ``sha256:<hex>``, or another name for a file without a promised digest.
        n_bytes: Its size.
        part_bytes: Size of each part but the last.
        boot: Which run of the system wrote the journal.
    """

    key: str
    n_bytes: int
    part_bytes: int
    boot: str


def begin(head: Head, arrived: Arrived) -> bytes:
    """Return a new journal that says what is there already, and that it is on the disk."""
    lines = [
        _line(
            {
                "format": FORMAT,
                "key": head.key,
                "n_bytes": head.n_bytes,
                "part_bytes": head.part_bytes,
                "boot": head.boot,
            }
        )
    ]
    for part, n in sorted(arrived.parts.items()):
        digest = arrived.digests.get(part)
        lines.append(note_whole(part, digest) if digest else note(part, n))
    said = b"".join(lines)
    return said + synced(len(said))


def note(part: int, n_bytes: int) -> bytes:
    """Return the line that says how much of a part is there."""
    return _line({"part": part, "n": n_bytes})


def note_whole(part: int, sha256: str) -> bytes:
    """Return the line that says that a part is whole."""
    return _line({"part": part, "sha256": sha256})


def forget(part: int) -> bytes:
    """Return the line that takes a part back."""
    return _line({"forget": part})


def synced(n_bytes: int) -> bytes:
    """Return the line that vouches for the first ``n_bytes`` of the journal."""
    return _line({"synced": n_bytes})


def replay(content: bytes, head: Head) -> Arrived:
    """Return what a journal says is there; nothing, when it is not about the file of ``head``.

    Never raises, whatever ``content`` is: what cannot be believed is left out.
    """
    lines = [*_lines(content)]
    first = lines[0][1] if lines else {}
    known = {"format": FORMAT, "key": head.key, "n_bytes": head.n_bytes}
    known["part_bytes"] = head.part_bytes
    if any(first.get(name) != value for name, value in known.items()):
        return Arrived()
    n_vouched = len(content)
    if not head.boot or first.get("boot") != head.boot:
        marks = (line.get("synced") for _, line in lines)
        n_vouched = max((mark for mark in marks if isinstance(mark, int)), default=0)
    arrived = Arrived()
    for end, line in lines:
        # Bytes that were no good then are no good on the disk either.
        if end <= n_vouched or "forget" in line:
            _apply(line, head, arrived)
    return arrived


def _apply(line: dict[str, Any], head: Head, arrived: Arrived) -> None:
    n_parts = -(-head.n_bytes // head.part_bytes)
    part = line.get("part", line.get("forget"))
    if not isinstance(part, int) or not 0 <= part < n_parts:
        return
    size = min(head.part_bytes, head.n_bytes - part * head.part_bytes)
    if "forget" in line:
        arrived.parts.pop(part, None)
        arrived.digests.pop(part, None)
    elif isinstance(digest := line.get("sha256"), str) and len(digest) == 64:
        arrived.parts[part] = size
        arrived.digests[part] = digest
    elif isinstance(n := line.get("n"), int) and 0 < n < size:
        arrived.parts[part] = n


def _line(value: dict[str, Any]) -> bytes:
    text = json.dumps(value, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _lines(content: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the lines up to the first that is not whole, each with the offset of its end."""
    end = 0
    for raw in content.split(b"\n")[:-1]:
        end += len(raw) + 1
        checksum, _, text = raw.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(text):
            return
        try:
            value = json.loads(text)
        except ValueError:
            return
        if not isinstance(value, dict):
            return
        yield end, value
