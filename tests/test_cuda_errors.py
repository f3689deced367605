"""The cuda backend where it cannot run, one line each: no package, no driver, no device, too old a one, no memory."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

import convlab
from convlab import BackendError, arrays
from convlab.arrays import cuda as real
from convlab.cli import main

SMALL = "mb1ic4ih6oc4oh6kh1"
X, W = np.ones((1, 4, 6, 6), np.float32), np.ones((4, 4, 1, 1), np.float32)


class Stream:
    def __init__(self, handle):
        self.handle, self.waited = handle, []

    def synchronize(self):
        raise AssertionError("the host waits for a stream")


class StandIn:
    """What is used of numba.cuda, and what happened: a GPU of a capability, or an error instead of one."""

    def __init__(self, capability=(9, 0), error=None):
        self.capability, self.error, self.log = capability, error, []

    def get_current_device(self):
        if self.error:
            raise self.error
        return SimpleNamespace(compute_capability=self.capability, name=b"Stand-In 1", MULTIPROCESSOR_COUNT=7)

    def device_array(self, shape, dtype):
        raise RuntimeError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")

    def to_device(self, values, stream):
        return self.device_array(values.shape, values.dtype)

    def current_context(self):
        return SimpleNamespace(get_memory_info=lambda: (3 * 2**20, 16 * 2**30))

    def external_stream(self, handle):
        return Stream(handle)

    def event(self, timing):
        def note(what):
            return lambda stream: self.log.append((what, real._handle(stream)))

        return SimpleNamespace(record=note("record"), wait=note("wait"))

    def as_cuda_array(self, value, sync):
        assert not sync
        return value


class Foreign:
    """A device array of another library, made on a stream."""

    def __init__(self, stream=None, shape=(2, 3), dtype=np.float32):
        self.shape, self.dtype, self.strides = shape, np.dtype(dtype), np.empty(shape, dtype).strides
        self.__cuda_array_interface__ = {
            "shape": shape, "typestr": self.dtype.str, "data": (4096, False), "strides": None, "version": 3,
            "stream": stream,
        }  # fmt: skip


@pytest.fixture
def numba_cuda(monkeypatch):
    """Make an instance what the backend takes for numba.cuda."""

    def install(stand_in):
        monkeypatch.setattr(real, "numba_cuda", lambda: stand_in)
        return stand_in

    return install


def refusal():
    with pytest.raises(BackendError) as caught:
        convlab.conv2d(X, W, backend="cuda")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_package_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert refusal() == "backend='cuda' needs the package numba-cuda: pip install 'convlab[cuda]'"


def test_no_driver(numba_cuda):
    numba_cuda(StandIn(error=ImportError("Error at driver init: \n\nCUDA driver library cannot be found.\n:")))
    assert refusal().startswith("backend='cuda': no CUDA driver here; --emulate, ")


def test_no_device(numba_cuda):
    numba_cuda(StandIn(error=ImportError("Error at driver init: Call to cuInit results in CUDA_ERROR_NO_DEVICE")))
    assert refusal().startswith("backend='cuda': no CUDA device is visible here; --emulate, ")


def test_old_device(numba_cuda):
    numba_cuda(StandIn((6, 1)))
    assert refusal() == "backend='cuda': the Stand-In 1 has compute capability 6.1; the kernels need 7.5"


def test_multiprocessors(numba_cuda):
    assert real.Cuda(numba_cuda(StandIn()), (9, 0)).device.sms == 7


def test_out_of_memory(numba_cuda):
    numba_cuda(StandIn())
    assert refusal() == "out of device memory: 64 B were asked for, 3.00 MiB of 16.0 GiB are free"


def test_other_errors_are_not_hidden(numba_cuda):
    stand_in = numba_cuda(StandIn())
    stand_in.device_array = lambda shape, dtype: 1 / 0
    with pytest.raises(ZeroDivisionError):
        arrays.of("cuda").device.empty((3,), np.float32)


def test_device_arrays_are_nothing_for_the_cpu():
    with pytest.raises(BackendError, match="backend='cpu' takes no test_cuda_errors array on a CUDA device"):
        convlab.conv2d(Foreign(shape=X.shape), W, backend="cpu")


@pytest.mark.parametrize("words", [("bench", SMALL), ("check",)])
def test_command_line_says_so_in_one_line(numba_cuda, words):
    numba_cuda(StandIn(error=ImportError("no")))
    result = CliRunner().invoke(main, [*words, "--backend", "cuda"])
    assert result.exit_code == 2
    assert result.output.startswith("Error: backend='cuda': no CUDA driver here; --emulate")
    assert result.output.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--backend", "cuda", "--emulate"), "Error: --emulate needs CUDA's compiler, no GPU: pip install 'convlab["),
        (("--emulate",), "--emulate goes with --backend cuda"),
    ],
)
@pytest.mark.parametrize("command", ["bench", "check"])
def test_emulation_refused(monkeypatch, command, words, message):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "numba_cuda" else found(name, *a))
    result = CliRunner().invoke(main, [command, *words])
    assert result.exit_code == 2
    assert message in result.output


def test_explain_needs_the_package(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "numba_cuda" else found(name, *a))
    result = CliRunner().invoke(main, ["explain", SMALL, "--backend", "cuda"])
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert "pip install 'convlab[cuda]'" in result.output


# -- streams: nothing waits on the host


@pytest.mark.parametrize(
    ("asked", "first", "handle"),
    [
        (None, X, 1),
        (None, Foreign(), 1),
        (None, Foreign(stream=7), 7),
        (SimpleNamespace(ptr=5), Foreign(stream=7), 5),
        (SimpleNamespace(cuda_stream=6), X, 6),
        (SimpleNamespace(cuda_stream=0), Foreign(), 1),
        (9, X, 9),
    ],
    ids=["default", "untold", "the array's", "CuPy's", "PyTorch's", "PyTorch's default", "handle"],
)
def test_stream_of_a_call(numba_cuda, asked, first, handle):
    numba_cuda(StandIn())
    assert real._handle(arrays.of("cuda").stream(asked, first)) == handle


def test_operand_made_on_another_stream_is_waited_for_on_the_device(numba_cuda):
    stand_in = numba_cuda(StandIn())
    there, stream = arrays.of("cuda"), Stream(5)
    array = Foreign(stream=7)
    assert there.operand("x", array, (2, 3), np.dtype(np.float32), stream) is array
    assert stand_in.log == [("record", 7), ("wait", 5)]
    there.operand("x", Foreign(stream=5), (2, 3), np.dtype(np.float32), stream)
    assert len(stand_in.log) == 2


# -- results are of the library of the input


def test_results_of_other_libraries(numba_cuda, monkeypatch):
    numba_cuda(StandIn())
    there = arrays.of("cuda")
    cupy = type("ndarray", (Foreign,), {"__module__": "cupy", "__init__": lambda self, shape, dtype: Foreign.__init__(
        self, None, shape, dtype)})  # fmt: skip
    made = there.empty((3, 2), np.dtype(np.float32), cupy((1,), np.float32))
    assert type(made) is cupy
    assert made.shape == (3, 2)
    tensor = type("Tensor", (Foreign,), {"__module__": "torch", "new_empty": lambda self, shape, dtype: (shape, dtype)})
    monkeypatch.setitem(__import__("sys").modules, "torch", SimpleNamespace(float16="half"))
    assert there.empty((3, 2), np.dtype(np.float16), tensor()) == ((3, 2), "half")
    assert type(there.empty((3, 2), np.dtype(np.float32), X)) is np.ndarray
