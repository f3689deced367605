"""The README's plugin, installed from outside: it is listed, and it passes the conformance kit."""

import os
import shutil
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
EXAMPLE = TESTS / "plugins" / "example"


@pytest.fixture(scope="module")
def convlab(tmp_path_factory):
    """The convlab command where the example is installed: what pip would write, without pip and a network."""
    site = tmp_path_factory.mktemp("site")
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    shutil.copy(EXAMPLE / "shift_and_add.py", site)
    info = site / f"shift_and_add-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    command = Path(sysconfig.get_path("scripts")) / "convlab"

    def run(*words):
        env = os.environ | {"PYTHONPATH": str(site)}
        return subprocess.run([command, *words], capture_output=True, text=True, env=env, check=False)

    return run


def test_readme_shows_this_plugin():
    readme = (TESTS.parent / "README.md").read_text()
    assert f"```python\n{(EXAMPLE / 'shift_and_add.py').read_text()}```\n" in readme
    entry_points = (EXAMPLE / "pyproject.toml").read_text().split("\n\n")[2]
    assert f"```toml\n{entry_points}\n```\n" in readme


def test_it_is_listed(convlab):
    done = convlab("list")
    assert done.returncode == 0, done.stderr
    assert "shift-and-add 1.0" in " ".join(done.stdout.split())


def test_it_passes_the_conformance_kit(convlab):
    done = convlab("check", "shift-and-add", "--max-examples", "10")
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_benchmarked(convlab):
    done = convlab("bench", "mb1ic2ih6oc2oh6kh3ph1", "--algorithm", "shift-and-add", "--min-time", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "shift-and-add" in done.stdout
