"""`convlab explain DESCRIPTOR`: which algorithm, and why."""

from typing import Any

import click

from .. import select
from ..functional import resolve_backend
from ..plan import resolve_threads
from ..problem import ConvProblem
from .options import backend_option, problem_options, threads_option


@click.command()
@click.argument("descriptor")
@problem_options
@backend_option
@click.option("--algorithm", default="auto", show_default=True, metavar="NAME", help="Explain this one instead.")
@click.option("--accuracy", type=click.Choice(select.ACCURACIES), default="normwise", show_default=True)
@click.option("--workspace-limit", metavar="SIZE", help="Bytes, or a size such as 64MiB.")
@threads_option
def command(
    descriptor: str,
    backend: str,
    algorithm: str,
    accuracy: str,
    workspace_limit: str | None,
    threads: int | None,
    **options: Any,
) -> None:
    """Say which algorithm a problem gets, and why.

    DESCRIPTOR is benchdnn's, for example mb1ic64ih224oc64oh224kh3ph1, a layer of VGG.
    """
    from ..arrays.cuda import numba_cuda
    from ..explain import explanation

    if backend == "cuda":
        numba_cuda()  # or an error: what its algorithms cost is in their kernels' modules
    problem = ConvProblem.from_descriptor(descriptor, **options)
    limits: dict[str, Any] = {
        "accuracy": accuracy, "workspace_limit": workspace_limit, "threads": resolve_threads(threads)
    }  # fmt: skip
    candidates = select.rank(problem, resolve_backend(backend, None), **limits)
    if algorithm == "auto":
        chosen = select.pick(candidates, problem)
    else:
        chosen = select.named(algorithm, problem, backend, **limits)
        # A peer is no candidate of "auto", but may be named.
        candidates = list(({c.name: c for c in candidates} | {chosen.name: chosen}).values())
    click.echo(explanation(problem, candidates, chosen.name))
