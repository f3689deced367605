"""Which tile is chosen."""

import pytest

from convlab.kernels.cuda.block_tiles import SMS, TILES, clocks, tile_for
from convlab.kernels.cuda.gemm import FINE, LARGE, TALL, WIDE
from convlab.machinecode import GPUS


def test_large_where_it_fills_the_device():
    assert tile_for(32 * 112 * 112, 128, 4) == LARGE


def test_as_low_or_as_narrow_as_the_product():
    assert tile_for(32 * 224 * 224, 64, 4) == WIDE
    assert tile_for(64, 32 * 224 * 224, 4) == TALL


def test_fine_where_it_does_not_fill_the_device_and_for_float64():
    assert tile_for(14 * 14, 512, 4) == tile_for(32 * 56 * 56, 256, 8) == FINE


def test_devices_differ():
    """512 filters on 32 images of 14 x 14: 196 large tiles leave a second wave half empty on 132 SMs, not on 108."""
    found = {name: tile_for(32 * 14 * 14, 512, 4, GPUS[name].sms) for name in ("T4", "A100", "A6000", "H100", "B200")}
    assert found == {"T4": LARGE, "A100": LARGE, "A6000": WIDE, "H100": WIDE, "B200": WIDE}


def test_a_batch_fills_the_device_as_one_product_does():
    assert tile_for(128, 128, 4, count=SMS * 4) == LARGE
    assert tile_for(128, 128, 4) == FINE


@pytest.mark.parametrize("tile", TILES[4])
def test_time_grows_by_waves(tile):
    full = tile.blocks * SMS * tile.width
    one, two = (clocks(tile, n * full, tile.height, 1, SMS) for n in (1, 2))
    assert two == 2 * one
    assert clocks(tile, full + 1, tile.height, 1, SMS) > one
