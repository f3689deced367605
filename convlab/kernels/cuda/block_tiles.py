"""Which tile of C the blocks of a product make, by a model of the time that the busiest SM takes.

A larger tile brings fewer elements for its products, a smaller one leaves fewer SMs idle in the last wave and less of a
tile over the edges. The model counts instructions, of which a partition of an SM issues one a clock, and takes for
granted that L2 gives what tiles ask for: at most 16 bytes a clock and SM, where it has 24 or more (A100, H100).
"""

from .gemm import DEPTH, FINE, LARGE, TALL, WIDE, Tile

SMS = 108  # where nobody knows how many there are: an A100's
_PARTITIONS = 4  # of an SM
# Instructions of a thread beside products and their loads: to bring an element of the next slice, its address, load and
# store; for each slice, barrier, counter and places (as in the machine code).
_BRINGS, _TURN = 3, 16
# Latency that nothing hides, in parts of what one of a partition's resident warps takes for a slice: assumed.
_EXPOSED = 0.5

# By bytes of a sum, the largest first; sums of float64 leave registers for half as many a thread.
TILES = {4: (LARGE, WIDE, TALL, FINE), 8: (FINE,)}


def clocks(tile: Tile, columns: int, rows: int, count: int, sms: int) -> float:
    """What the busiest SM takes for each slice of the depth."""
    blocks = -(-columns // tile.width) * -(-rows // tile.height) * count
    warps, busiest = tile.threads // 32, -(-blocks // sms)
    products = tile.height * tile.width // tile.threads
    brought = DEPTH * (tile.height + tile.width) // tile.threads
    loads = (products // tile.columns + tile.columns) / 4
    instructions = DEPTH * (products + loads) + brought * _BRINGS + _TURN
    resident = min(busiest, tile.blocks) * warps / _PARTITIONS
    return -(-busiest * warps // _PARTITIONS) * instructions * (1 + _EXPOSED / max(resident, 1))


def tile_for(columns: int, rows: int, item: int, sms: int = SMS, count: int = 1) -> Tile:
    """The tile for `count` products of so many columns (outputs) and rows (filters), `item` bytes a sum, on `sms` SMs.

    It changes no bit of the result: all tiles make a sum in the same order.
    """
    return min(TILES[item], key=lambda tile: clocks(tile, columns, rows, count, sms))
