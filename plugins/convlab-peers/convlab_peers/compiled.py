"""Libraries that compile a model before they run it, with the weights and the bias as its constants."""

from collections.abc import Callable
from typing import Any

import numpy as np


class Compiled:
    """A model, compiled once for its bias.

    `prepare` is not given the bias, and these libraries run a bias that is no constant as an addition of its own.
    A Plan's never changes, so the model is compiled in `prepare` where there is none, else in the first `run`.
    """

    def __init__(self, build: Callable[[np.ndarray, np.ndarray | None], Any], weight: Any, has_bias: bool) -> None:
        self._build = build
        self._weight = np.array(weight, order="C")
        self._bias: np.ndarray | None = None
        self._model = None if has_bias else build(self._weight, None)

    def model(self, bias: np.ndarray | None) -> Any:
        """What `build(weight, bias)` made; made again only where the bias is another."""
        if bias is not None and (self._bias is None or not np.array_equal(self._bias, bias, equal_nan=True)):
            self._bias = np.array(bias)
            self._model = self._build(self._weight, self._bias)
        return self._model
