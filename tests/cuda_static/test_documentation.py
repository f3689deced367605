"""docs/cuda.md says what is true: its Python runs, block after block."""

import re
import subprocess
import sys
from pathlib import Path

TEXT = (Path(__file__).parents[2] / "docs" / "cuda.md").read_text()


def test_python_runs(tmp_path):
    script = tmp_path / "example.py"
    script.write_text("".join(re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)))
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 barriers" in done.stdout
