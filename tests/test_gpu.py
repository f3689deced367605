"""On a real GPU: `pytest -m gpu`. Results, streams, copies, and times against cuDNN through PyTorch.

The same kernels are proven on the emulator (tests/cuda_static); here is what only a device can tell.
"""

import functools
import time

import numpy as np
import pytest

import convlab
from convlab import BackendError, arrays, registry
from convlab.harness import transfers
from convlab.testing import operands


def _reason():
    try:
        arrays.of("cuda")
    except BackendError as error:
        return str(error)
    return None


pytestmark = [pytest.mark.gpu, pytest.mark.skipif(_reason() is not None, reason=_reason() or "")]

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 16, 17, 19)).astype(np.float32)
W = RNG.standard_normal((24, 16, 3, 3)).astype(np.float32)
LAYERS = (
    "mb32ic64ih224oc64oh224kh3ph1", "mb32ic256ih56oc256oh56kh3ph1", "mb32ic512ih14oc512oh14kh3ph1",
    "mb32ic256ih56oc64oh56kh1", "mb32ic64ih56oc128oh28kh3sh2ph1", "mb32g32ic32ih112oc32oh112kh3ph1",
    "mb32g144ic144ih56oc144oh28kh3sh2ph1", "mb32g512ic512ih14oc512oh14kh3ph1", "mb32g120ic120ih28oc120oh28kh5ph2",
)  # fmt: skip


def expected():
    return convlab.conv2d(X, W, padding=1)


def algorithms():
    return [name for name, _ in registry.algorithms("cuda")]


@pytest.mark.parametrize("algorithm", ["auto", "direct", "im2col"])
def test_numpy(algorithm):
    y = convlab.conv2d(X, W, padding=1, backend="cuda", algorithm=algorithm)
    np.testing.assert_allclose(y, expected(), rtol=1e-4, atol=1e-4)


def test_numba_arrays():
    from numba import cuda

    x, w = cuda.to_device(X), cuda.to_device(W)
    out = cuda.device_array(expected().shape, np.float32)
    assert convlab.conv2d(x, w, padding=1, out=out) is out
    np.testing.assert_allclose(out.copy_to_host(), expected(), rtol=1e-4, atol=1e-4)
    strided = cuda.to_device(np.repeat(X, 2, axis=3))[:, :, :, ::2]
    y = convlab.conv2d(strided, w, padding=1)
    np.testing.assert_allclose(y.copy_to_host(), expected(), rtol=1e-4, atol=1e-4)


def test_cupy_stream():
    cupy = pytest.importorskip("cupy")
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        x, w = cupy.asarray(X), cupy.asarray(W)
        y = convlab.conv2d(x, w, padding=1)  # the array says which stream it was made on
    stream.synchronize()
    assert isinstance(y, cupy.ndarray)
    np.testing.assert_allclose(y.get(), expected(), rtol=1e-4, atol=1e-4)


def test_torch_stream():
    torch = pytest.importorskip("torch")
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        x, w = torch.from_numpy(X).cuda(non_blocking=True), torch.from_numpy(W).cuda(non_blocking=True)
        y = convlab.conv2d(x, w, padding=1, stream=stream)
    stream.synchronize()
    assert y.is_cuda
    np.testing.assert_allclose(y.cpu().numpy(), expected(), rtol=1e-4, atol=1e-4)


def test_a_call_does_not_wait():
    """A call returns long before the device has done what it queued."""
    from numba import cuda

    problem = convlab.ConvProblem.from_descriptor(LAYERS[0])
    x, w = (cuda.device_array(shape, np.float32) for shape in (problem.x_shape, problem.w_shape))
    out, plan = cuda.device_array(problem.y_shape, np.float32), convlab.plan(problem, w, algorithm="direct")
    plan(x, out)
    cuda.synchronize()
    start = time.perf_counter()
    plan(x, out)
    queued = time.perf_counter() - start
    cuda.synchronize()
    assert queued < 0.5 * (time.perf_counter() - start)


def test_transfers(capsys):
    """Prints what copies take, and what overlapping them with computing brings; whole calls are right in any pieces."""
    problem = convlab.ConvProblem.from_descriptor("mb32ic64ih56oc64oh56kh3ph1")
    given, on = operands(problem, 1), arrays.of("cuda")
    expected = convlab.conv2d(given[0], given[1], padding=1)
    result = on.pinned(problem.y_shape, problem.dtype)
    images = on.pinned(problem.x_shape, problem.dtype)
    images[...] = given[0]
    for pieces in (1, 4):
        call = transfers.whole_call(problem, [images, given[1]], result, on, "im2col", pieces)
        for _ in range(2):
            result[...] = np.nan
            call()
            np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-3)
    found = transfers.measure(problem, given, on, "im2col", 0.2)
    with capsys.disabled():
        print(f"\n{problem.descriptor}: {found}")


def cudnn_call(torch, problem, given):
    """A problem of channels_first by cuDNN; given: what convlab takes in its direction, in this order."""
    padding, stride = tuple(lo for lo, _ in problem.padding), problem.stride
    options = {"stride": stride, "padding": padding, "groups": problem.groups}
    a, b = given
    if problem.direction == "forward":
        return lambda: torch.nn.functional.conv2d(a, b, **options)
    if problem.direction == "backward_data":
        return lambda: torch.nn.grad.conv2d_input(problem.x_shape, b, a, **options)
    return lambda: torch.nn.grad.conv2d_weight(a, problem.w_shape, b, **options)


def seconds_of(torch, call):
    """The mean of ten calls, measured on the device."""
    call()
    torch.cuda.synchronize()
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(10):
        call()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1e4


@pytest.mark.parametrize("direction", ["forward", "backward_data", "backward_weights"])
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("descriptor", LAYERS)
def test_times_against_cudnn(descriptor, layout, direction, capsys):
    """Prints time and TFLOP/s of every algorithm and of cuDNN, with TF32 off and on; fails only for wrong results."""
    torch = pytest.importorskip("torch")
    problem = convlab.ConvProblem.from_descriptor(descriptor, direction=direction, layout=layout)
    first, last = problem.replace(layout="channels_first"), layout == "channels_last"
    shapes = {
        "forward": (first.x_shape, first.w_shape),
        "backward_data": (first.y_shape, first.w_shape),
        "backward_weights": (first.x_shape, first.y_shape),
    }[direction]
    given = [torch.randn(shape, device="cuda") for shape in shapes]
    if last:
        given = [a.contiguous(memory_format=torch.channels_last) for a in given]
    images = [a.permute(0, 2, 3, 1) if last else a for a in given]  # as convlab takes them
    weights = None if direction == "backward_weights" else given[1].contiguous()
    data = tuple(images) if weights is None else images[0]
    cudnn = cudnn_call(torch, first, given)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = True, False
    right, wrong = cudnn(), []
    if last and weights is not None:
        right = right.permute(0, 2, 3, 1)
    lines = [f"\n{descriptor} {layout} {direction} on {torch.cuda.get_device_name()}"]

    def report(name, call):
        seconds = seconds_of(torch, call)
        lines.append(f"  {name:<18} {1e3 * seconds:8.3f} ms {problem.flops / seconds / 1e12:6.1f} TFLOP/s")

    for name in algorithms():
        if registry.get_algorithm(name, "cuda").why_not(problem) is not None:
            continue
        try:
            plan = convlab.plan(problem, weights, algorithm=name, backend="cuda")
            out = right.new_empty(problem.result_shape)
            plan(data, out)
            error = ((out - right).abs().max() / right.abs().max()).item()
            if not error <= 1e-3:
                wrong.append(f"{name}: an error of {error:.2g} of the largest result")
            report(name, functools.partial(plan, data, out))
        except Exception as error:  # the others' times are wanted all the same
            wrong.append(f"{name} raised {type(error).__name__}: {error}")
    for tf32 in (False, True):
        torch.backends.cudnn.allow_tf32 = tf32
        report(f"cuDNN, TF32 {'on' if tf32 else 'off'}", cudnn)
    with capsys.disabled():
        print("\n".join([*lines, *wrong]))
    assert not wrong
