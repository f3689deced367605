"""What the README says works: its Python runs, and its measured blocks are ones that bench/readme.py can renew."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = {
    f"line {README[: block.start()].count(chr(10)) + 1}": block[1]
    for block in re.finditer(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
}


@pytest.mark.parametrize("code", BLOCKS.values(), ids=BLOCKS)
def test_python_block_runs(code, tmp_path):
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_measured_blocks_can_be_renewed():
    renew = runpy.run_path(str(ROOT / "bench" / "readme.py"))["renew"]
    commands = []

    def table(command):
        commands.append(command)
        return f"numbers of run {len(commands)}\n"

    text = renew(README, table)
    assert commands
    assert all(command.startswith(("convlab bench", "python bench/")) for command in commands)
    assert [block in text for block in ("numbers of run 1", f"numbers of run {len(commands)}")] == [True, True]
    again = iter(range(1, 1 + len(commands)))
    assert renew(text, lambda command: f"numbers of run {next(again)}\n") == text
