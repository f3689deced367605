"""conv1d/2d/3d, conv_transpose1d/2d/3d and plan: what they compute, and on which arrays.

With torch installed, against its own documented examples; without, against the oracle and by hand.
"""

import numpy as np
import pytest
from data import close, normal

import convlab
from convlab import ConvProblem, reference

CONV = {1: convlab.conv1d, 2: convlab.conv2d, 3: convlab.conv3d}
TRANSPOSE = {1: convlab.conv_transpose1d, 2: convlab.conv_transpose2d, 3: convlab.conv_transpose3d}


# -- by hand


def test_conv1d_is_cross_correlation():
    result = convlab.conv1d([[[1.0, 2, 3, 4]]], [[[1.0, 0, -2]]])
    assert result.tolist() == [[[1 - 6, 2 - 8]]]


def test_conv2d_by_hand():
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    w = np.array([[[[1.0, 2], [3, 4]]]])
    assert convlab.conv2d(x, w).tolist() == [[[[27, 37], [57, 67]]]]
    assert convlab.conv2d(x, w, [0.5], stride=2, padding=1).tolist() == [[[[0.5, 11.5], [30.5, 67.5]]]]


def test_conv3d_adds_up_everything():
    x, w = np.ones((2, 3, 4, 5, 6)), np.ones((7, 3, 2, 2, 2))
    assert (convlab.conv3d(x, w) == 24).all()
    assert convlab.conv3d(x, w).shape == (2, 7, 3, 4, 5)


def test_conv_transpose1d_scatters():
    result = convlab.conv_transpose1d([[[1.0, 10]]], [[[1.0, 2, 3]]], stride=2)
    assert result.tolist() == [[[1, 2, 13, 20, 30]]]
    assert convlab.conv_transpose1d([[[1.0, 10]]], [[[1.0, 2, 3]]], stride=2, padding=1, output_padding=1).tolist() == [
        [[2, 13, 20, 30]]
    ]


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_every_option_at_once(ndim, layout):
    stride, dilation = (2, 1, 3)[:ndim], (1, 2, 1)[:ndim]
    padding = ((1, 2), (0, 1), (2, 0))[:ndim]
    x, w, bias = normal(2, 4, *(9, 8, 7)[:ndim]), normal(6, 2, *(3, 2, 3)[:ndim]), normal(6)
    if layout == "channels_last":
        x = np.moveaxis(x, 1, -1)
    problem = ConvProblem.forward(
        x.shape, w.shape, stride, padding, dilation, 2, layout=layout, padding_mode="reflect", has_bias=True,
        activation="relu",
    )  # fmt: skip
    result = CONV[ndim](
        x, w, bias, stride, padding, dilation, 2, padding_mode="reflect", activation="relu", layout=layout
    )
    close(result, reference.solve(problem, x, w, bias))
    y = np.array(result)
    problem = ConvProblem.transposed(
        y.shape, w.shape, 2, 1, 1, 2, layout=layout, has_bias=True, activation="tanh", dtype=np.float32
    )
    result = TRANSPOSE[ndim](y, w, bias[:4], 2, 1, 1, 2, activation="tanh", layout=layout)
    close(result, reference.solve(problem, y, w, bias[:4]))


# -- padding


@pytest.mark.parametrize("padding", ["valid", "same", "same_lower", 1, (1, 2), ((0, 2), (1, 0))])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding(padding, stride):
    x, w = normal(1, 2, 7, 8), normal(3, 2, 4, 2)
    problem = ConvProblem.forward(x.shape, w.shape, stride, padding)
    close(convlab.conv2d(x, w, stride=stride, padding=padding), reference.solve(problem, x, w))


def test_same_and_same_lower_put_the_odd_one_at_opposite_ends():
    x, w = np.array([[[1.0, 2, 3]]]), np.ones((1, 1, 2))
    assert convlab.conv1d(x, w, padding="same").tolist() == [[[3, 5, 3]]]
    assert convlab.conv1d(x, w, padding="same_lower").tolist() == [[[1, 3, 5]]]


@pytest.mark.parametrize(
    ("mode", "padded"),
    [("zeros", [0, 0, 1, 2, 3, 0]), ("reflect", [3, 2, 1, 2, 3, 2]), ("replicate", [1, 1, 1, 2, 3, 3]),
     ("circular", [2, 3, 1, 2, 3, 1])],
)  # fmt: skip
def test_padding_modes(mode, padded):
    x, w = np.array([[[1.0, 2, 3]]]), np.ones((1, 1, 1))
    assert convlab.conv1d(x, w, padding=((2, 1),), padding_mode=mode).tolist() == [[padded]]


def test_zero_padding_multiplies():
    result = convlab.conv1d(np.ones((1, 1, 2), "f4"), np.array([[[1, 1, np.inf]]], "f4"), padding=1)
    assert np.array_equal(result, [[[np.inf, np.nan]]], equal_nan=True)


# -- arrays of every kind


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_unbatched(ndim):
    size = (6, 5, 4)[:ndim]
    x, w, wt = normal(4, *size), normal(3, 4, *(2,) * ndim), normal(4, 3, *(2,) * ndim)
    close(CONV[ndim](x, w), CONV[ndim](x[None], w)[0])
    close(TRANSPOSE[ndim](x, wt), TRANSPOSE[ndim](x[None], wt)[0])
    last = np.moveaxis(x, 0, -1)
    close(CONV[ndim](last, w, layout="channels_last"), np.moveaxis(CONV[ndim](x, w), 0, -1))
    out = np.empty((3, *(n - 1 for n in size)), np.float32)
    assert CONV[ndim](x, w, out=out) is out


@pytest.mark.parametrize(
    ("x_dtype", "w_dtype", "expected"),
    [("f4", "f8", "f8"), ("f2", "f4", "f4"), ("i2", "f4", "f4"), ("f4", "c8", "c8"), ("f8", "c8", "c16"),
     ("u1", "i1", "i2"), ("i8", "f4", "f8"), ("u8", "i8", "f8"), (">f4", "<f4", "f4"), ("f2", "f2", "f2")],
)  # fmt: skip
def test_dtype_is_numpy_s_result_type(x_dtype, w_dtype, expected):
    x, w = np.ones((1, 2, 3), x_dtype), np.ones((1, 2, 2), w_dtype)
    result = convlab.conv1d(x, w)
    assert result.dtype == np.dtype(expected) == np.result_type(x, w)
    assert (result == 4).all()


@pytest.mark.parametrize(
    "dtype", [name for kind in ("i", "u") for name in (f"{kind}1", f"{kind}2", f"{kind}4", f"{kind}8")]
)
def test_integers_wrap_as_numpy(dtype):
    info = np.iinfo(dtype)
    x = np.random.default_rng(0).integers(info.min, info.max, (1, 1, 50), dtype, endpoint=True)
    w = np.random.default_rng(1).integers(info.min, info.max, (1, 1, 7), dtype, endpoint=True)
    result = convlab.conv1d(x, w)
    assert result.dtype == x.dtype
    assert np.array_equal(result[0, 0], np.convolve(x[0, 0], w[0, 0, ::-1], "valid"))


def test_float16_accumulates_in_float32():
    x, w = np.full((1, 1, 4096), 1, np.float16), np.full((1, 1, 4096), 1, np.float16)
    assert convlab.conv1d(x, w).item() == 4096  # a float16 sum would stop at 2048


def test_complex_is_not_conjugated():
    assert convlab.conv1d(np.array([[[1j]]]), np.array([[[1j]]])).item() == -1
    assert convlab.conv_transpose1d(np.array([[[1j]]]), np.array([[[1j]]])).item() == -1


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a[..., ::-1].copy()[..., ::-1],
        lambda a: np.repeat(a, 2, -1)[..., ::2],
        lambda a: np.asfortranarray(a),
        lambda a: a.astype(a.dtype.newbyteorder()),
        lambda a: a.tolist(),
        lambda a: np.frombuffer(b"\0" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    ],
    ids=["negative stride", "step 2", "fortran", "byte-swapped", "list", "unaligned and read-only"],
)
def test_any_array_will_do(change):
    x, w, bias = normal(2, 3, 5, 6, dtype="f8"), normal(4, 3, 3, 2, dtype="f8"), normal(4, dtype="f8")
    expected = convlab.conv2d(x, w, bias)
    close(convlab.conv2d(change(x), change(w), change(bias)), expected)


def test_broadcast_input_of_stride_zero():
    x = np.broadcast_to(np.float32(1), (2, 3, 5, 6))
    assert (convlab.conv2d(x, np.ones((4, 3, 3, 2), "f4")) == 18).all()


def test_inputs_are_not_modified():
    x, w, bias = normal(1, 2, 5), normal(3, 2, 2), normal(3)
    copies = x.copy(), w.copy(), bias.copy()
    convlab.conv1d(x, w, bias, activation="relu")
    assert all(np.array_equal(a, b) for a, b in zip((x, w, bias), copies, strict=True))


def test_bias_is_cast_to_the_result():
    x, w = normal(1, 2, 5), normal(3, 2, 2)
    result = convlab.conv1d(x, w, np.array([1, 2, 3]))
    assert result.dtype == np.float32
    close(result, convlab.conv1d(x, w) + np.array([1, 2, 3], "f4")[:, None])


@pytest.mark.parametrize("name", ["relu", "relu6", "silu", "gelu", "sigmoid", "tanh"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_activations(name, dtype):
    x = np.linspace(-8, 8, 33).astype(dtype).reshape(1, 1, -1)
    result = convlab.conv1d(x, np.ones((1, 1, 1), dtype), activation=name)
    close(result, reference.activate(x.astype(np.float64), name))


@pytest.mark.parametrize("dtype", ["i1", "u2", "i4", "u8"])
def test_integer_activations(dtype):
    x = np.arange(12).astype(dtype).reshape(1, 1, -1)
    w = np.ones((1, 1, 1), dtype)
    assert convlab.conv1d(x, w, activation="relu6").max() == 6
    if dtype.startswith("i"):
        assert convlab.conv1d(-x, w, activation="relu").max() == 0


# -- sizes at the edge


def test_empty_batch_and_no_filters():
    assert convlab.conv2d(np.ones((0, 3, 5, 5)), np.ones((4, 3, 3, 3))).shape == (0, 4, 3, 3)
    assert convlab.conv2d(np.ones((2, 3, 5, 5)), np.ones((0, 3, 3, 3))).shape == (2, 0, 3, 3)
    assert convlab.conv_transpose2d(np.ones((0, 3, 5, 5)), np.ones((3, 4, 3, 3))).shape == (0, 4, 7, 7)


def test_no_channels_give_the_bias():
    result = convlab.conv2d(np.ones((2, 0, 5, 5)), np.ones((4, 0, 3, 3)), np.arange(4))
    assert np.array_equal(result, np.broadcast_to(np.arange(4.0)[:, None, None], (2, 4, 3, 3)))
    assert not convlab.conv2d(np.ones((2, 0, 5, 5)), np.ones((4, 0, 3, 3))).any()


def test_kernel_as_large_as_the_padded_input():
    x, w = normal(1, 2, 3, 4), normal(1, 2, 5, 4)
    assert convlab.conv2d(x, w, padding=((1, 1), (0, 0))).shape == (1, 1, 1, 1)


# -- plan, out, threads, limits


def test_plan_is_the_call_with_everything_settled():
    x, w, bias = normal(2, 3, 8, 8), normal(4, 3, 3, 3), normal(4)
    plan = convlab.plan(x.shape, w, bias, 2, 1, activation="relu")
    close(plan(x), convlab.conv2d(x, w, bias, 2, 1, activation="relu"))
    assert plan.algorithm in dict(convlab.algorithms("cpu"))
    assert plan.problem.stride == (2, 2)
    assert plan.workspace_bytes >= 0
    assert plan.prepared_bytes >= 0
    assert plan.algorithm in plan.explain()


def test_plan_of_unbatched_shape_and_of_a_dtype():
    w = normal(4, 3, 3)
    plan = convlab.plan((3, 8), w, dtype=np.float64)
    assert plan.problem.dtype == np.float64
    assert plan(np.ones((3, 8))).shape == (4, 6)


@pytest.mark.parametrize("direction", ["forward", "backward_data", "backward_weights"])
def test_plan_of_a_problem(direction):
    problem = ConvProblem.forward((2, 3, 8), (4, 3, 3), direction=direction)
    x, w, y = normal(*problem.x_shape), normal(*problem.w_shape), normal(*problem.y_shape)
    if direction == "forward":
        close(convlab.plan(problem, w)(x), convlab.conv1d(x, w))
    elif direction == "backward_data":
        close(convlab.plan(problem, w)(y), convlab.grad.conv1d_input(x.shape, w, y))
    else:
        close(convlab.plan(problem, None)((x, y)), convlab.grad.conv1d_weight(x, w.shape, y))


def test_out_and_threads():
    x, w = normal(2, 3, 8, 8), normal(4, 3, 3, 3)
    out = np.full((2, 4, 6, 12), np.nan, np.float32)[..., ::2]
    assert convlab.conv2d(x, w, out=out, threads=1, algorithm="direct") is out
    assert np.array_equal(out, convlab.conv2d(x, w, threads=2, algorithm="direct"))


def test_direct_needs_no_workspace():
    x, w = normal(1, 3, 8), normal(4, 3, 3)
    close(convlab.conv1d(x, w, workspace_limit=0), convlab.conv1d(x, w, algorithm="direct"))


# -- torch: its documented examples (batches of the 3-D ones shortened), and options


@pytest.mark.peers
@pytest.mark.parametrize(
    ("ndim", "x", "w", "options"),
    [
        (1, (33, 16, 30), (20, 16, 5), {}),
        (2, (1, 4, 5, 5), (8, 4, 3, 3), {"padding": 1}),
        (3, (1, 16, 50, 10, 20), (33, 16, 3, 3, 3), {}),
        (2, (2, 6, 9, 8), (4, 3, 3, 2), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}),
        (2, (2, 6, 9, 8), (4, 6, 3, 2), {"padding": "same", "dilation": 2}),
        (1, (6, 9), (4, 6, 3), {"padding": "valid"}),
    ],
)
def test_conv_as_torch(ndim, x, w, options):
    torch = pytest.importorskip("torch")
    x, w, bias = normal(*x), normal(*w), normal(w[0])
    expected = getattr(torch.nn.functional, f"conv{ndim}d")(*map(torch.from_numpy, (x, w, bias)), **options)
    close(CONV[ndim](x, w, bias, **options), expected.numpy())


@pytest.mark.peers
@pytest.mark.parametrize(
    ("ndim", "x", "w", "options"),
    [
        (1, (20, 16, 50), (16, 33, 5), {}),
        (2, (1, 4, 5, 5), (4, 8, 3, 3), {"padding": 1}),
        (3, (1, 16, 50, 10, 20), (16, 33, 3, 3, 3), {}),
        (2, (2, 6, 5, 4), (6, 2, 3, 2),
         {"stride": (3, 2), "padding": (2, 1), "output_padding": (2, 0), "groups": 3, "dilation": (1, 2)}),
        (1, (6, 9), (6, 4, 3), {"stride": 2}),
    ],
)  # fmt: skip
def test_conv_transpose_as_torch(ndim, x, w, options):
    torch = pytest.importorskip("torch")
    x, w, bias = normal(*x), normal(*w), normal(w[1] * options.get("groups", 1))
    call = getattr(torch.nn.functional, f"conv_transpose{ndim}d")
    close(TRANSPOSE[ndim](x, w, bias, **options), call(*map(torch.from_numpy, (x, w, bias)), **options).numpy())
