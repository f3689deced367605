"""On a real GPU: `pytest -m gpu`. Results, streams, copies, and times against cuDNN through PyTorch.

The same kernels are proven on the emulator (tests/cuda_static); here is what only a device can tell.
"""

import time

import numpy as np
import pytest

import convlab
from convlab import BackendError, arrays, registry


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
LAYERS = ("mb32ic64ih224oc64oh224kh3ph1", "mb32ic256ih56oc256oh56kh3ph1", "mb32ic512ih14oc512oh14kh3ph1")


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


@pytest.mark.parametrize("descriptor", LAYERS)
def test_times_against_cudnn(descriptor, capsys):
    """Prints TFLOP/s of every algorithm and of cuDNN, with TF32 off and on; fails for nothing but a wrong result."""
    torch = pytest.importorskip("torch")
    problem = convlab.ConvProblem.from_descriptor(descriptor)
    x, w = torch.randn(problem.x_shape, device="cuda"), torch.randn(problem.w_shape, device="cuda") / 16
    padding = tuple(lo for lo, _ in problem.padding)
    torch.backends.cudnn.benchmark = True
    calls, right = {}, None
    for name in algorithms():
        if registry.get_algorithm(name, "cuda").why_not(problem) is None:
            plan, out = convlab.plan(problem, w, algorithm=name, backend="cuda"), x.new_empty(problem.y_shape)
            calls[name] = lambda plan=plan, out=out: plan(x, out)
    for tf32 in (False, True):

        def cudnn(tf32=tf32):
            torch.backends.cudnn.allow_tf32 = tf32
            return torch.nn.functional.conv2d(x, w, padding=padding)

        calls[f"cuDNN, TF32 {'on' if tf32 else 'off'}"] = cudnn
    lines = [f"\n{descriptor} on {torch.cuda.get_device_name()}"]
    right = calls["cuDNN, TF32 off"]()
    for name, call in calls.items():
        result = call()
        if "TF32 on" not in name:
            torch.testing.assert_close(result, right, rtol=1e-3, atol=1e-3)
        torch.cuda.synchronize()
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(10):
            call()
        end.record()
        torch.cuda.synchronize()
        seconds = begin.elapsed_time(end) / 1e4
        lines.append(f"  {name:<16} {1e3 * seconds:8.3f} ms {problem.flops / seconds / 1e12:6.1f} TFLOP/s")
    with capsys.disabled():
        print("\n".join(lines))
