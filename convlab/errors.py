"""The errors convlab raises. Each names the argument, the value and what would be valid."""


class ConvlabError(Exception):
    """Base of every error that convlab raises on purpose."""


class ProblemError(ConvlabError, ValueError):
    """The arguments do not describe a convolution (shapes, strides, padding, names of options)."""


class UnsupportedError(ConvlabError, ValueError):
    """The problem is valid, but the algorithm that was named, or none within the limits, can run it."""


class DTypeError(ConvlabError, TypeError):
    """No convolution is defined for this dtype."""


class BackendError(ConvlabError, RuntimeError):
    """The backend cannot run here: no device, no driver, a package that is missing."""
