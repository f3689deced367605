"""A modelled time: what a kernel must take on a named GPU. A bound and no measurement.

The largest of three: the multiply-adds at the rate that the pipes allow its hot loop; its wavefronts of shared memory,
one a clock and SM; the bytes that it cannot avoid over the memory's bandwidth. The first two grow where blocks do not
spread evenly over the SMs. Assumed are: all of the time is the hot loop's, latencies are hidden, the clock is the
boost clock, the three overlap perfectly, what is read again comes from the caches.
"""

from dataclasses import dataclass

from .hardware import Gpu
from .loops import Loop


@dataclass(frozen=True)
class Modelled:
    """Seconds of each of the bounds, by name, and what the largest of them leaves of the GPU's peak: float32's, or the
    tensor cores' where the products are theirs."""

    bounds: dict[str, float]
    peak_fraction: float

    @property
    def seconds(self) -> float:
        return max(self.bounds.values())

    @property
    def bound_by(self) -> str:
        return max(self.bounds, key=lambda name: self.bounds[name])


def balance(blocks: int, sms: int) -> float:
    """The mean number of blocks of an SM over that of the SM with most: 1 where they spread evenly."""
    return blocks / sms / -(-blocks // sms)


def modelled(gpu: Gpu, hot: Loop, flops: float, wavefronts: float, bytes_: float, blocks: int) -> Modelled:
    """Of a kernel with this hot loop that does `flops` operations with `wavefronts` of shared memory in all, and has to
    move `bytes_` between the device's memory and its cores."""
    if hot.capability != gpu.capability:
        raise ValueError(f"machine code for {hot.capability} says nothing of the {gpu.name}, which is {gpu.capability}")
    even, peak = balance(blocks, gpu.sms), gpu.peak_of(hot.unit)
    bounds = {
        f"pipe ({hot.bound[0]})": flops / (peak * hot.peak_fraction) / even,
        "shared memory": wavefronts / (gpu.sms * gpu.clock * 1e9) / even,
        "memory": bytes_ / (gpu.bandwidth * 1e9),
    }
    return Modelled(bounds, flops / peak / max(bounds.values()))
