"""``Convert``: a published model, or an adapter for one, written as GGUF."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

from runner.domain.progress import Progress
from runner.errors import DiskFull
from runner.gguf.reader import read_header
from runner.protocol.tasks import Convert, Converted, Moment
from runner.tools.convert.convert import convert_into
from runner.tools.convert.peft import convert_adapter

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run(task: Convert, tell: Callable[[Moment], None]) -> Converted:
    """Do the task.

    Raises:
        UnsupportedArchitecture: There is no converter for this kind of model.
        BadModelFile: A file is missing or damaged.
        DiskFull: There is no room for the result.
    """

    def told(progress: Progress) -> None:
        tell(Moment(progress.phase, progress.n_done, progress.n_bytes))

    files = {name: Path(path) for name, path in task.files.items()}
    try:
        if task.base_path:
            convert_adapter(files, read_header(Path(task.base_path)), Path(task.out), told)
        else:
            convert_into(files, Path(task.out), name=task.name, progress=told)
    except OSError as error:
        # numpy, which writes, gives no number: "2048 requested and 0 written".
        if error.errno in (*_NO_ROOM, None):
            raise DiskFull(
                "the converted model could not be written: the disk is full, or refuses it",
                hint="make room: corral list shows what models take, corral rm removes one",
            ) from None
        raise
    return Converted()
