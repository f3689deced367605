"""Pictures: every kind of file that Pillow reads becomes grey or RGB in 0..1, and goes back."""

import sys

import numpy as np
import pytest

from convlab import BackendError, ProblemError
from convlab.harness import images

Image = pytest.importorskip("PIL.Image")

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("channels", [1, 3])
def test_round_trip_keeps_every_level(tmp_path, channels):
    levels = RNG.integers(0, 256, (channels, 7, 5))
    images.save(tmp_path / "a.png", levels / 255)
    back = images.load(tmp_path / "a.png")
    assert back.dtype == np.float32
    assert back.shape == (channels, 7, 5)
    np.testing.assert_array_equal(np.round(back * 255), levels)


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3), ("I;16", 1)]
)
def test_modes(tmp_path, mode, channels):
    picture = Image.fromarray(np.full((4, 6), 65535, np.uint16)) if mode == "I;16" else Image.new(mode, (6, 4), 1)
    picture.save(tmp_path / "a.png")
    array = images.load(tmp_path / "a.png")
    assert array.shape == (channels, 4, 6)
    assert array.dtype == np.float32
    assert array.flags.c_contiguous
    assert 0 <= array.min() <= array.max() <= 1
    if mode == "I;16":
        assert (array == 1).all()


def test_a_photograph_taken_sideways_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert images.load(tmp_path / "a.jpg").shape == (3, 6, 4)


def test_values_are_clipped(tmp_path):
    images.save(tmp_path / "a.png", np.array([[[-1.0, 0.0, 0.5, 1.0, 2.0, np.nan]]]))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), [[0, 0, 128, 255, 255, 0]])


def test_unreadable_pictures(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    Image.new("RGB", (60, 40)).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    for name in ("text.png", "half.png", "missing.png", "."):
        with pytest.raises(ProblemError, match="--image .* cannot be read as a picture"):
            images.load(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "channels", "message"),
    [
        ("a.png", 2, "1 or 3 channels"),
        ("a.xyz", 3, "no picture format"),
        ("a", 3, "no picture format"),
        ("none/a.png", 3, "no directory"),
    ],
)
def test_outputs_that_cannot_be_written(tmp_path, name, channels, message):
    with pytest.raises(ProblemError, match=message):
        images.save(tmp_path / name, np.zeros((channels, 4, 4)))


def test_without_pillow(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(BackendError, match=r"pip install convlab\[images\]"):
        images.load("a.png")


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 3), (4, 4), (31, 31)])
def test_gaussian_sums_to_one_and_is_symmetric(kernel):
    weights = images.gaussian(kernel)
    assert weights.shape == kernel
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights, weights[::-1, ::-1])
    assert weights.max() == weights[kernel[0] // 2, kernel[1] // 2]


@pytest.mark.parametrize(
    ("shape", "loaded", "groups"),
    [((3, 5), (3, 1, 3, 5), 3), ((6, 1, 3, 3), (6, 1, 3, 3), 3), ((2, 3, 1, 1), (2, 3, 1, 1), 1)],
)
def test_weights(tmp_path, shape, loaded, groups):
    np.save(tmp_path / "w.npy", RNG.standard_normal(shape))
    weights, found = images.load_weights(tmp_path / "w.npy", 3)
    assert weights.shape == loaded
    assert found == groups


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), "has shape"),
        (np.zeros((2, 2, 3, 3)), "divides the picture's 3 channels"),
        (np.zeros((3, 0, 3, 3)), "has shape"),
        (np.array(["a"]), "real numbers"),
        (np.array([None]), "cannot be read"),
    ],
)
def test_weights_that_do_not_fit(tmp_path, array, message):
    np.save(tmp_path / "w.npy", array)
    with pytest.raises(ProblemError, match=message):
        images.load_weights(tmp_path / "w.npy", 3)


def test_missing_weights(tmp_path):
    with pytest.raises(ProblemError, match=r"--weights .*none\.npy cannot be read"):
        images.load_weights(tmp_path / "none.npy", 3)
