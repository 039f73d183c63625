"""Eyes: a projector beside the model, which turns image files into vectors that the model reads.

The only file that knows libmtmd, llama.cpp's library for this (``tools/mtmd/mtmd.h``).  What an
image is among tokens says ``engine/pictures.py``; when it is computed, the scheduler.

``look`` decodes the file and cuts it as the projector wants it, on the thread that prepares
prompts; ``show`` runs the projector and then the model over its vectors, on the loop's.  Text is
never given to libmtmd, so nothing in it can be taken for the place of an image.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import re
import time
import weakref
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt
from llama_cpp import mtmd_cpp as mtmd

from runner.domain.picture import PictureSize, size_of
from runner.engine.backend import NoSlot, decode_failed
from runner.engine.llama.context import Context
from runner.engine.llama.model import Model
from runner.engine.pictures import Picture, Seen, stand_ins
from runner.engine.sequence import Sequence
from runner.errors import BadModelFile, InvalidRequest, Unsupported, WorkerError
from runner.protocol.messages import Load

logger = logging.getLogger(__name__)

#: What ``stb_image``, the decoder inside libmtmd, reads.
FORMATS = ("png", "jpeg", "gif", "bmp")
#: An image may be so many times longer than wide, or the other way round: Qwen's own limit
#: (``smart_resize`` in transformers).  Beyond it some projectors ask for absurd sizes.
MAX_RATIO = 200
#: What libmtmd cannot decode it hands to ffmpeg, as if it were a film; there it finds none.
_NO_FFMPEG = b"/nonexistent"
_OTHER_WIDTH = re.compile(r"\(n_embd = (\d+)\) and mmproj \(n_embd = (\d+)\)")
_LEVELS = {3: logging.WARNING, 4: logging.ERROR}  # ggml.h, enum ggml_log_level
_reasons: list[str] = []  # of errors since the projector began to load


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _user_data: ctypes.c_void_p) -> None:
    line = text.decode("utf-8", "replace").strip()
    if level == 4:
        _reasons.append(line)
        del _reasons[:-8]
    if line.strip("."):
        logger.log(_LEVELS.get(level, logging.DEBUG), "llama.cpp: %s", line)


class _Chunks:
    """What libmtmd made of one image; freed with the last picture that is in it."""

    def __init__(self) -> None:
        self.handle = mtmd.mtmd_input_chunks_init()
        weakref.finalize(self, mtmd.mtmd_input_chunks_free, self.handle)

    def __iter__(self) -> Any:
        for number in range(mtmd.mtmd_input_chunks_size(self.handle)):
            yield mtmd.mtmd_input_chunks_get(self.handle, number)


class _Shown:
    """A picture for libmtmd, and its vectors between being computed and being read."""

    def __init__(self, owner: _Chunks, chunk: Any) -> None:
        self.owner = owner  # frees the chunk
        self.chunk = chunk
        self.vectors: npt.NDArray[np.float32] | None = None


def open_eyes(model: Model, context: Context, load: Load, n_threads: int) -> LlamaEyes | None:
    """Open the projector that ``load`` names; ``None`` for one that only hears.

    Raises:
        BadModelFile: It is another model's, or none.
    """
    mtmd.mtmd_helper_log_set(_log, ctypes.c_void_p(0))
    params = mtmd.mtmd_context_params_default()
    params.use_gpu = load.n_gpu_layers != 0 and load.devices != ("cpu",)
    params.print_timings = False
    params.n_threads = n_threads
    if load.flash_attention is not None:
        params.flash_attn_type = int(load.flash_attention)
    _reasons.clear()
    handle = mtmd.mtmd_init_from_file(load.projector_path.encode(), model.handle, params)
    if not handle:
        raise _no_projector()
    if not mtmd.mtmd_support_vision(handle):
        logger.warning("the projector has no eyes: images are refused")
        mtmd.mtmd_free(handle)
        return None
    context.bends_positions = bool(mtmd.mtmd_decode_use_mrope(handle))
    return LlamaEyes(handle, int(llama_cpp.llama_model_n_embd_inp(model.handle)), context)


def _no_projector() -> BadModelFile:
    """What to say of a projector that libmtmd did not take."""
    for reason in _reasons:
        if found := _OTHER_WIDTH.search(reason):
            return BadModelFile(
                f"the projector is another model's: its vectors have {found[2]} numbers, this"
                f" model's have {found[1]}",
                hint="take the mmproj file from the repository of this very model",
            )
    why = _reasons[-1] if _reasons else "it did not say why"
    return BadModelFile(
        f"llama.cpp could not load the projector: {why[:300]}",
        hint="pull the model again, or leave its projector out of the Modelfile",
    )


class LlamaEyes:
    """Owns an ``mtmd_context``; ``Eyes`` for the rest of the engine."""

    def __init__(self, handle: Any, n_embd: int, context: Context) -> None:
        """Take a context of libmtmd over.

        Args:
            handle: The context; ``close`` frees it.
            n_embd: Numbers in each vector that the model reads.
            context: Where pictures will be shown.
        """
        self._handle = handle
        self._n_embd = n_embd
        self._n_ubatch = context.n_ubatch
        self._options = mtmd.mtmd_helper_init_opt_default()
        self._options.video_params.ffmpeg_bin_dir = _NO_FFMPEG

    def close(self) -> None:
        """Free the projector."""
        mtmd.mtmd_free(self._handle)

    def look(self, content: bytes) -> Seen:
        """Return what an image file is to the model; see ``Eyes``."""
        size = size_of(content)
        if size is None:
            raise InvalidRequest("the image is of no known format", hint="send PNG or JPEG")
        _check_shape(size)
        bitmap = self._decoded(content, size)
        try:
            chunks = self._cut(bitmap)
        finally:
            mtmd.mtmd_bitmap_free(bitmap)
        return self._seen(chunks, hashlib.sha256(content).digest())

    def show(self, context: Context, seq: Sequence, picture: Picture) -> None:
        """Compute a picture into the cache of ``seq``, after what is there.

        Raises:
            NoSlot: There was no room; nothing changed.
            DecodeFailed: llama.cpp could not, and what the cache holds is unknown.
            WorkerError: The projector could not.
        """
        shown = picture.handle
        assert isinstance(shown, _Shown)
        began = time.perf_counter()
        try:
            if shown.vectors is None:
                shown.vectors = self._encoded(shown.chunk, picture.n)
            self._read(context, seq, picture, shown)
            shown.vectors = None
        finally:
            context.native_s += time.perf_counter() - began

    def _decoded(self, content: bytes, size: PictureSize) -> Any:
        buffer = (ctypes.c_uint8 * len(content)).from_buffer_copy(content)
        made = mtmd.mtmd_helper_bitmap_init_from_buf_wrapper(
            self._handle, buffer, len(content), False, self._options
        )
        if not made.bitmap:
            raise InvalidRequest(
                f"the image cannot be decoded: its head says {size.format},"
                f" {size.width} x {size.height} pixels, but its data is damaged, cut short or"
                " packed in a way that is not known here",
                hint="open it in an image program and save it anew, as PNG or JPEG",
            )
        return made.bitmap

    def _cut(self, bitmap: Any) -> _Chunks:
        """Have an image cut and scaled as the projector wants it."""
        chunks = _Chunks()
        part = mtmd.mtmd_input_part(text=None, bitmap=bitmap)
        parts = (ctypes.POINTER(mtmd.mtmd_input_part) * 1)(ctypes.pointer(part))
        code = mtmd.mtmd_tokenize_from_parts(self._handle, chunks.handle, parts, 1, False)
        if code != 0:
            raise InvalidRequest(
                f"the model's projector cannot take the image (libmtmd returned {code})",
                hint="scale it to a few hundred pixels in each direction",
            )
        return chunks

    def _seen(self, chunks: _Chunks, digest: bytes) -> Seen:
        tokens: list[int] = []
        pictures: list[Picture] = []
        for chunk in chunks:
            n = int(mtmd.mtmd_input_chunk_get_n_tokens(chunk))
            if mtmd.mtmd_input_chunk_get_type(chunk) == mtmd.MTMD_INPUT_CHUNK_TYPE_TEXT:
                n_told = ctypes.c_size_t()
                found = mtmd.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(n_told))
                tokens += found[: n_told.value] if found else []
                continue
            self._check_fits(chunk, n)
            n_positions = int(mtmd.mtmd_input_chunk_get_n_pos(chunk))
            pictures.append(Picture(len(tokens), n, n_positions, _Shown(chunks, chunk)))
            tokens += stand_ins(digest, len(pictures), n)
        return Seen(tuple(tokens), tuple(pictures))

    def _check_fits(self, chunk: Any, n: int) -> None:
        """Refuse what llama.cpp would abort the process for: parts of it see each other."""
        sees_all = mtmd.mtmd_decode_use_non_causal(self._handle, chunk)
        if sees_all and n > self._n_ubatch:
            raise Unsupported(
                f"the image takes {n} tokens that must be computed at once, and at most"
                f" {self._n_ubatch} can be",
                hint="send a smaller image, or load the model with a larger num_batch",
            )

    def _encoded(self, chunk: Any, n: int) -> npt.NDArray[np.float32]:
        """Run the projector; return a picture's vectors, ``(n, n_embd)``."""
        code = mtmd.mtmd_encode_chunk(self._handle, chunk)
        found = mtmd.mtmd_get_output_embd(self._handle) if code == 0 else None
        if not found:
            raise WorkerError(
                f"the projector could not compute an image (libmtmd returned {code})",
                hint="try again with a smaller image; its own reason is in the log",
            )
        return np.ctypeslib.as_array(found, shape=(n, self._n_embd)).copy()

    def _read(self, context: Context, seq: Sequence, picture: Picture, shown: _Shown) -> None:
        """Have the model read a picture's vectors, at the positions it was trained with."""
        assert shown.vectors is not None
        first, after = seq.position(picture.start), llama_cpp.llama_pos()
        code = mtmd.mtmd_helper_decode_image_chunk(
            self._handle,
            context.handle,
            shown.chunk,
            shown.vectors.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            first,
            seq.seq_id,
            context.n_ubatch,
            ctypes.byref(after),
            mtmd.mtmd_helper_post_decode_callback(),
            None,
        )
        if code == 1 and picture.n <= context.n_ubatch:  # llama.h: no KV slot; nothing was done
            raise NoSlot
        if code != 0:
            raise decode_failed(code, f"an image of {picture.n} tokens")
        assert after.value == first + picture.n_positions


def _check_shape(size: PictureSize) -> None:
    """Refuse what cannot be decoded here, or what no projector is made for."""
    if size.format not in FORMATS:
        raise InvalidRequest(
            f"images in {size.format} cannot be decoded here",
            hint="send it as PNG or JPEG",
        )
    long, short = max(size.width, size.height), min(size.width, size.height)
    if long > MAX_RATIO * short:
        raise InvalidRequest(
            f"the image is {size.width} x {size.height} pixels: one side may be at most"
            f" {MAX_RATIO} times the other",
            hint="cut it into pieces",
        )
