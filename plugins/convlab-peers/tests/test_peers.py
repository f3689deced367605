"""Every peer against the oracle, on problems that between them use every feature; and the plugin's manners."""

import importlib
import subprocess
import sys

import numpy as np
import pytest

import convlab
from convlab import Context, ConvProblem, reference
from convlab.testing import check

pytestmark = pytest.mark.peers

forward, transposed = ConvProblem.forward, ConvProblem.transposed
PROBLEMS = {
    "plain 2-D": forward((2, 3, 9, 8), (4, 3, 3, 3), padding=1),
    "2-D, stride, bias, relu6": forward((2, 3, 9, 8), (4, 3, 3, 5), 2, (1, 2), has_bias=True, activation="relu6"),
    "1-D, stride, bias": forward((2, 4, 17), (6, 4, 5), 2, 2, has_bias=True),
    "3-D": forward((1, 2, 5, 6, 7), (3, 2, 3, 2, 3), padding=(1, 0, 1)),
    "stride, dilation, groups": forward((2, 4, 12, 11), (6, 2, 3, 3), (2, 1), (2, 1), (1, 2), 2),
    "same, asymmetric, relu": forward((1, 3, 8, 9), (5, 3, 4, 2), padding="same", has_bias=True, activation="relu"),
    "one plane, even kernel": forward((2, 1, 8, 9), (3, 1, 4, 2), padding="same"),
    "depthwise, reflect": forward((2, 3, 8, 9), (6, 1, 3, 5), padding=(1, 2), groups=3, padding_mode="reflect"),
    "replicate, float64": forward(
        (1, 2, 7, 7), (4, 1, 3, 3), padding=1, groups=2, padding_mode="replicate", dtype="f8"
    ),
    "circular, 3-D": forward((1, 2, 4, 5, 6), (2, 2, 3, 3, 3), padding=1, padding_mode="circular"),
    "channels_last, gelu": forward((2, 9, 8, 3), (4, 3, 3, 3), padding=1, layout="channels_last", activation="gelu"),
    "complex64": forward((1, 3, 7, 8), (2, 3, 3, 3), padding=((2, 1), (0, 1)), dtype="c8", has_bias=True),
    "float16": forward((1, 3, 7, 8), (2, 3, 3, 3), dtype="f2"),
    "int32": forward((1, 3, 7, 8), (2, 3, 3, 3), padding=1, dtype="i4"),
    "no channels": forward((2, 0, 7, 8), (2, 0, 3, 3), has_bias=True),
    "transposed": transposed((2, 4, 5, 6), (4, 3, 3, 3), 2, 1, 1, has_bias=True, activation="silu"),
    "transposed, output_padding in dilation": transposed((1, 4, 9), (4, 2, 3), 1, ((0, 2),), 1, 2, 2),
    "data gradient, asymmetric": forward((2, 3, 8, 9), (4, 3, 3, 4), 2, "same", direction="backward_data"),
    "data gradient, channels_last": forward(
        (2, 8, 9, 3), (4, 3, 3, 3), 2, 1, layout="channels_last", direction="backward_data"
    ),
    "weight gradient": forward((2, 4, 9, 8), (6, 2, 3, 3), 2, 1, groups=2, direction="backward_weights"),
    "weight gradient, no batch": forward((0, 3, 7, 8), (2, 3, 3, 3), direction="backward_weights"),
    "weight gradient, circular": forward(
        (2, 3, 7), (4, 3, 4), padding=((2, 1),), padding_mode="circular", direction="backward_weights"
    ),
}
# How many of the problems each peer can run, so that a refusal too many is noticed.
EXPECTED = {
    "nnpack": 3, "onnxruntime": 7, "opencv": 3, "openvino": 9, "scipy": 9, "torch": 20, "torch-channels-last": 17,
}  # fmt: skip


def peer(name):
    return convlab.get_algorithm(name, "cpu")


def operands(problem, seed=0):
    """Two operands and a bias for the oracle, of integers below 4 for integers, standard normal else."""
    rng = np.random.default_rng(seed)

    def array(shape):
        if problem.dtype.kind in "iu":
            return rng.integers(0, 4, shape).astype(problem.dtype)
        values = rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if problem.dtype.kind == "c" else 0)
        return values.astype(problem.dtype)

    shapes = {
        "forward": (problem.x_shape, problem.w_shape),
        "backward_data": (problem.y_shape, problem.w_shape),
        "backward_weights": (problem.x_shape, problem.y_shape),
    }[problem.direction]
    return *map(array, shapes), array(problem.bias_shape) if problem.has_bias else None


def solve(name, problem, a, b, bias, out, threads=1):
    """Run a peer the way a Plan does."""
    algorithm, ctx = peer(name), Context(threads=threads)
    if problem.direction == "backward_weights":
        algorithm.run(problem, (a, b), None, {}, out, ctx)
    else:
        algorithm.run(problem, (a, bias), algorithm.prepare(problem, b, ctx), {}, out, ctx)


CASES = [
    pytest.param(name, problem, id=f"{name}: {label}")
    for name in EXPECTED
    for label, problem in PROBLEMS.items()
    if peer(name).why_not(problem) is None
]


def test_entry_points_are_found_and_kept_from_auto():
    assert set(EXPECTED) <= set(convlab.peers("cpu"))
    assert not set(EXPECTED) & {name for name, _ in convlab.algorithms("cpu")}


@pytest.mark.parametrize(("name", "count"), EXPECTED.items())
def test_refusals(name, count):
    reasons = [peer(name).why_not(problem) for problem in PROBLEMS.values()]
    assert reasons.count(None) == count
    assert all(reason.strip() for reason in reasons if reason is not None)


@pytest.mark.parametrize(("name", "problem"), CASES)
def test_against_the_oracle(name, problem):
    a, b, bias = operands(problem)
    out = np.full(problem.result_shape, 77, problem.dtype)
    solve(name, problem, a, b, bias, out)
    error = np.abs(out.astype(reference.wide_dtype(problem.dtype)) - reference.solve(problem, a, b, bias))
    bound = peer(name).error_model(problem).bound(problem, (a, b, bias)[: 2 if bias is None else 3])
    assert np.all(error <= bound), f"largest error {error.max()}, bound {np.min(bound)}"


@pytest.mark.parametrize("name", EXPECTED)
def test_conformance(name):
    failures = check(name)
    assert not failures, "\n".join(map(str, failures))


@pytest.mark.parametrize("name", EXPECTED)
def test_strides_and_read_only_inputs(name):
    problem = PROBLEMS["one plane, even kernel"]
    if peer(name).why_not(problem) is not None:
        problem = PROBLEMS["plain 2-D"]
    x, w, _ = operands(problem)
    want, got = np.empty(problem.y_shape, "f4"), np.empty((*problem.y_shape, 2), "f4")[:, :, ::-1, ::-1, 1]
    solve(name, problem, x, w, None, want)
    x = np.flip(np.flip(x, 3).copy(), 3)
    x.flags.writeable = False
    solve(name, problem, x, w, None, got)
    np.testing.assert_array_equal(got, want)


def test_weights_may_change_after_prepare():
    problem = PROBLEMS["one plane, even kernel"]
    for name in EXPECTED.keys() - {"nnpack"}:
        x, w, _ = operands(problem)
        want, got = np.empty(problem.y_shape, "f4"), np.empty(problem.y_shape, "f4")
        solve(name, problem, x, w, None, want)
        state = peer(name).prepare(problem, w, Context())
        w[:] = 0
        peer(name).run(problem, (x, None), state, {}, got, Context())
        np.testing.assert_array_equal(got, want, err_msg=name)


@pytest.mark.parametrize("name", ["torch", "torch-channels-last"])
def test_torch_threads_are_set_and_restored(name, monkeypatch):
    import torch

    seen, real = [], torch.nn.functional.conv2d
    monkeypatch.setattr(
        torch.nn.functional, "conv2d", lambda *args: seen.append(torch.get_num_threads()) or real(*args)
    )
    before = torch.get_num_threads()
    problem = PROBLEMS["plain 2-D"]
    x, w, _ = operands(problem)
    for threads in (1, 2):
        solve(name, problem, x, w, None, np.empty(problem.y_shape, "f4"), threads)
    assert seen == [1, 2]
    assert torch.get_num_threads() == before


def test_opencv_threads_are_set_and_restored(monkeypatch):
    import cv2

    seen, real = [], cv2.filter2D
    monkeypatch.setattr(cv2, "filter2D", lambda *args, **kw: seen.append(cv2.getNumThreads()) or real(*args, **kw))
    before = cv2.getNumThreads()
    problem = forward((1, 1, 9, 9), (1, 1, 3, 3), padding=1)
    x, w, _ = operands(problem)
    for threads in (1, 2):
        solve("opencv", problem, x, w, None, np.empty(problem.y_shape, "f4"), threads)
    assert seen == [1, 2]
    assert cv2.getNumThreads() == before


def nnpack_threads():
    """How many the process's first call, in whatever test, gave NNPACK for good."""
    peer("nnpack").prepare(PROBLEMS["plain 2-D"], np.zeros((4, 3, 3, 3), "f4"), Context())
    return importlib.import_module("convlab_peers.nnpack").pool_threads()


def test_nnpack_is_not_timed_on_other_threads_than_its_pool_has():
    problem, ctx = PROBLEMS["plain 2-D"], Context(threads=nnpack_threads() + 1)
    a, b, _ = operands(problem)
    with pytest.raises(convlab.BackendError, match="in another process"):
        peer("nnpack").compute(problem, (a, None), peer("nnpack").prepare(problem, b, ctx), ctx)


@pytest.mark.parametrize("name", ["torch", "torch-channels-last", "nnpack"])
@pytest.mark.parametrize("label", ["plain 2-D", "channels_last, gelu", "weight gradient"])
def test_what_the_harness_times_is_what_run_copies(name, label):
    problem = PROBLEMS[label]
    if peer(name).why_not(problem) is not None:
        return
    a, b, _ = operands(problem)
    count = 2 if name != "nnpack" else nnpack_threads()
    out, ctx = np.empty(problem.result_shape, "f4"), Context(threads=count)
    solve(name, problem, a, b, None, out, count)
    if problem.direction == "backward_weights":
        computed = peer(name).compute(problem, (a, b), None, ctx).numpy()
    else:
        computed = peer(name).compute(problem, (a, None), peer(name).prepare(problem, b, ctx), ctx).numpy()
        computed = np.moveaxis(computed, 1, -1) if problem.layout == "channels_last" else computed
    np.testing.assert_array_equal(computed, out)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("activation", [None, "relu", "relu6", "silu", "gelu", "sigmoid", "tanh"])
def test_activations_of_compiled_models(name, activation):
    problem = forward((2, 4, 9, 8), (4, 2, 3, 3), padding=1, groups=2, has_bias=True, activation=activation)
    if name == "onnxruntime" and activation in ("relu6", "silu"):
        assert activation in peer(name).why_not(problem)
        return
    assert peer(name).why_not(problem) is None
    a, b, bias = operands(problem)
    out = np.empty(problem.y_shape, "f4")
    solve(name, problem, a, b, bias, out)
    np.testing.assert_allclose(out, reference.solve(problem, a, b, bias), atol=1e-5)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_compiled_bias_is_compiled_again_only_if_it_changes(name):
    problem = PROBLEMS["1-D, stride, bias"]
    a, b, bias = operands(problem)
    algorithm, ctx, out = peer(name), Context(), np.empty(problem.y_shape, "f4")
    state = algorithm.prepare(problem, b, ctx)
    algorithm.run(problem, (a, bias), state, {}, out, ctx)
    first = out.copy()
    assert state.model(bias.copy()) is state.model(bias)
    bias += 1
    algorithm.run(problem, (a, bias), state, {}, out, ctx)
    np.testing.assert_allclose(out, first + 1, atol=1e-5)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_compiled_models_write_into_out(name):
    """What another library returns must be convlab's own array, not a copy of its result."""
    problem = PROBLEMS["plain 2-D"]
    a, b, _ = operands(problem)
    outs = [np.full(problem.y_shape, 7, "f4") for _ in range(2)]
    state = peer(name).prepare(problem, b, Context())
    for out in outs:
        peer(name).run(problem, (a, None), state, {}, out, Context())
    peer(name).run(problem, (2 * a, None), state, {}, outs[1], Context())
    np.testing.assert_allclose(outs[0], reference.solve(problem, a, b), atol=1e-5)
    np.testing.assert_allclose(outs[1], 2 * outs[0], atol=1e-5)


def test_loading_and_asking_import_no_library():
    script = f"""
import sys, convlab
for name in {list(EXPECTED)}:
    peer = convlab.get_algorithm(name, "cpu")
    peer.why_not(convlab.ConvProblem.forward((1, 1, 8, 8), (1, 1, 3, 3), padding=1))
print([name for name in ("torch", "scipy", "cv2", "onnxruntime", "openvino") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
