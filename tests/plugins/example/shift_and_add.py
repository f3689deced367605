import numpy as np

from convlab import Algorithm
from convlab.bounds import componentwise


class ShiftAndAdd(Algorithm):
    """For every tap of the kernel, the image shifted by it, its channels mixed by the tap's weights."""

    name, backend = "shift-and-add", "cpu"

    def why_not(self, problem):
        if problem.direction != "forward" or problem.layout != "channels_first":
            return "forward in channels_first only"
        if problem.groups != 1 or problem.padding_mode != "zeros" or problem.activation:
            return "one group, padding with zeros and no activation only"
        return "float16 would be summed in float16" if problem.dtype == "float16" else None

    def error_model(self, problem):
        return componentwise(problem)

    def run(self, problem, operands, weights, workspace, out, ctx):
        x, bias = operands
        x = np.pad(x, ((0, 0), (0, 0), *problem.padding))
        out[...] = 0 if bias is None else bias.reshape(-1, *[1] * problem.ndim)
        for tap in np.ndindex(problem.kernel):
            axes = zip(tap, problem.dilation, problem.stride, problem.out_size, strict=True)
            shifted = x[:, :, *(slice(r * d, r * d + (p - 1) * s + 1, s) for r, d, s, p in axes)]
            out += np.einsum("kc,nc...->nk...", weights[:, :, *tap], shifted)
