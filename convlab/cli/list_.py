"""`convlab list`: what is installed."""

from importlib.metadata import entry_points

import click

from .. import registry
from ..errors import BackendError


@click.command()
@click.option("--load", is_flag=True, help="Import each of them, to find those that do not load.")
def command(load: bool) -> None:
    """Show the installed algorithms and peers, and where each comes from.

    Reads the metadata of installed distributions and imports none of them, unless --load is given.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title in ("name", "backend", "kind", "from"):
        table.add_column(title, overflow="fold")
    found = [(name, backend, "algorithm", registry.ALGORITHMS) for name, backend in registry.algorithms()]
    for backend in registry.BACKENDS:
        found += [(name, backend, "peer", registry.PEERS) for name in registry.peers(backend)]
    for name, backend, kind, group in found:
        table.add_row(*map(Text, (name, backend, kind, _origin(name, f"{group}.{backend}"))))
        if load:
            _load(name, backend)
    console = Console(width=80, highlight=False)
    console.print(table)
    failures = registry.plugin_failures()
    for (name, backend), error in failures.items():
        console.print(Text.assemble("\n", (f"{name} ({backend})", "bold red"), f" does not load: {error!r}"))
    if not load:
        console.print(Text("\nNothing was imported; --load tries to import each.", "dim"))
    elif not failures:
        console.print(Text("\nAll of them load.", "dim"))


def _origin(name: str, group: str) -> str:
    """The distribution and version that an entry point belongs to."""
    for entry in entry_points(group=group, name=name):
        if entry.dist is not None:
            return f"{entry.dist.name} {entry.dist.version}"
    return "register(), in this process"


def _load(name: str, backend: str) -> None:
    try:
        registry.get_algorithm(name, backend)
    except BackendError:  # kept by the registry, and shown below the table
        return
