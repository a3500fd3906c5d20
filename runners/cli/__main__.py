"""`python -m runners.cli` is the command `edgeline`, where that is not installed."""

from runners.cli.main import main

raise SystemExit(main())
