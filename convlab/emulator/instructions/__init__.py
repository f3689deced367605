"""What PTX instructions do, family by family."""

from . import arithmetic, atomic, bits, convert, copies, data, tensor, warp
from .decode import Decoder, Step

__all__ = ["Decoder", "Step", "arithmetic", "atomic", "bits", "convert", "copies", "data", "tensor", "warp"]
