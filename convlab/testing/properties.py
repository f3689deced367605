"""What must hold of every algorithm, one small function each.

A property takes an algorithm, a problem that the algorithm accepts and a seed for the data, and raises
AssertionError where it does not hold. `PROPERTIES` lists them with the problems that they are about.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import reference
from ..algorithm import Algorithm, Context
from ..arrays import of as arrays_of
from ..problem import ConvProblem
from .buffers import Guarded, byte_swapped, fill_with_garbage, odd_view, with_odd_strides, with_zero_strides
from .judge import (
    assert_repeated,
    assert_same_bits,
    assert_within,
    compute,
    inputs,
    make_plan,
    model,
    names,
    tolerance,
)
from .strategies import operands

# Multiples of 1/16 of the size of normal data: every floating dtype adds them, and three times them, exactly.
_GRID = 16


@dataclass(frozen=True)
class Property:
    """A property, the problems it is about, and how a drawn problem is made into one of them."""

    holds: Callable[[Algorithm, ConvProblem, int], None]
    suits: Callable[[Algorithm, ConvProblem], bool] = lambda algorithm, problem: True
    adapt: Callable[[ConvProblem], ConvProblem] = lambda problem: problem

    @property
    def name(self) -> str:
        return self.holds.__name__

    @property
    def summary(self) -> str:
        """What it says, in one line."""
        return (self.holds.__doc__ or "").split("\n")[0]


# -- the numbers are right


def equivalence(algorithm: Algorithm, problem: ConvProblem, seed: int) -> None:
    """The result is within the algorithm's own bound of the oracle; integers wrap exactly."""
    arrays = operands(problem, seed)
    result = compute(algorithm, problem, arrays)
    assert_within(result, reference.solve(problem, *arrays), tolerance(algorithm, problem, arrays))


def exact_integers(algorithm: Algorithm, problem: ConvProblem, seed: int) -> None:
    """Floating-point data that are small integers give the exact result, to the last bit."""
    arrays = operands(problem, seed, small_integers=True)
    result = compute(algorithm, problem, arrays)
    assert_same_bits(result, reference.solve(problem, *arrays).astype(problem.dtype), "exact is")


def linearity(algorithm: Algorithm, problem: ConvProblem, seed: int) -> None:
    """f(3·a + b) = 3·f(a) + f(b), within the sum of the bounds."""
    first, *others = operands(problem, seed)
    second = operands(problem, seed + 1)[0]
    if problem.dtype.kind in "fc":
        first, second = np.round(first * _GRID) / _GRID, np.round(second * _GRID) / _GRID
    terms = [(array.astype(problem.dtype), *others) for array in (3 * first + second, first, second)]
    both, a, b = (compute(algorithm, problem, arrays) for arrays in terms)
    if problem.dtype.kind in "iu":
        return assert_same_bits(both, 3 * a + b, "3·f(a) + f(b) is")
    wide = reference.wide_dtype(problem.dtype)
    a, b = a.astype(wide), b.astype(wide)
    limit = sum(m * tolerance(algorithm, problem, arrays) for m, arrays in zip((1, 3, 1), terms, strict=True))
    limit = limit + 4 * np.finfo(wide).eps * (3 * np.abs(a) + np.abs(b))  # adding up here rounds too
    assert_within(both, 3 * a + b, limit, "3·f(a) + f(b) is")


def delta_kernel(algorithm: Algorithm, problem: ConvProblem, seed: int) -> None:
    """A kernel that is 1 at one tap, identity over the channels, shifts the input."""
    first, weight, _ = operands(problem, seed)
    taps = list(reference.taps(problem))
    tap, window = taps[seed % len(taps)]
    weight[...] = 0
    channels = np.arange(weight.shape[0])
    weight[(channels, channels % max(weight.shape[1], 1), *tap)] = 1
    source = np.moveaxis(first, -1, 1) if problem.layout == "channels_last" else first
    if problem.direction == "forward":
        expected = reference.pad(problem, source)[(..., *window)]
    else:
        padded = reference.pad(problem, np.zeros((*source.shape[:2], *problem.in_size), source.dtype))
        padded[(..., *window)] = source
        sizes = zip(problem.in_size, problem.padding, strict=True)
        inside: tuple[Any, ...] = (..., *(slice(lo, lo + n) for n, (lo, _) in sizes))
        expected = padded[inside]
    if problem.layout == "channels_last":
        expected = np.moveaxis(expected, 1, -1)
    arrays = (first, weight, None)
    result = compute(algorithm, problem, arrays)
    if model(algorithm, problem).kind == "componentwise":
        assert_same_bits(result, expected, "the shifted input is")
    else:
        wide = reference.wide_dtype(problem.dtype)
        assert_within(result, expected.astype(wide), tolerance(algorithm, problem, arrays), "the shifted input is")


def nonfinite(algorithm: Algorithm, problem: ConvProblem, seed: int) -> None:
    """A NaN, an infinity or a huge value in the input harms exactly the results that it touches."""
    arrays = operands(problem, seed)
    flat, rng = arrays[0].reshape(-1), np.random.default_rng(seed)
    if flat.size:
        huge = float(np.sqrt(np.finfo(problem.dtype).max))
        flat[rng.integers(flat.size)] = rng.choice([np.nan, np.inf, -np.inf, huge])
    with np.errstate(all="ignore"):
        result = compute(algorithm, problem, arrays)
        expected = reference.solve(problem, *arrays)
        bound = np.broadcast_to(tolerance(algorithm, problem, arrays), expected.shape)
    clean = np.isfinite(expected)
    if problem.dtype.kind == "c":  # which parts of a complex product with infinity are NaN depends on the formula
        assert_same_bits(np.isfinite(result), clean, "finiteness by the oracle is")
    else:
        assert_same_bits(result[~clean], expected[~clean].astype(result.dtype), "the oracle says")
    assert_within(result[clean], expected[clean], bound[clean])


# -- images do not meddle with each other, and the batch axis may be left out


def batch_independence(algorithm: Algorithm, problem: ConvProblem, seed: int) -> None:
    """An image's result is within the bound that it has beside images of zeros, whatever the others are, and alone."""
    arrays = operands(problem, seed)
    batch = compute(algorithm, problem, arrays)
    others = operands(problem, seed + 1)[0]
    image = seed % problem.batch
    others[image] = arrays[0][image]
    changed = compute(algorithm, problem, (others, *arrays[1:]))[image]
    if model(algorithm, problem).kind == "componentwise":
        assert_same_bits(changed, batch[image], "among other images it was")
    # Not the bound of the image alone: that may be cut into other tiles, or summed in other blocks.
    beside_zeros = np.zeros_like(arrays[0])
    beside_zeros[image] = arrays[0][image]
    arrays = (beside_zeros, *arrays[1:])
    expected = reference.solve(problem, *arrays)
    bound = np.broadcast_to(tolerance(algorithm, problem, arrays), expected.shape)
    for result in (batch[image], changed):
        assert_within(result, expected[image], bound[image])
    single, alone = problem.replace(batch=1), (beside_zeros[image : image + 1], *arrays[1:])
    if algorithm.why_not(single) is None:
        result = compute(algorithm, single, alone)
        assert_within(result, reference.solve(single, *alone), tolerance(algorithm, single, alone))


def unbatched(algorithm: Algorithm, problem: ConvProblem, seed: int) -> None:
    """Input without a batch axis gives the result of a batch of one, without the axis."""
    arrays = operands(problem, seed)
    expected = compute(algorithm, problem, arrays)
    plan = make_plan(algorithm, problem, arrays, unbatched=True)
    if problem.direction == "backward_weights":
        result = plan((arrays[0][0], arrays[1][0]))
    else:
        result = plan(arrays[0][0])
        assert result.shape == expected.shape[1:], f"the result has shape {result.shape}, not {expected.shape[1:]}"
        result = result[None]
    assert_repeated(algorithm, problem, arrays, result, expected, "batched it is")


# -- memory is treated with respect


def out(algorithm: Algorithm, problem: ConvProblem, seed: int) -> None:
    """A given out, of any strides and contents, gets the same result, and nothing around it changes."""
    arrays = operands(problem, seed)
    fresh = compute(algorithm, problem, arrays)
    base, view = odd_view(fresh.shape, fresh.dtype)
    returned = compute(algorithm, problem, arrays, out=view)
    assert returned is view, "the call did not return the out that it was given"
    assert_repeated(algorithm, problem, arrays, view, fresh, "freshly allocated it is")
    expected, expected_view = odd_view(fresh.shape, fresh.dtype)
    expected_view[...] = view
    assert base.tobytes() == expected.tobytes(), "memory around out was written to"


def inputs_unchanged(algorithm: Algorithm, problem: ConvProblem, seed: int) -> None:
    """The arrays that go in come out as they were."""
    arrays = operands(problem, seed)
    compute(algorithm, problem, arrays)
    for name, before, after in zip(names(problem), operands(problem, seed), arrays, strict=True):
        assert before is None or before.tobytes() == after.tobytes(), f"{name} was modified"


def strides(algorithm: Algorithm, problem: ConvProblem, seed: int) -> None:
    """Inputs with odd strides or in the other byte order give the same bits."""
    arrays = operands(problem, seed)
    expected = compute(algorithm, problem, arrays)
    for change in (with_odd_strides, with_zero_strides, byte_swapped):
        changed = tuple(None if a is None else change(a) for a in arrays)
        result = compute(algorithm, problem, changed)
        assert_repeated(algorithm, problem, arrays, result, expected, f"before {change.__name__} it was")


def guard_bands(algorithm: Algorithm, problem: ConvProblem, seed: int) -> None:
    """prepare and run write to out and to the workspace only, and rely on the contents of neither."""
    arrays = operands(problem, seed)
    expected = compute(algorithm, problem, arrays, threads=2)
    if not expected.size:  # Plan, too, never runs an algorithm for an empty result
        return
    device = arrays_of(algorithm.backend).device
    ctx = Context(threads=2, device=device)
    guards = {"out": Guarded(expected.shape, expected.dtype, 1, device)}
    for name, array in zip(names(problem), arrays, strict=True):
        if array is not None:
            guards[name] = Guarded(array.shape, array.dtype, 1, device)
            guards[name].put(array)
    given = [guards[name].array if name in guards else None for name in names(problem)]
    state = None
    if problem.direction != "backward_weights":
        state = algorithm.prepare(problem, given.pop(1), ctx)
        garbage = np.empty_like(arrays[1])
        fill_with_garbage(garbage)
        guards["w"].put(garbage)  # prepare must not have kept it
    workspace = {}
    for name, spec in algorithm.workspace(problem, ctx).items():
        shape = (ctx.threads, *spec.shape) if spec.per_thread and device is None else spec.shape
        guards[f"workspace {name!r}"] = Guarded(shape, np.dtype(spec.dtype), device=device)
        workspace[name] = guards[f"workspace {name!r}"].array
    algorithm.run(problem, tuple(given), state, workspace, guards["out"].array, ctx)
    for name, guard in guards.items():
        assert guard.intact, f"memory beside {name} was written to"
    assert_repeated(algorithm, problem, arrays, guards["out"].values, expected, "through a Plan it is")


def threads(algorithm: Algorithm, problem: ConvProblem, seed: int) -> None:
    """Every run gives the same bits (a peer's: a right result), on 1, 2 and 3 threads."""
    arrays = operands(problem, seed)
    expected = compute(algorithm, problem, arrays)
    for count in (1, 2, 3):
        plan = make_plan(algorithm, problem, arrays, count)
        for run in ("first", "second"):
            result, what = plan(inputs(problem, arrays)), f"in the {run} run on {count} threads; on one it is"
            assert_repeated(algorithm, problem, arrays, result, expected, what)


# -- which problems each property is about


def _is_float(algorithm: Algorithm, problem: ConvProblem) -> bool:
    return problem.dtype.kind in "fc"


def _claims_exact_integers(algorithm: Algorithm, problem: ConvProblem) -> bool:
    claim = algorithm.error_model(problem)
    return problem.dtype.kind in "fc" and claim is not None and claim.exact_integers


def _claims_componentwise(algorithm: Algorithm, problem: ConvProblem) -> bool:
    return _is_float(algorithm, problem) and model(algorithm, problem).kind == "componentwise"


def _has_input(algorithm: Algorithm, problem: ConvProblem) -> bool:
    return problem.direction != "backward_weights"


def _with_piecewise_activation(problem: ConvProblem) -> ConvProblem:
    return problem if problem.activation in (None, "relu", "relu6") else problem.replace(activation=None)


def _without_epilogue(problem: ConvProblem) -> ConvProblem:
    return problem.without_epilogue()


def _square(problem: ConvProblem) -> ConvProblem:
    return _without_epilogue(problem).replace(in_channels=problem.out_channels)


def _of_several(problem: ConvProblem) -> ConvProblem:
    return problem.replace(batch=max(problem.batch, 2))


def _of_one(problem: ConvProblem) -> ConvProblem:
    return problem.replace(batch=1)


PROPERTIES: dict[str, Property] = {
    p.name: p
    for p in (
        Property(equivalence),
        Property(exact_integers, _claims_exact_integers, _with_piecewise_activation),
        Property(linearity, adapt=_without_epilogue),
        Property(delta_kernel, _has_input, _square),
        Property(nonfinite, _claims_componentwise, _with_piecewise_activation),
        Property(batch_independence, _has_input, _of_several),
        Property(unbatched, adapt=_of_one),
        Property(out),
        Property(inputs_unchanged),
        Property(strides),
        Property(guard_bands),
        Property(threads),
    )
}
