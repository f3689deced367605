"""What the numbers were measured on: the processor and the versions that matter."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("convlab", "numba", "numpy")


@dataclass(frozen=True)
class Machine:
    """A processor's name, the processors that this system has, and the versions of `PACKAGES` and Python."""

    cpu: str
    cpus: int
    system: str
    versions: dict[str, str]

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return f"{self.cpu} ({self.cpus} CPUs, {self.system}); {versions}"


def this_machine() -> Machine:
    """The machine that runs this."""
    versions = {name: _version(name) for name in PACKAGES} | {"Python": platform.python_version()}
    return Machine(_cpu(), os.cpu_count() or 1, f"{platform.system()} {platform.machine()}", versions)


def _cpu() -> str:
    """The processor as Linux names it; elsewhere what Python knows."""
    if platform.system() == "Linux":
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "(not installed)"
