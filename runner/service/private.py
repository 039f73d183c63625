"""A file of ours alone that holds names and what belongs to each: tokens of hubs, keys of devices.

JSON with a ``format`` number, mode 0600, written whole or not at all.  Blocks; who may read or
change what is in it says its user.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.errors import StoreError
from runner.store.disk import explained, replace_file

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class PrivateFile:
    """One such file.

    Attributes:
        path: Where it is; it need not be there.
        kind: What it is a file of, and its key in the JSON: ``secrets``.
        contents: What cannot be read or saved: ``the secrets``.
        mend: What to do when it is damaged.
    """

    path: Path
    kind: str
    contents: str
    mend: str

    def read(self) -> dict[str, str]:
        """Return the names with what belongs to each; none where there is no file.

        Raises:
            StoreError: It cannot be read, is damaged, or of a later version.
        """
        try:
            with explained(f"cannot read {self.contents}"):
                told = json.loads(self.path.read_text(encoding="utf-8"))
            if told["format"] != _FORMAT:
                raise StoreError(
                    f"the file of {self.kind} has format {told['format']!r}, this version knows"
                    f" {_FORMAT}",
                    hint="a newer version of Corral wrote it: use that one",
                )
            return {str(name): str(value) for name, value in told[self.kind].items()}
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return {}
            raise
        except (ValueError, KeyError, TypeError, AttributeError):
            raise StoreError(f"the file of {self.kind} is damaged", hint=self.mend) from None

    def write(self, values: Mapping[str, str]) -> None:
        """Replace all that is in it.

        Raises:
            StoreError: It cannot be saved; what was there stays.
        """
        content = json.dumps({"format": _FORMAT, self.kind: dict(values)}).encode()
        with explained(f"cannot save {self.contents}"):
            # A temporary file has mode 0600 from the first, and keeps that when it is renamed.
            replace_file(self.path, content, scratch=self.path.parent, prefix=f".{self.kind}-")
