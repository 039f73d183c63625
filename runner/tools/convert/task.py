"""``Convert``: a published model, or an adapter for one, written as GGUF."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runner.domain.progress import Progress
from runner.gguf.reader import read_header
from runner.protocol.tasks import Convert, Converted, Moment
from runner.tools.convert.convert import convert_into
from runner.tools.convert.peft import convert_adapter


def run(task: Convert, tell: Callable[[Moment], None]) -> Converted:
    """Do the task.

    Raises:
        UnsupportedArchitecture: There is no converter for this kind of model.
        BadModelFile: A file is missing or damaged.
    """

    def told(progress: Progress) -> None:
        tell(Moment(progress.phase, progress.n_done, progress.n_bytes))

    files = {name: Path(path) for name, path in task.files.items()}
    if task.base_path:
        convert_adapter(files, read_header(Path(task.base_path)), Path(task.out), told)
    else:
        convert_into(files, Path(task.out), name=task.name, progress=told)
    return Converted()
