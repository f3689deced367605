"""The benchmarks: their problem sets, their tables, what they keep."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from convlab import ConvProblem

BENCH = Path(__file__).parent.parent / "bench"
sys.path.insert(0, str(BENCH))  # as `python bench/layers.py` has it
LAYERS = runpy.run_path(str(BENCH / "layers.py"))
CROSSOVER = runpy.run_path(str(BENCH / "crossover.py"))


def entry(descriptor, threads, rows):
    """A report as JSON: rows of (algorithm, whether a peer, seconds)."""
    return {
        "problem": {"descriptor": descriptor}, "threads": threads, "peak_flops": 1e11 * threads, "others": 0.01,
        "auto": "slow",
        "rows": [
            {
                "algorithm": name, "peer": peer, "status": "ok", "timing": {"median": seconds, "low": 0.9 * seconds},
                "peak_fraction": 0.5, "workspace_bytes": None if peer else 2048, "prepared_bytes": 0,
            }
            for name, peer, seconds in rows
        ],
    }  # fmt: skip


@pytest.mark.parametrize(("name", "count"), [("vgg", 9), ("resnet50", 23)])
def test_sets_are_whole_and_every_layer_is_there_once(name, count):
    found = LAYERS["problems"](BENCH / "problems" / f"{name}.txt")
    assert len(set(found)) == len(found) == count


@pytest.mark.parametrize("path", sorted((BENCH / "problems").glob("*.txt")), ids=lambda path: path.stem)
def test_every_file_of_problems_is_read(path):
    assert LAYERS["problems"](path, layout="channels_last")


def test_resnet_halves_its_images_by_stride():
    layers = LAYERS["problems"](BENCH / "problems" / "resnet50.txt")
    assert sum(p.stride == (2, 2) for p in layers) == 7
    for p in layers:
        assert all(h == q * s for h, q, s in zip(p.in_size, p.out_size, p.stride, strict=True))
        assert all(lo == (r - 1) // 2 for (lo, _), r in zip(p.padding, p.kernel, strict=True))


@pytest.mark.parametrize(
    ("descriptor", "expected"),
    [
        ("ic64ih56oc64oh56kh3ph1", "64,56,64 3x3"),
        ("mb16ic1024ih14oc2048oh7kh1sh2", "1024,14,2048 1x1/2"),
        ("g96ic96ih56oc96oh56kh3ph1", "dw 96,56 3x3"),
        ("g2ic96ih56oc96oh56kh3ph1", "g2 96,56 3x3"),
    ],
)
def test_label(descriptor, expected):
    assert LAYERS["label"](entry(descriptor, 1, [])) == expected


def test_table_has_ratios_scaling_and_80_columns():
    descriptor = "mb1ic1024ih14oc2048oh7kh1sh2"
    rows = [("im2col-explicit", False, 4e-3), ("slow", False, 6e-3), ("torch-channels-last", True, 6e-3)]
    faster = [(name, peer, seconds / 1.6) for name, peer, seconds in rows]
    entries = [entry(descriptor, 1, rows), entry(descriptor, 2, faster), entry("ic1iw9oc1ow9", 2, rows[2:])]
    text = LAYERS["table"](entries, 2)
    assert max(map(len, text.splitlines())) <= 80
    line = next(line for line in text.splitlines() if line.startswith("1024,14,2048"))
    assert line.split()[2:] == ["im2col-explicit", "2.50", "50", "torch-cl", "3.75", "1.50", "1.60"]
    assert "geomean 1.50, by lower quartiles 1.50; least 1.50 (1024,14,2048 1x1/2)" in text
    assert '"auto" against the best: geomean 1.50' in text
    assert "workspace at most 1.00 KiB a thread" in text


def test_a_layer_measured_again_replaces_itself_only(tmp_path):
    path = tmp_path / "results" / "some.json"
    one, two = entry("ic1iw9oc1ow9", 1, []), entry("ic1iw9oc1ow9", 2, [])
    LAYERS["merge"](path, [one, two], LAYERS["key"])
    LAYERS["merge"](path, [two | {"peak_flops": 7}], LAYERS["key"])
    assert [found["peak_flops"] for found in json.loads(path.read_text())] == [1e11, 7]


@pytest.mark.parametrize(("text", "expected"), [(None, [0, 1, 2, 3]), ("2", [2]), ("1:3", [1, 2]), ("2:", [2, 3])])
def test_part_of_a_file(text, expected):
    assert [0, 1, 2, 3][LAYERS["part"](text)] == expected


@pytest.mark.parametrize(("variant", "work"), [("float16", 1), ("batch", 16), ("threads", 1)])
def test_variant_against_plain_an_image(variant, work):
    variants = runpy.run_path(str(BENCH / "variants.py"))
    layer = ConvProblem.from_descriptor("ic4ih8oc4oh8kh3ph1")
    found = variants["measure"](layer, variant, "direct", 2, 0.01)
    assert found["algorithms"] == ["direct", "direct"]
    assert found["ratio"] == work * found["plain"]["median"] / found["other"]["median"]


def test_a_crossover_is_where_a_later_family_wins_for_good():
    sweep = CROSSOVER["SWEEPS"]["layer-64"]._replace(families=(("a", "b"), ("c",), ("d",)))
    fastest = {2: "c", 3: "a", 4: "b", 5: "c", 6: "c"}
    points = {x: {name: 1.0 if name == best else 2.0 for name in "abcd"} for x, best in fastest.items()}
    assert CROSSOVER["crossovers"](points, sweep) == [5, None]
    assert CROSSOVER["steps"](5, None, points) == 2


def test_regret_is_of_what_the_model_takes():
    points, model = {3: {"a": 2.0, "b": 1.0}}, {3: {"a": 5.0, "b": 6.0}}
    assert CROSSOVER["regrets"](points, model) == {3: 2.0}


def test_every_algorithm_of_a_sweep_has_a_style():
    names = {name for sweep in CROSSOVER["SWEEPS"].values() for name in sweep.algorithms}
    text = (BENCH / "crossover_picture.py").read_text()  # which cannot be imported without matplotlib
    assert all(f'"{name}": (' in text for name in names)
