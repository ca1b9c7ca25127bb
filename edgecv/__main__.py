"""`python -m edgecv` is `edgecv`."""

from edgecv.cli import main

main(prog_name="edgecv")
