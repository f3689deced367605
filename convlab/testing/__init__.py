"""For authors of algorithms: Hypothesis strategies for problems, and the conformance kit that judges an algorithm.

    from convlab.testing import check
    assert check("my-algorithm") == []

Needs the extra `convlab[testing]` (Hypothesis); nothing else in convlab does.
"""

from .conformance import Failure, Outcome, check
from .properties import PROPERTIES, Property
from .strategies import operands, plain_problems, problems

__all__ = ["PROPERTIES", "Failure", "Outcome", "Property", "check", "operands", "plain_problems", "problems"]
