"""What models need of memory, what there is, and what would make one fit.

Estimates come from the headers of the files (``gguf/memory.py``); what this machine adds to them
is learnt from the processes that ran (``calibration.py``).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from runner.domain.devices import is_address
from runner.domain.memory import DeviceNeed, MemoryNeed
from runner.domain.options import Options
from runner.domain.placement import Outline, first, in_order, need_of, spread, too_few
from runner.domain.sizes import told_apart
from runner.errors import NotEnoughMemory
from runner.gguf.layers import Shape, shape_of
from runner.gguf.memory import Estimate, Plan, device_bytes, estimate_shape, projector_bytes
from runner.gguf.outline import outline_of
from runner.gguf.reader import read_header
from runner.protocol.messages import Load
from runner.service.advice import Ways, advice
from runner.service.calibration import Calibration
from runner.service.devices import Usable
from runner.service.sizing import LEAST, Room, Sizes, choose_sizes
from runner.store.library import Library
from runner.store.manifests import DRAFT, MODEL, PROJECTOR, SHARD, Manifest
from runner.workers.pool import Pool
from runner.workers.process import Worker
from runner.workers.wanted import Wanted

logger = logging.getLogger(__name__)

#: What a worker's process holds before it has loaded anything, in bytes, as measured.
_PROCESS_BYTES = 32 << 20
_N_BATCH = 512
_MOST_SHAPES = 64
#: Share of main memory that a cache may take where it is not known what else there is.
_UNSURE_SHARE = 2


@dataclass(frozen=True, slots=True)
class _Parts:
    """The shapes of a model's files, and bytes of those that have none."""

    model: Shape
    outline: Outline
    draft: Shape | None
    projector: str  # its digest; names of the same weights may have different ones
    n_projector: int
    n_adapters: int


@dataclass(frozen=True, slots=True)
class Fitted:
    """How a model is to be loaded, and what that takes of main memory, in bytes."""

    sizes: Sizes
    n_bytes: int
    outline: Outline
    note: str = ""


class MemoryService:
    """Sizes models before they are loaded.  Its methods read headers: call them in a thread."""

    def __init__(
        self,
        library: Library,
        pool: Pool,
        *,
        memory_bytes: int,
        available: Callable[[], int] | None = None,
        calibration: Calibration | None = None,
        is_sure: Callable[[], bool] = lambda: True,
    ) -> None:
        """Take what is needed.

        Args:
            library: The models.
            pool: Who is in memory.
            memory_bytes: The machine's main memory.
            available: Measures what of it is free; by default all always is.
            calibration: What is known of this machine.
            is_sure: Whether main memory is all there is: nothing is refused for want of it where
                layers may go to a device that is not known here.
        """
        self._library = library
        self._pool = pool
        self._memory_bytes = memory_bytes
        self._available = available or (lambda: memory_bytes)
        self._calibration = calibration or Calibration()
        self._is_sure = is_sure
        self._parts: OrderedDict[str, _Parts] = OrderedDict()
        self._saving: asyncio.Future[None] | None = None

    def fit(self, manifest: Manifest, options: Options, *, asked: int) -> Fitted:
        """Return how a model is to be loaded.

        A larger context than fits is cut to what does; one that is in memory already is not loaded
        again for less than a quarter more.

        Args:
            manifest: The model.
            options: All that is set for it.
            asked: Context wanted, in tokens; 0: choose one.

        Raises:
            NotEnoughMemory: It does not fit, whatever else had to go.
            BadModelFile: One of its files is damaged.
        """
        parts = self._of(manifest)
        n_max = _n_ctx_max(parts.model, options)
        resident = self._pool.load_of(manifest.key)
        least = min(asked, n_max or asked) or min(LEAST, n_max or LEAST)
        if resident is not None and least <= resident.n_ctx:
            sizes = Sizes(least if asked else resident.n_ctx, resident.n_cells, least)
            return self._known(options, self._fitted(manifest, parts, options, sizes))
        sizes = self._sizes(manifest, parts, options, asked)
        note = ""
        if 0 < n_max < asked:
            note = f"num_ctx {asked} was asked for, the model was made for {n_max} tokens"
        if asked and sizes.n_ctx < least:
            note = f"num_ctx {asked} was asked for, {sizes.n_ctx} tokens fit in memory"
            if resident is not None and sizes.n_ctx < resident.n_ctx * 5 // 4:
                sizes = Sizes(resident.n_ctx, resident.n_cells, resident.n_ctx)
            else:
                logger.warning("context cut model=%s: %s", manifest.name, note)
        fitted = self._fitted(manifest, parts, options, sizes, note)
        if resident is None and self._knows_all(options):
            self._refuse_beyond(manifest, options, fitted)
        return self._known(options, fitted)

    def _knows_all(self, options: Options) -> bool:
        """Whether main memory is all there is for a model: no layer goes to another machine."""
        words = options.devices or self._pool.settings.devices
        return self._is_sure() and not any(
            is_address(word) and not word.startswith("-") for word in words
        )

    def _known(self, options: Options, fitted: Fitted) -> Fitted:
        """What is said of memory, where that can be said."""
        return fitted if self._knows_all(options) else replace(fitted, n_bytes=0)

    def _refuse_beyond(self, manifest: Manifest, options: Options, fitted: Fitted) -> None:
        """Return if a model can be loaded, once all others had gone."""
        n_free = self._pool.n_freeable(manifest.key, all_gone=True)
        if fitted.n_bytes <= n_free:
            return
        ways = self._ways(manifest, options, fitted.sizes, n_free)
        needed, free = told_apart(fitted.n_bytes, max(0, n_free))
        raise NotEnoughMemory(
            f"{manifest.name} needs {needed} of memory with a context of"
            f" {fitted.sizes.n_ctx} tokens, and {free} can be free",
            hint="; or ".join(ways) or "close other programs, or use a smaller model",
        )

    async def need(
        self, manifest: Manifest, options: Options, *, asked: int = 0, usable: Usable | None = None
    ) -> MemoryNeed:
        """Return what loading a model would take now, and where.

        Args:
            manifest: The model.
            options: All that is set for it.
            asked: Context wanted, in tokens; 0: choose one.
            usable: The devices that it may be put on; ``None``: they are not known.

        Raises:
            BadModelFile: One of its files is damaged.
        """
        return await asyncio.to_thread(self._need, manifest, options, asked, usable)

    def learn(self, wanted: Wanted, load: Load, worker: Worker) -> None:
        """Compare what was estimated with what a process holds; called on the daemon's loop."""
        measured = worker.n_private() - _PROCESS_BYTES
        parts = self._parts.get(wanted.key)
        if parts is None or not load.generates or load.draft_path or not load.use_mmap:
            return
        if load.projector_path:  # it is read, not mapped
            measured -= parts.n_projector
        plan = Plan(
            max(load.n_cells, load.n_ctx),
            n_seq_max=load.n_seq_max + 1,
            n_batch=load.n_batch,
            n_ubatch=min(load.n_batch, _N_BATCH),
            kv_types=(load.kv_type_k, load.kv_type_v),
            flash_attention=load.flash_attention,
        )
        if not self._pool.settings.has_accelerator:
            self._calibration.learn(
                wanted.key, measured, estimate_shape(parts.model, plan).n_private
            )
            loop = asyncio.get_running_loop()
            self._saving = loop.run_in_executor(None, self._calibration.save)

    def _need(
        self, manifest: Manifest, options: Options, asked: int, usable: Usable | None
    ) -> MemoryNeed:
        parts = self._of(manifest)
        sizes = self._sizes(manifest, parts, options, asked)
        placed, note = self._placed(parts, options, sizes, usable or Usable())
        n_gpu = None if usable is None else sum(one.n_layers for one in placed)
        told, draft = self._estimates(parts, options, sizes, n_gpu)
        fitted = self._fitted(manifest, parts, options, sizes, n_gpu=n_gpu)
        n_free = self._pool.n_freeable(manifest.key, all_gone=True)
        wished = replace(sizes, n_ctx=asked or sizes.n_ctx)
        return MemoryNeed(
            n_weights=told.n_weights,
            n_kv=told.n_kv,
            n_compute=told.n_compute,
            n_output=told.n_output,
            n_projector=told.n_projector,
            n_draft=draft.n_total if draft else 0,
            n_needed=fitted.n_bytes,
            n_accelerator=sum(one.n_needed for one in placed) if usable else told.n_accelerator,
            n_free=n_free,
            n_ctx=sizes.n_ctx,
            n_cells=sizes.n_cells,
            n_ctx_asked=asked,
            fits=fitted.n_bytes <= n_free,
            advice=self._ways(manifest, options, wished, n_free, n_gpu=n_gpu),
            n_layers=parts.outline.n_blocks + 1,
            placed=placed,
            note=note,
        )

    def _placed(
        self, parts: _Parts, options: Options, sizes: Sizes, usable: Usable
    ) -> tuple[tuple[DeviceNeed, ...], str]:
        """What would go where, as the worker that loads it decides; and what is amiss."""
        plan = self._plan(parts.model, options, sizes)
        need = need_of(
            parts.outline,
            n_cells=max(sizes.n_cells, sizes.n_ctx),
            kv_types=plan.kv_types,
            n_batch=options.num_batch or _N_BATCH,
        )
        n_asked = -1 if options.num_gpu is None else options.num_gpu
        places = first(usable.places, options.main_gpu or 0)
        counts = spread(places, need, n_asked, options.tensor_split or ())
        used = in_order(places, counts)
        taken = device_bytes(parts.model, plan, [n for _, n in used])
        rows = tuple(
            DeviceNeed(place.name, n, n_bytes, place.n_free)
            for (place, n), n_bytes in zip(used, taken, strict=True)
        )
        less = too_few(counts, need, places) if n_asked < 0 else ""
        return rows, "; ".join(filter(None, (*usable.notes, less)))

    def _of(self, manifest: Manifest) -> _Parts:
        found = self._parts.get(manifest.key)
        projector = "".join(layer.digest for layer in manifest.layers if layer.kind == PROJECTOR)
        if found is None or found.projector != projector:
            headers = {
                layer.kind: read_header(self._library.blobs.path(layer.digest))
                for layer in manifest.layers
                if layer.kind in (DRAFT, PROJECTOR)
            }
            header = self._library.header(manifest)
            n_bytes = sum(one.n_bytes for one in manifest.layers if one.kind in (MODEL, SHARD))
            found = self._parts[manifest.key] = _Parts(
                model=shape_of(header),
                outline=outline_of(header, n_bytes),
                draft=shape_of(headers[DRAFT]) if DRAFT in headers else None,
                projector=projector,
                n_projector=projector_bytes(headers[PROJECTOR]) if PROJECTOR in headers else 0,
                n_adapters=sum(layer.n_bytes for layer in manifest.adapters),
            )
            while len(self._parts) > _MOST_SHAPES:
                self._parts.popitem(last=False)
        return found

    def _sizes(self, manifest: Manifest, parts: _Parts, options: Options, asked: int) -> Sizes:
        def cost(n_cells: int) -> int:
            told, draft = self._estimates(parts, options, Sizes(n_cells, max(1, n_cells), 0))
            factor = self._calibration.factor(manifest.key)
            return int(factor * (told.n_private + (draft.n_private if draft else 0)))

        smallest = self._fitted(manifest, parts, options, Sizes(1, 1, 1))
        n_free = self._pool.n_freeable(manifest.key)
        room = Room(
            n_memory=self._memory_bytes,
            n_free=min(self._available(), n_free),
            n_cache=n_free - smallest.n_bytes + cost(1)
            if self._knows_all(options)
            else self._memory_bytes // _UNSURE_SHARE,
        )
        return choose_sizes(cost, room, asked=asked, n_ctx_max=_n_ctx_max(parts.model, options))

    def _estimates(
        self, parts: _Parts, options: Options, sizes: Sizes, n_gpu: int | None = None
    ) -> tuple[Estimate, Estimate | None]:
        """What a model needs, and its draft; ``n_gpu``: layers that go elsewhere, if known."""
        plan = self._plan(parts.model, options, sizes)
        if n_gpu is not None:
            plan = replace(plan, n_gpu_layers=n_gpu)
        told = estimate_shape(parts.model, plan, n_projector=parts.n_projector)
        has_draft = parts.draft is not None and options.speculate in ("auto", "on")
        return told, estimate_shape(parts.draft, plan) if has_draft and parts.draft else None

    def _plan(self, shape: Shape, options: Options, sizes: Sizes) -> Plan:
        settings = self._pool.settings
        kv_k, kv_v = settings.kv_types
        n_seq_max = (options.num_parallel or settings.n_seq_max) + 1
        n_batch = max(options.num_batch or _N_BATCH, n_seq_max)
        plan = Plan(
            max(sizes.n_cells, sizes.n_ctx),
            n_seq_max=n_seq_max,
            n_batch=n_batch,
            n_ubatch=min(n_batch, _N_BATCH),
            kv_types=(options.cache_type_k or kv_k, options.cache_type_v or kv_v),
            flash_attention=settings.flash_attention
            if options.flash_attention is None
            else options.flash_attention,
            n_cpu_moe=options.num_cpu_moe or 0,
        )
        if settings.has_accelerator:
            n_gpu = -1 if options.num_gpu is None else options.num_gpu
            plan = replace(plan, n_gpu_layers=n_gpu)
        if not shape.has_memory:  # it reads a text in one go
            n_text = max(sizes.n_ctx, _N_BATCH)
            plan = replace(plan, n_seq_max=1, n_batch=n_text, n_ubatch=n_text)
        return plan

    def _fitted(
        self,
        manifest: Manifest,
        parts: _Parts,
        options: Options,
        sizes: Sizes,
        note: str = "",
        *,
        n_gpu: int | None = None,
    ) -> Fitted:
        told, draft = self._estimates(parts, options, sizes, n_gpu)
        n_private = told.n_private + (draft.n_private if draft else 0)
        n_own = int(self._calibration.factor(manifest.key) * n_private)
        n_own += _PROCESS_BYTES + parts.n_projector + parts.n_adapters
        n_mapped = told.n_weights - told.n_weights_accelerator + (draft.n_weights if draft else 0)
        return Fitted(
            sizes,
            n_bytes=n_own + n_mapped,
            outline=parts.outline,
            note=note,
        )

    def _ways(
        self,
        manifest: Manifest,
        options: Options,
        sizes: Sizes,
        n_free: int,
        *,
        n_gpu: int | None = None,
    ) -> tuple[str, ...]:
        parts = self._of(manifest)
        n_now = n_gpu

        def needed(n_ctx: int, kv_type: str = "", n_gpu: int | None = None) -> int:
            changed = options
            if kv_type:
                changed = replace(changed, cache_type_k=kv_type, cache_type_v=kv_type)
            if n_gpu is not None:
                changed = replace(changed, num_gpu=n_gpu)
            tried = Sizes(n_ctx, n_ctx, n_ctx)
            n_there = n_now if n_gpu is None or n_now is None else n_gpu
            return self._fitted(manifest, parts, changed, tried, n_gpu=n_there).n_bytes

        return advice(
            Ways(
                needed=needed,
                n_free=n_free,
                n_ctx=sizes.n_ctx,
                kv_type=options.cache_type_k or self._pool.settings.kv_types[0],
                n_weights=parts.model.n_weights,
                n_params=manifest.facts.n_params,
                n_layers=len(parts.model.layers) if self._pool.settings.has_accelerator else 0,
            )
        )


def _n_ctx_max(shape: Shape, options: Options) -> int:
    """The longest context that makes sense: as trained, or as far as positions are stretched."""
    scale = options.rope_frequency_scale or 0.0
    return int(shape.n_ctx_train / scale) if 0 < scale < 1 else shape.n_ctx_train
