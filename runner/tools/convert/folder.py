"""A model's folder as it is published: JSON beside safetensors, read piece by piece.

Tensors come as numpy arrays of float32 or float16, one at a time, so that a model larger than
memory can be converted.  What the names mean is the architecture's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from runner.errors import BadModelFile

Array = npt.NDArray[Any]

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_WHOLE = "download the folder again, with all its files"
#: More than any tokenizer has.
_MAX_BYTES = 256 << 20
_PART = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors")
#: safetensors' words for the types that weights are stored in.
_FLOATS = ("F64", "F32", "F16", "BF16")


class ModelFolder:
    """What lies in one folder, or would if its files lay together.

    Attributes:
        path: The folder; ``.`` for files that lie in none.
        config: ``config.json``.
        tensors: Each tensor's file, by the tensor's name.
    """

    def __init__(
        self,
        path: Path | Mapping[str, Path],
        *,
        config_name: str = "config.json",
        tensors_name: str = _SINGLE,
    ) -> None:
        """Read ``config.json`` and the tables of all safetensors files.

        Args:
            path: The folder, or where each of its files is, by its name.
            config_name: What the file of settings is called.
            tensors_name: What the file of tensors is called, where it is one.

        Raises:
            BadModelFile: One of them is missing or damaged.
        """
        self.path = path if isinstance(path, Path) else Path()
        self._files = None if isinstance(path, Path) else dict(path)
        if self._files is None and not self.path.is_dir():
            raise BadModelFile(f"{path} is not a folder", hint="give a model's folder")
        config = self.json(config_name)
        if config is None:
            raise BadModelFile(
                f"{self.place} has no {config_name}",
                hint="give a folder as a model hub publishes it",
            )
        self.config: dict[str, Any] = config
        _refuse_quantized(config)
        self.tensors = self._tensors(tensors_name)

    def json(self, name: str) -> dict[str, Any] | None:
        """Return the object in a JSON file of the folder; ``None`` when there is no such file.

        Raises:
            BadModelFile: It is not a JSON object.
        """
        content = self.content(name)
        if content is None:
            return None
        try:
            value = json.loads(content.decode())
        except (ValueError, RecursionError) as error:
            raise BadModelFile(f"{name} cannot be read: {error}") from None
        if not isinstance(value, dict):
            raise BadModelFile(f"{name} must hold an object")
        return value

    def text(self, name: str) -> str | None:
        """Return a file of text; ``None`` when there is no such file.

        Raises:
            BadModelFile: It is no text in UTF-8.
        """
        content = self.content(name)
        try:
            return None if content is None else content.decode().replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            raise BadModelFile(f"{name} cannot be read: {error}") from None

    def content(self, name: str) -> bytes | None:
        """Return what is in a small file; ``None`` when there is no such file.

        Raises:
            BadModelFile: It cannot be read, or is not small.
        """
        file = self.file(name)
        if file is None:
            return None
        try:
            if file.stat().st_size > _MAX_BYTES:
                raise BadModelFile(f"{name} has more than {_MAX_BYTES} bytes")
            return file.read_bytes()
        except OSError as error:
            raise BadModelFile(f"{name} cannot be read: {error}") from None

    @property
    def place(self) -> str:
        """The folder, in words."""
        return str(self.path) if self._files is None else "the folder"

    def file(self, name: str) -> Path | None:
        """Return where a file of the folder is; ``None`` when there is no such file."""
        path = self.path / name if self._files is None else self._files.get(name)
        return path if path is not None and path.is_file() else None

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a positive whole number of ``config.json``.

        Raises:
            BadModelFile: It is missing, and has no default, or is none.
        """
        value = self.config.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31:
            raise BadModelFile(f"'{name}' in config.json must be a positive number, not {value!r}")
        return value

    def file_of(self, name: str) -> Path:
        """Return the file that one tensor is in.

        Raises:
            BadModelFile: It is in none.
        """
        file = self.tensors.get(name)
        if file is None:
            raise BadModelFile(f"the tensor '{name}' is missing in {self.place}", hint=_WHOLE)
        return file

    def read(self, name: str) -> Array:
        """Return one tensor; bfloat16, which numpy has not, becomes float32.

        Raises:
            BadModelFile: It is missing, damaged, or does not hold fractions.
        """
        file = self.file_of(name)
        try:
            with safe_open(file, framework="np") as tensors:
                dtype = tensors.get_slice(name).get_dtype()
                if dtype not in _FLOATS:
                    raise BadModelFile(f"the tensor '{name}' is of type {dtype}, not a fraction")
                if dtype != "BF16":
                    array: Array = tensors.get_tensor(name)
                    return array.astype(np.float32) if dtype == "F64" else array
            return _read_bfloat16(file, name)
        except (SafetensorError, OSError, ValueError) as error:
            raise BadModelFile(f"{file} cannot be read: {error}") from None

    def _tensors(self, single: str) -> dict[str, Path]:
        index = self.json(_INDEX)
        if index is not None:
            shards = index.get("weight_map")
            if not isinstance(shards, dict):
                raise BadModelFile(f"{_INDEX} has no weight_map")
            # A name with a path in it must not lead out of the folder.
            names = sorted({Path(str(shard)).name for shard in shards.values()})
            hint = f"{_INDEX} names it: {_WHOLE}"
        else:
            names = self._parts() if self.file(single) is None else [single]
            names = names or [single]
            hint = "only safetensors can be converted"
        found: dict[str, Path] = {}
        for name in names:
            file = self.file(name)
            if file is None:
                raise BadModelFile(f"{self.place} has no {name}", hint=hint)
            try:
                with safe_open(file, framework="np") as tensors:
                    found |= dict.fromkeys(tensors.keys(), file)
            except (SafetensorError, OSError) as error:
                raise BadModelFile(f"{name} cannot be read: {error}") from None
        return found

    def _parts(self) -> list[str]:
        """The files of a model in several whose index is missing: what is in them says the rest."""
        known = self._files or {path.name for path in self.path.glob("*.safetensors")}
        parts = [match for name in sorted(known) if (match := _PART.fullmatch(name))]
        for match in parts[:1]:
            if [int(one[1]) for one in parts] != list(range(1, int(match[2]) + 1)):
                raise BadModelFile(
                    f"{self.place} has {len(parts)} of {int(match[2])} parts of the model",
                    hint=_WHOLE,
                )
        return [match[0] for match in parts]


def _refuse_quantized(config: dict[str, Any]) -> None:
    """Refuse weights that are numbers of another kind: AWQ, GPTQ, FP8 and their like."""
    quantized = config.get("quantization_config")
    if isinstance(quantized, dict) and quantized:
        how = quantized.get("quant_method") or "some method"
        raise BadModelFile(
            f"its weights are quantized already, with {how!s:.40}: 'quantization_config' in"
            " config.json",
            hint="take the model that it was made from, or a GGUF build of it",
        )


def _read_bfloat16(file: Path, name: str) -> Array:
    """The upper half of a float32 is a bfloat16; ``safe_open`` has checked the table before."""
    with file.open("rb") as stream:
        n_header = int.from_bytes(stream.read(8), "little")
        entry = json.loads(stream.read(n_header))[name]
        begin, end = entry["data_offsets"]
        stream.seek(8 + n_header + begin)
        halves = np.frombuffer(stream.read(end - begin), dtype="<u2")
    wide = halves.astype(np.uint32) << 16
    return wide.view(np.float32).reshape(entry["shape"])
