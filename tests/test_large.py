"""Products past 2³¹: every offset is 64 bits wide. The memory is never touched but where a tap reads or writes it."""

import numpy as np
import pytest

import convlab

_SIDE = 50_000  # 2.5 · 10⁹ elements of one byte


@pytest.mark.parametrize("algorithm", ["direct", "im2col", "im2col-explicit"])
def test_input_is_read_past_two_to_the_31(algorithm: str) -> None:
    x = np.zeros((1, 1, _SIDE, _SIDE), np.uint8)
    x[0, 0, -1, -1], x[0, 0, 0, -1] = 7, 5
    y = convlab.conv2d(x, np.full((1, 1, 1, 1), 3, np.uint8), stride=_SIDE - 1, algorithm=algorithm)
    assert np.array_equal(y, [[[[0, 15], [0, 21]]]])


@pytest.mark.parametrize("algorithm", ["direct", "im2col"])
def test_result_is_written_past_two_to_the_31(algorithm: str) -> None:
    rows = np.zeros((1, 1, 2, 2), np.uint8)
    rows[0, 0, 1, 1] = 9
    out = np.zeros((1, 1, _SIDE, _SIDE), np.uint8)[:, :, :: _SIDE - 1, :: _SIDE - 1]
    convlab.conv2d(rows, np.ones((1, 1, 1, 1), np.uint8), algorithm=algorithm, out=out)
    assert out[0, 0, 1, 1] == 9
