"""Into how many parts the outputs are split that the gradient of the weights adds up: so many that blocks fill a GPU.

A small gradient over many outputs would be the work of a few blocks. So blocks share it: each adds up a stretch of the
outputs and writes what it has found, which cuda.partial_sums adds up. How many there are depends on the sizes alone:
one problem gives the same bits on every device.
"""

# Blocks that leave little of a large device (132 SMs of two to six blocks) idle in their last round, and those without
# which not even 108 SMs have two each.
BLOCKS, FULL = 768, 216


def split(tasks: int, outputs: int, least: int, unit: int) -> tuple[int, int]:
    """(splits, outputs of each but the last).

    tasks: blocks without any split; outputs: of all images; least: for how many a block is worth its partial sums;
    unit: splits begin at a multiple of it.
    """
    wanted = max(min(-(-BLOCKS // max(tasks, 1)), outputs // least), 1)
    length = max(-(-outputs // (wanted * unit)) * unit, unit)
    return max(-(-outputs // length), 1), length


def partials(splits: int, weights: int) -> int:
    """Elements of partial sums of so many weights: none where there is nothing to add up."""
    return splits * weights if splits > 1 else 0


def filled(blocks: int) -> float:
    """The fraction of a large device that so many blocks keep busy."""
    return min(max(blocks, 1) / FULL, 1.0)
