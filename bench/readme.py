"""Run the benchmarks that README.md quotes again, and write their tables into it.

    python bench/readme.py

A block lies between <!-- convlab bench … -->, the command that makes it, and <!-- end -->. What the command
prints becomes its text; its full results go to bench/results/ as JSON. Each starts without compiled kernels,
as a newcomer does, so that the first call's seconds include the compiler's. Needs plugins/convlab-peers.
<!-- python bench/layers.py … --show --> gives the tables of results that are there already, which take an hour to make.
"""

import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(?P<head><!-- (?P<command>(?:convlab|python) .*?) -->\n).*?(?P<tail><!-- end -->)", re.DOTALL)


def renew(text: str, run: Callable[[str], str]) -> str:
    """The text with every block's contents replaced by what its command prints."""

    def block(match: re.Match[str]) -> str:
        return f"{match['head']}```text\n{run(match['command']).rstrip()}\n```\n{match['tail']}"

    return BLOCK.sub(block, text)


def measure(command: str) -> str:
    """What a convlab command prints. Its JSON goes to a file named after its words."""
    program, *words = shlex.split(command)
    if program == "python":
        return subprocess.run([sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    results = ROOT / "bench" / "results" / ("-".join(re.findall(r"\w+", " ".join(words))) + ".json")
    results.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as cache:
        return subprocess.run(
            [Path(sysconfig.get_path("scripts")) / program, *words, "--json", results],
            env=os.environ | {"NUMBA_CACHE_DIR": cache},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(renew(readme.read_text(), measure))
