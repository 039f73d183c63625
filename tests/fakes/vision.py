"""Tiny projectors of three kinds that libmtmd loads, and pictures to look at.

With random weights they see nothing, but what they make of a picture depends on every pixel.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import gguf
import numpy as np

from tests.fakes.random_models import N_EMBD, Array, Random, write_tensors

_WIDTH, _N_HEAD, _N_FF, _PATCH = 32, 2, 48, 8
#: Pixels of a side, as projectors with a fixed size have it.
SIDE = 32


def random_projector(path: Path, *, kind: str = "mlp", seed: int = 0, n_embd: int = N_EMBD) -> Path:
    """Write a projector.

    Args:
        path: File to write.
        kind: ``mlp``, Llava's: 16 tokens a picture; ``gemma3``: 4 tokens, which see each other;
            ``qwen2vl_merger``: as many as the picture is large, at two-dimensional positions.
        seed: Of its weights.
        n_embd: Width of the model that it belongs to.
    """
    make = _Random(seed)
    n_layer = 3
    tensors = {"v.patch_embd.weight": make(_WIDTH, 3, _PATCH, _PATCH, scale=0.2)}
    for layer in range(n_layer):
        tensors |= make.block(f"v.blk.{layer}.")
    tensors |= _ENDS[kind](make, n_embd)
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", kind)
    writer.add_bool("clip.use_gelu", True)
    sizes = {
        "image_size": SIDE,
        "patch_size": _PATCH,
        "embedding_length": _WIDTH,
        "feed_forward_length": _N_FF,
        "block_count": n_layer,
        "attention.head_count": _N_HEAD,
        "projection_dim": n_embd,
        "projector.scale_factor": 2,
    }
    for key, value in sizes.items():
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    write_tensors(writer, tensors)
    return path


class _Random(Random):
    """Random tensors of a projector, the same ones for a seed."""

    def __call__(self, *shape: int, scale: float = 0.3) -> Array:
        return super().__call__(*shape, scale=scale)

    def norm(self, name: str) -> dict[str, Array]:
        weight, bias = np.ones(_WIDTH, np.float32), self(_WIDTH, scale=0.1)
        return {f"{name}.weight": weight, f"{name}.bias": bias}

    def dense(self, name: str, n_out: int, n_in: int) -> dict[str, Array]:
        return {f"{name}.weight": self(n_out, n_in), f"{name}.bias": self(n_out)}

    def block(self, at: str) -> dict[str, Array]:
        """A layer: each patch looks at all others."""
        tensors = self.norm(f"{at}ln1") | self.norm(f"{at}ln2")
        for part in ("attn_q", "attn_k", "attn_v", "attn_out"):
            tensors |= self.dense(at + part, _WIDTH, _WIDTH)
        tensors |= self.dense(f"{at}ffn_up", _N_FF, _WIDTH)
        return tensors | self.dense(f"{at}ffn_down", _WIDTH, _N_FF)

    def places(self) -> dict[str, Array]:
        """A vector for each place in a picture of the fixed size."""
        return {"v.position_embd.weight": self((SIDE // _PATCH) ** 2, _WIDTH)}


def _llava(make: _Random, n_embd: int) -> dict[str, Array]:
    return make.places() | make.dense("mm.0", n_embd, _WIDTH) | make.dense("mm.2", n_embd, n_embd)


def _gemma(make: _Random, n_embd: int) -> dict[str, Array]:
    return {
        **make.places(),
        **make.norm("v.post_ln"),
        "mm.input_projection.weight": make(_WIDTH, n_embd),
        "mm.soft_emb_norm.weight": np.ones(_WIDTH, np.float32),
    }


def _qwen(make: _Random, n_embd: int) -> dict[str, Array]:
    return {
        "v.patch_embd.weight.1": make(_WIDTH, 3, _PATCH, _PATCH, scale=0.2),
        **make.norm("v.post_ln"),
        **make.dense("mm.0", 4 * _WIDTH, 4 * _WIDTH),
        **make.dense("mm.2", n_embd, 4 * _WIDTH),
    }


#: What comes after the layers, by the kind of projector.
_ENDS = {"mlp": _llava, "gemma3": _gemma, "qwen2vl_merger": _qwen}


def bmp(width: int = SIDE, height: int = SIDE) -> bytes:
    """A BMP of one colour; source of the format: BITMAPINFOHEADER of the Windows API."""
    pixels = b"\x20\x40\x60" * width * height
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(pixels), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(pixels), 0, 0, 54) + head + pixels


def png(seed: int = 0, width: int = SIDE, height: int = SIDE) -> bytes:
    """A PNG of random pixels; source of the format: W3C, Portable Network Graphics."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width * 3), dtype=np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
