"""What an access costs: sectors of global memory, wavefronts of shared memory.

Global memory moves in sectors of 32 bytes; a warp's request takes as many as it touches. Shared memory has 32 banks of
4 bytes; a wavefront serves every bank once, one word of it to all who want it. Accesses of 8 and 16 bytes go by halves
and quarters of a warp (CUDA C++ Programming Guide, "Shared Memory"; Nsight Compute, "Memory Tables"). Ideal is what
the same distinct bytes would take, packed.
"""

from typing import Any

import numba
import numpy as np

SECTOR = 32
BANKS = 32


@numba.njit(cache=True)
def sectors(addresses: Any, lanes: Any, width: Any) -> Any:
    """(requests, sectors, ideal sectors) of `width` bytes at each of the addresses, by sorted lanes."""
    touched, pieces = np.empty(BANKS, np.int64), np.empty(BANKS, np.int64)
    requests = total = ideal = 0
    i = 0
    while i < lanes.size:
        warp, sector_count, piece_count = lanes[i] >> 5, 0, 0
        while i < lanes.size and lanes[i] >> 5 == warp:
            sector_count = _add(touched, sector_count, addresses[i] // SECTOR)
            piece_count = _add(pieces, piece_count, addresses[i] // width)
            i += 1
        requests += 1
        total += sector_count
        ideal += (piece_count * width + SECTOR - 1) // SECTOR
    return requests, total, ideal


@numba.njit(cache=True)
def wavefronts(addresses: Any, lanes: Any, width: Any) -> Any:
    """(requests, wavefronts, ideal wavefronts) of `width` bytes at each of the addresses, by sorted lanes."""
    words = np.empty((BANKS, BANKS), np.int64)  # of each bank
    counts = np.zeros(BANKS, np.int64)
    requests = total = ideal = 0
    lanes_at_once = 32 if width <= 4 else 128 // width
    last_warp = last_phase = -1
    worst = 0
    for i in range(lanes.size):
        warp, phase = lanes[i] >> 5, lanes[i] // lanes_at_once
        requests += warp != last_warp
        if phase != last_phase:
            total += worst
            ideal += 1
            counts[:] = 0
            worst = 0
        last_warp, last_phase = warp, phase
        for word in range(addresses[i] // 4, (addresses[i] + max(width, 4)) // 4):
            bank = word % BANKS
            counts[bank] = _add(words[bank], counts[bank], word)
            worst = max(worst, counts[bank])
    return requests, total + worst, ideal


@numba.njit(cache=True, inline="always")
def _add(known: Any, count: Any, value: Any) -> Any:
    """Add a value to the first `count` known ones unless it is among them; the new count."""
    for j in range(count - 1, -1, -1):  # neighbours mostly touch what the lane before them did
        if known[j] == value:
            return count
    known[count] = value
    return count + 1
