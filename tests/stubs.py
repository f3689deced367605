"""The oracle as an algorithm: what tests of the machinery run, where no kernel should matter."""

import numpy as np

import convlab
from convlab import bounds, reference


class Honest(convlab.Algorithm):
    """Right in every way, with a workspace that it does not need."""

    name, backend = "stub", "cpu"

    def why_not(self, problem):
        return None

    def error_model(self, problem):
        return bounds.componentwise(problem)

    def workspace(self, problem, ctx):
        return {"scratch": convlab.ArraySpec((7,), problem.dtype, per_thread=True)}

    def prepare(self, problem, weight, ctx):
        return np.array(weight, order="C")

    def run(self, problem, operands, state, workspace, out, ctx):
        first, second = operands
        first = np.ascontiguousarray(first)  # what BLAS adds up in which order depends on the strides
        if problem.direction == "backward_weights":
            out[...] = reference.solve(problem, first, np.ascontiguousarray(second))
        else:
            out[...] = reference.solve(problem, first, state, second)
