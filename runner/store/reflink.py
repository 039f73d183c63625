"""Copies that share their bytes until one of them changes, on file systems that have them.

Unlike a hard link such a copy is a file of its own: whoever writes to the one changes nothing in
the other.  Source: ``ioctl_ficlone(2)``; macOS' ``clonefile`` makes new files only, and ours is
there already.
"""

from __future__ import annotations

import sys
from typing import BinaryIO

#: ``linux/fs.h``: ``_IOW(0x94, 9, int)``; the same on all machines but a few that run no models.
_FICLONE = 0x40049409


def reflink(source: BinaryIO, target: BinaryIO) -> bool:
    """Give ``target``, which is empty, the bytes of ``source`` without copying them.

    Returns:
        Whether that worked; if not, ``target`` is as it was.
    """
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
    except (OSError, ValueError):  # another disk, another file system, or no real file
        return False
    return True
