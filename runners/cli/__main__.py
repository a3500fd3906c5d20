"""The command `edgeline` as `python -m runners.cli`, for where it is not installed."""

from runners.cli.main import main

raise SystemExit(main())
