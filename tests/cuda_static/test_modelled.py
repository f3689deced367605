"""bench/modelled.py: its tables, and what they say."""

import json
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent.parent / "bench"
sys.path.insert(0, str(BENCH))  # as `python bench/modelled.py` has it

import modelled  # noqa: E402

ROWS = json.loads(modelled.TARGET.read_text())["networks"]


@pytest.mark.parametrize("dtype", modelled.MEASURED)
@pytest.mark.parametrize("gpu", ["H100", "A100", "T4"])
def test_tables(gpu, dtype):
    lines = modelled.table(ROWS, gpu, dtype).splitlines()
    assert max(map(len, lines)) <= 80
    assert "MODELLED, no measurement" in lines[1]
    assert len(lines) == 5 + len(modelled.BATCHES)


def test_lavin_and_gray_count_as_we_do():
    """Their TFLOP/s at a batch of 1 and of 64."""
    flops = sum(modelled.layer(*shape).flops for shape in modelled.LAYERS)
    assert [round(n * flops / ms / 1e9, 2) for n, ms in ((1, 12.52), (64, 266.48))] == [3.12, 9.37]


def test_fused_winograd_is_ahead_at_every_batch():
    for row in ROWS:
        if row["algorithm"] == modelled.GEMM:
            wanted = {**{key: row[key] for key in ("gpu", "dtype", "batch")}, "algorithm": modelled.FUSED}
            (other,) = [o for o in ROWS if wanted.items() <= o.items()]
            assert other["seconds"] < row["seconds"]
