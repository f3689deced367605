"""Operations of a warp as a whole: shuffles, votes, reductions, barriers."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..faults import Fault
from ..lanes import ALL, WARP, Active, Array, Lanes
from .decode import Decoder, Families, Step

FULL = np.uint32(0xFFFFFFFF)


def ballot(lanes: Lanes, indices: Array, holds: Array | bool = True) -> Array:
    """For each lane the lanes of its warp among `indices` for which something holds, as bits of a uint32."""
    votes = np.where(holds, np.int64(1) << indices % WARP, 0)
    found = np.zeros(lanes.warps, np.int64)
    np.add.at(found, lanes.warp[indices], votes)
    return found[lanes.warp[indices]].astype(np.uint32)


def require(lanes: Lanes, indices: Array, mask: Array | np.uint32) -> None:
    """Raise a Fault unless all living lanes that the mask names are here."""
    if indices.size == lanes.count:
        return
    living = np.zeros(lanes.warps, np.int64)
    alive = np.flatnonzero(lanes.alive)
    np.add.at(living, lanes.warp[alive], np.int64(1) << alive % WARP)
    named = np.broadcast_to(mask, indices.shape) & living[lanes.warp[indices]].astype(np.uint32)
    absent = named & ~ballot(lanes, indices)
    if absent.any():
        first = int(np.flatnonzero(absent)[0])
        raise Fault(f"lanes named in the mask are not here: {int(absent[first]):#x}", int(indices[first]))


def _shuffle(decoder: Decoder) -> Step:
    mode, lanes = decoder.one_of("up", "down", "bfly", "idx"), decoder.lanes
    value, by, clamp, mask = (decoder.source(i, "b32") for i in (1, 2, 3, 4))
    names = decoder.operands[0].split("|")
    destination = decoder.names.destination(names[0], "b32")
    valid = decoder.names.destination(names[1], "pred") if len(names) > 1 else None
    everyone = np.zeros(lanes.count, np.uint32)

    def step(active: Active) -> None:
        indices = lanes.indices(active)
        require(lanes, indices, mask[active])
        lane, distance, bounds = indices % WARP, by[active].astype(np.int64) & 31, clamp[active].astype(np.int64)
        segment = bounds >> 8 & 31  # these bits of the lane stay as they are
        last = lane & segment | bounds & 31 & ~segment
        if mode == "idx":
            of = lane & segment | distance & ~segment
        else:
            of = lane ^ distance if mode == "bfly" else lane + (distance if mode == "down" else -distance)
        inside = of >= last if mode == "up" else of <= last
        everyone[active] = value[active]
        destination[active] = everyone[indices - lane + np.where(inside, of, lane)]
        if valid is not None:
            valid[active] = inside

    return step


def _vote(decoder: Decoder) -> Step:
    mode, lanes = decoder.one_of("all", "any", "uni", "ballot"), decoder.lanes
    holds, mask = decoder.source(1, "pred"), decoder.source(2, "u32")
    destination = decoder.destination("b32" if mode == "ballot" else "pred")

    def step(active: Active) -> None:
        indices, named = lanes.indices(active), mask[active]
        require(lanes, indices, named)
        votes, present = ballot(lanes, indices, holds[active]) & named, ballot(lanes, indices) & named
        none, every = votes == 0, votes == present
        results = {"ballot": votes, "any": ~none, "all": every, "uni": none | every}
        destination[active] = results[mode]

    return step


def _active_mask(decoder: Decoder) -> Step:
    lanes, destination = decoder.lanes, decoder.destination()

    def step(active: Active) -> None:
        destination[active] = ballot(lanes, lanes.indices(active))

    return step


_REDUCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y, "min": min, "max": max,
    "and": lambda x, y: x & y, "or": lambda x, y: x | y, "xor": lambda x, y: x ^ y,
}  # fmt: skip


def _reduce(decoder: Decoder) -> Step:
    """Integers of the lanes that the mask names, which must be one mask a warp."""
    reduce, lanes = _REDUCTIONS[decoder.one_of(*_REDUCTIONS)], decoder.lanes
    value, mask, destination, dtype = decoder.source(1), decoder.source(2, "u32"), decoder.destination(), decoder.dtype

    def step(active: Active) -> None:
        indices, values, named = lanes.indices(active), value[active], mask[active]
        require(lanes, indices, named)
        totals: dict[tuple[int, int], Any] = {}
        keys = list(zip(lanes.warp[indices].tolist(), named.tolist(), strict=True))
        for key, x in zip(keys, values, strict=True):
            totals[key] = reduce(totals[key], x) if key in totals else x
        destination[active] = np.array([totals[key] for key in keys], dtype)

    return step


def _warp_barrier(decoder: Decoder) -> Step:
    """bar.warp.sync; a block's barrier is the run's own business (`execute`)."""
    if not decoder.has("warp"):
        raise decoder.refusal()
    lanes, mask = decoder.lanes, decoder.names.source(decoder.operands[0], "u32")

    def step(active: Active) -> None:
        indices = lanes.indices(active)
        require(lanes, indices, mask[active])
        lanes.clock.warp_sync(np.unique(lanes.warp[indices]))

    return step


def whole_warps(lanes: Lanes, active: Active) -> Array:
    """The active lanes, which must be all of every warp that is here: (warps, 32)."""
    indices = lanes.indices(ALL if isinstance(active, slice) else active)
    require(lanes, indices, FULL)
    if indices.size % WARP:
        raise Fault("this instruction needs whole warps")
    return indices.reshape(-1, WARP)


FAMILIES: Families = {
    "shfl": _shuffle,
    "vote": _vote,
    "activemask": _active_mask,
    "redux": _reduce,
    "bar": _warp_barrier,
    "barrier": _warp_barrier,
}
