"""Every CUDA algorithm on a problem, on an emulated device: what is true of it without a GPU.

Each algorithm's kernels run, as the PTX that a GPU would get, on the emulator, which raises at the first race, access
out of bounds or read of what nothing has written. The result is compared with the oracle; instructions and traffic are
counted; the machine code is read. Only time is modelled (convlab.machinecode.model).
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from .. import arrays, reference, registry, select
from ..algorithm import Context
from ..emulator import Counters, Device
from ..errors import BackendError
from ..functional import resolve_backend
from ..machinecode import GPUS, Gpu, MachineCode, Modelled, assembled, modelled
from ..plan import Plan
from ..problem import ConvProblem
from .accuracy import Accuracy, measure
from .data import operands as make_operands
from .rerun import bench_command

_WARP = 32


@dataclass(frozen=True)
class KernelFigures:
    """One kernel in a call of an algorithm, all its launches together.

    instructions: of warps. requested: bytes that threads ask of global memory; compulsory: bytes of it that are read
    or written, each counted once. wavefronts: of shared memory, conflicts: those beyond the fewest possible. sectors:
    of global memory over the fewest that the requested bytes would take. registers: of a thread. occupancy: warps that
    an SM holds over those it could. ffma, tensor: the share of multiply-adds and of tensor cores' products of the hot
    loop (None: it has none). seconds: modelled, bound_by what.
    """

    name: str
    launches: int
    blocks: int
    threads: int
    instructions: int
    requested: int
    compulsory: int
    wavefronts: int
    conflicts: int
    sectors: float
    registers: int
    spilled: int
    occupancy: float
    ffma: float | None
    tensor: float | None
    seconds: float
    bound_by: str


@dataclass(frozen=True)
class EmulatedRow:
    """One algorithm: "ok", "refused" or "failed" with the reason; the kernel with most instructions first."""

    algorithm: str
    status: Literal["ok", "refused", "failed"]
    reason: str | None = None
    accuracy: Accuracy | None = None
    kernels: tuple[KernelFigures, ...] = ()
    workspace_bytes: int | None = 0
    prepared_bytes: int = 0

    @property
    def seconds(self) -> float:
        return sum(kernel.seconds for kernel in self.kernels)


@dataclass(frozen=True)
class EmulatedReport:
    """Every row of one problem, the fastest by the model first, then failures, then refusals."""

    problem: ConvProblem
    gpu: Gpu
    rows: tuple[EmulatedRow, ...]
    rerun: str

    def of(self, status: str) -> tuple[EmulatedRow, ...]:
        return tuple(row for row in self.rows if row.status == status)


def emulate(
    problem: ConvProblem,
    gpu: str = "H100",
    names: Sequence[str] | None = None,
    weights: Any = None,
    data: Any = None,
    source: Sequence[str] | None = None,
) -> EmulatedReport:
    """Run algorithms of the cuda backend on an emulated device of a GPU's compute capability.

    gpu: one of convlab.machinecode.GPUS. names: of algorithms; None for all. weights, data: as `harness.data.operands`
    takes them. source: see `rerun.bench_command`. Raises UnsupportedError for an unknown name.
    """
    resolve_backend("cuda", None)
    chosen = [name for name, _ in registry.algorithms("cuda")] if names is None else list(dict.fromkeys(names))
    operands = make_operands(problem, weights, data)
    expected = reference.solve(problem, *operands)
    rows = [_row(name, problem, operands, expected, GPUS[gpu]) for name in chosen]
    order = {"ok": 0, "failed": 1, "refused": 2}
    rerun = bench_command(
        problem, source, backend="cuda", algorithms=names, peers=(), threads=None, min_time=None
    ) + f" --emulate --gpu {gpu}"  # fmt: skip
    return EmulatedReport(
        problem, GPUS[gpu], tuple(sorted(rows, key=lambda row: (order[row.status], row.seconds, row.algorithm))), rerun
    )


def _row(name: str, problem: ConvProblem, operands: tuple[Any, ...], expected: np.ndarray, gpu: Gpu) -> EmulatedRow:
    ctx = Context(capability=gpu.capability)
    try:
        candidate = select.consider(registry.get_algorithm(name, "cuda"), problem, ctx, accuracy="reduced")
        if candidate.reason is not None:
            return EmulatedRow(name, "failed" if candidate.error else "refused", candidate.reason)
        backward_weights = problem.direction == "backward_weights"
        with arrays.using(Device(gpu.capability, gpu.sms)) as device:
            plan = Plan(problem, candidate, *(() if backward_weights else operands[1:]))
            prepared = len(device.launches)
            result = plan(operands if backward_weights else operands[0])
        kernels = _kernels(device.launches[prepared:], gpu)
    except BackendError as error:
        return EmulatedRow(name, "refused", str(error))
    except Exception as error:  # an algorithm may fail in any way; it must not take the others with it
        return EmulatedRow(name, "failed", f"raised {type(error).__name__}: {error}")
    accuracy = measure(problem, operands, result, expected, candidate.error_model)
    row = EmulatedRow(name, "ok", None, accuracy, kernels, candidate.workspace_bytes, candidate.prepared_bytes)
    if accuracy.ok:
        return row
    reason = f"wrong result: an error reaches {accuracy.bound_fraction:.3g} times its {accuracy.kind} bound"
    return replace(row, status="failed", reason=reason)


def _kernels(launches: Sequence[Counters], gpu: Gpu) -> tuple[KernelFigures, ...]:
    """The figures of each kernel, most instructions first."""
    by_code: dict[tuple[str, int, int], list[Counters]] = {}
    for counters in launches:
        by_code.setdefault((counters.ptx, counters.threads, counters.dynamic_shared), []).append(counters)
    found = [_figures(assembled(key[0], gpu.capability, *key[1:]), own, gpu) for key, own in by_code.items()]
    return tuple(sorted(found, key=lambda kernel: -kernel.instructions))


def _figures(code: MachineCode, launches: Sequence[Counters], gpu: Gpu) -> KernelFigures:
    times = [_modelled(code, counters, gpu) for counters in launches]
    longest = max(times, key=lambda time: time.seconds)
    transactions, ideal = (sum(getattr(c.device, field) for c in launches) for field in ("transactions", "ideal"))
    hot, kinds = code.hot, code.hot.kinds if code.hot else Counter[str]()
    return KernelFigures(
        name=launches[0].function,
        launches=len(launches),
        blocks=sum(c.blocks for c in launches),
        threads=code.threads,
        instructions=sum(c.instructions for c in launches),
        requested=sum(c.device.bytes for c in launches),
        compulsory=sum(c.read + c.written for c in launches),
        wavefronts=sum(c.shared.transactions for c in launches),
        conflicts=sum(c.shared.transactions - c.shared.ideal for c in launches),
        sectors=transactions / ideal if ideal else 1.0,
        registers=code.usage.registers,
        spilled=code.usage.spill_stores,
        occupancy=code.occupancy.fraction,
        ffma=hot.ffma_share if hot and kinds["ffma"] else None,
        tensor=hot.tensor_share if hot and kinds["tensor"] else None,
        seconds=sum(time.seconds for time in times),
        bound_by=longest.bound_by,
    )


def _modelled(code: MachineCode, counters: Counters, gpu: Gpu) -> Modelled:
    """The model of one launch; by its bytes alone where its hot loop has no products."""
    moved = counters.read + counters.written
    if code.hot is None or not (code.hot.kinds["tensor"] or code.hot.kinds["ffma"]):
        return Modelled({"memory": moved / (gpu.bandwidth * 1e9)}, 0.0)
    on_tensor = bool(code.hot.kinds["tensor"])
    multiply_adds = sum(n * _multiply_adds(opcode, on_tensor) for opcode, n in counters.by_opcode().items())
    return modelled(gpu, code.hot, 2 * multiply_adds, counters.shared.transactions, moved, counters.blocks)


def _multiply_adds(opcode: str, on_tensor: bool) -> int:
    """What an instruction of a warp does of them, on tensor cores or not."""
    if not on_tensor:
        return _WARP if opcode.startswith("fma.") else 0
    shape = re.match(r"mma\.m(\d+)n(\d+)k(\d+)\.", opcode)
    return math.prod(map(int, shape.groups())) if shape else 0


def as_json(report: EmulatedReport) -> dict[str, Any]:
    """The report as what `json.dumps` takes; seconds are modelled."""
    return {
        "problem": {"descriptor": report.problem.descriptor, "dtype": str(report.problem.dtype)},
        "backend": "cuda",
        "emulated": asdict(report.gpu),
        "rows": [asdict(row) for row in report.rows],
        "rerun": report.rerun,
    }
