"""`python -m convlab`: the command line."""

from .cli import main

main(prog_name="convlab")
