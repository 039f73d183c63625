"""A projector's GGUF file, small and with nothing to see by: for those that look at headers."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy


def tiny_projector(path: Path) -> Path:
    """Write it to ``path`` and return that."""
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_name("tiny")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_uint32("clip.vision.image_size", 32)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    for number in range(3):
        writer.add_tensor(f"v.blk.{number}.weight", numpy.zeros((4, 32), dtype=numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
