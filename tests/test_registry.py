"""The registry: lazy, open to plugins, and not to be harmed by a broken one."""

import json
import os
import subprocess
import sys

import pytest

import convlab
from convlab import Algorithm, BackendError, ConvlabError, UnsupportedError, registry


class Stub(Algorithm):
    name, backend = "stub", "cpu"

    def why_not(self, problem):
        return "it is a stub"

    def run(self, problem, operands, state, workspace, out, ctx):
        raise NotImplementedError


@pytest.fixture
def stub(registered):
    algorithm = Stub()
    registered(algorithm)
    return algorithm


def test_built_in_algorithms_are_listed():
    names = [name for name, _ in convlab.algorithms("cpu")]
    assert {"direct", "im2col", "im2col-explicit"} <= set(names)
    assert names == sorted(names)
    assert set(convlab.algorithms("cpu")) <= set(convlab.algorithms())


def test_register_and_unregister(stub):
    assert ("stub", "cpu") in convlab.algorithms()
    assert convlab.get_algorithm("stub", "cpu") is stub
    assert stub in registry.available("cpu")
    convlab.unregister("stub")
    assert ("stub", "cpu") not in convlab.algorithms()
    with pytest.raises(UnsupportedError, match=r"algorithm 'stub' \(cpu\) was not added by register"):
        convlab.unregister("stub")


def test_taken_name_needs_override(stub):
    with pytest.raises(ConvlabError, match=r"algorithm 'stub' \(cpu\) exists; pass override=True to replace it"):
        convlab.register(Stub())
    other = Stub()
    convlab.register(other, override=True)
    assert convlab.get_algorithm("stub") is other


def test_built_in_name_is_overridden_and_comes_back():
    class Mine(Stub):
        name = "direct"

    with pytest.raises(ConvlabError, match="exists"):
        convlab.register(Mine())
    convlab.register(Mine(), override=True)
    assert isinstance(convlab.get_algorithm("direct"), Mine)
    convlab.unregister("direct")
    assert not isinstance(convlab.get_algorithm("direct"), Mine)


def test_register_takes_instances_only():
    with pytest.raises(TypeError, match="takes an Algorithm instance"):
        convlab.register(Stub)


def test_unknown_name_gets_a_hint(stub):
    with pytest.raises(UnsupportedError, match="algorithm='stubb' is unknown on cpu. Did you mean 'stub'?"):
        convlab.get_algorithm("stubb")
    with pytest.raises(UnsupportedError, match="algorithm='xyzzy' is unknown on cpu. Valid are 'auto', "):
        convlab.get_algorithm("xyzzy")


def test_unknown_backend_is_named():
    for ask in (convlab.algorithms, convlab.peers, lambda backend: convlab.get_algorithm("direct", backend)):
        with pytest.raises(BackendError, match="backend='gpu' is unknown; valid are 'auto', 'cpu', 'cuda'"):
            ask("gpu")


def test_peers_are_told_from_algorithms(stub, only_peer):
    peer = type("Peer", (Stub,), {"name": "peer"})()
    assert not registry.is_peer("peer")
    only_peer(peer)
    assert registry.is_peer("peer")
    assert not registry.is_peer("stub")
    only_peer(Stub())  # an algorithm of the same name goes before
    assert convlab.get_algorithm("stub") is stub
    assert not registry.is_peer("stub")


# -- plugins, each in an interpreter of its own: entry points are read once a process

GOOD = """
import convlab
class Good(convlab.Algorithm):
    name, backend = "good", "cpu"
    def why_not(self, problem): return "only a test"
    def run(self, *arguments): pass
"""


@pytest.fixture
def plugin(tmp_path):
    """Make modules and entry points into a distribution; run code that sees it and prints JSON."""

    def install(name, modules, entry_points):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(entry_points)
        for module, source in modules.items():
            (tmp_path / f"{module}.py").write_text(source)

    def run(code):
        path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
        result = subprocess.run(
            [sys.executable, "-W", "always", "-c", "import json, sys, convlab\n" + code],
            env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout), result.stderr

    run.install = install
    return run


def test_listing_imports_no_algorithm(plugin):
    plugin.install("good", {"good_plugin": GOOD}, "[convlab.algorithms.cpu]\ngood = good_plugin:Good\n")
    seen, _ = plugin(
        "names = [n for n, _ in convlab.algorithms()] + convlab.peers()\n"
        "loaded = [m for m in sys.modules if m.startswith(('good_plugin', 'convlab.algorithms.', 'numba'))]\n"
        "print(json.dumps([names, loaded]))"
    )
    assert "good" in seen[0]
    assert seen[1] == []


def test_plugin_is_loaded_by_name(plugin):
    plugin.install("good", {"good_plugin": GOOD}, "[convlab.algorithms.cpu]\ngood = good_plugin:Good\n")
    seen, stderr = plugin("print(json.dumps(type(convlab.get_algorithm('good')).__module__))")
    assert seen == "good_plugin"
    assert "Warning" not in stderr


def test_peers_are_reached_by_name_and_never_candidates(plugin):
    plugin.install("good", {"good_plugin": GOOD}, "[convlab.peers.cpu]\ngood = good_plugin:Good\n")
    seen, _ = plugin(
        "print(json.dumps(['good' in convlab.peers(), ('good', 'cpu') in convlab.algorithms(),"
        " convlab.get_algorithm('good').name]))"
    )
    assert seen == [True, False, "good"]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("raise OSError('no library')", "no library"),
        ("Good = None", "NoneType"),
        ("class Good: pass", "not an Algorithm with name='good' and backend='cpu'"),
        (GOOD.replace('"good", "cpu"', '"other", "cpu"'), "not an Algorithm with name='good' and backend='cpu'"),
        (GOOD.replace("def run", "def go"), "abstract"),
    ],
    ids=["raises", "is nothing", "is no algorithm", "has another name", "is unfinished"],
)
def test_broken_plugin_is_named_once_and_harms_nothing(plugin, source, error):
    plugin.install("broken", {"bad_plugin": source}, "[convlab.algorithms.cpu]\ngood = bad_plugin:Good\n")
    plugin.install("fine", {"fine_plugin": GOOD.replace('"good"', '"fine"')},
                   "[convlab.algorithms.cpu]\nfine = fine_plugin:Good\n")  # fmt: skip
    seen, stderr = plugin(
        "from convlab import registry\n"
        "for _ in range(3): names = [a.name for a in registry.available('cpu')]\n"
        "try: convlab.get_algorithm('good')\n"
        "except convlab.BackendError as e: message = str(e)\n"
        "print(json.dumps([names, message, [list(k) for k in convlab.plugin_failures()]]))"
    )
    assert "fine" in seen[0]
    assert "direct" in seen[0]
    assert "good" not in seen[0]
    assert "algorithm 'good' (cpu) failed to load" in seen[1]
    assert error in seen[1]
    assert seen[2] == [["good", "cpu"]]
    assert stderr.count("convlab plugin 'good' (cpu, bad_plugin:Good) failed to load") == 1


def test_two_plugins_of_one_name_are_told(plugin):
    plugin.install("one", {"one_plugin": GOOD}, "[convlab.algorithms.cpu]\ngood = one_plugin:Good\n")
    plugin.install("two", {"two_plugin": GOOD}, "[convlab.algorithms.cpu]\ngood = two_plugin:Good\n")
    seen, stderr = plugin("print(json.dumps(convlab.get_algorithm('good').name))")
    assert seen == "good"
    assert stderr.count("two plugins call their cpu algorithm 'good'") == 1
