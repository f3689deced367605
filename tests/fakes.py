"""Algorithms for tests of what stands above algorithms: the oracle, with what a test asks for changed."""

from contextlib import contextmanager

import numpy as np

from convlab import Algorithm, ArraySpec, Cost, Stage, bounds, reference, register, unregister


class Stub(Algorithm):
    """The oracle as an algorithm.

    off: added to every result. refusal: why it runs nothing. error: raised in run. seconds: its estimate in
    seconds of a nominal core, None for no cost. stated: whether it has an error model.
    workspace_elements, prepared_elements: how many float32 it declares.
    """

    backend = "cpu"

    def __init__(
        self, name="stub", *, off=0, refusal=None, error=None, seconds=1e-3, stated=True,
        workspace_elements=0, prepared_elements=0,
    ):  # fmt: skip
        self.name, self.off, self.refusal, self.error = name, off, refusal, error
        self.seconds, self.stated = seconds, stated
        self.elements = workspace_elements, prepared_elements

    def why_not(self, problem):
        return self.refusal

    def cost(self, problem):
        return None if self.seconds is None else Cost((Stage("convolve", 100e9 * self.seconds, 1.0),))

    def error_model(self, problem):
        return bounds.componentwise(problem) if self.stated else None

    def workspace(self, problem, ctx):
        return {"scratch": ArraySpec((self.elements[0],), np.dtype(np.float32))} if self.elements[0] else {}

    def prepared(self, problem):
        return {"weights": ArraySpec((self.elements[1],), np.dtype(np.float32))} if self.elements[1] else {}

    def run(self, problem, operands, state, workspace, out, ctx):
        if self.error is not None:
            raise self.error
        first, second = operands
        arrays = operands if problem.direction == "backward_weights" else (first, state, second)
        out[...] = reference.solve(problem, *arrays) + self.off


@contextmanager
def registering():
    """A function that registers algorithms and gives their names, until the end of the `with` block."""
    added = []

    def add(*algorithms):
        for algorithm in algorithms:
            register(algorithm)
            added.append(algorithm.name)
        return [algorithm.name for algorithm in algorithms]

    try:
        yield add
    finally:
        for name in added:
            unregister(name)
