"""What PTX instructions do, family by family."""

from . import arithmetic, atomic, bits, convert, copies, data, tensor, warp
from .decode import Decoder, Families, Step

_FAMILIES: Families = {
    **arithmetic.FAMILIES,
    **atomic.FAMILIES,
    **bits.FAMILIES,
    **convert.FAMILIES,
    **copies.FAMILIES,
    **data.FAMILIES,
    **tensor.FAMILIES,
    **warp.FAMILIES,
}


def step(decoder: Decoder) -> Step:
    """What an instruction does to the active lanes; an EmulationError if nobody here knows."""
    decode = _FAMILIES.get(decoder.head)
    if decode is None:
        raise decoder.refusal()
    return decode(decoder)
