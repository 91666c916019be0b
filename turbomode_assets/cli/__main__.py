"""`python -m turbomode_assets.cli` is the `turbomode` command."""

from turbomode_assets.cli import main

main()
