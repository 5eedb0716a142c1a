"""`python -m include.retraining`: see `command_line`."""

from __future__ import annotations

import sys

from include.retraining.command_line.main import main

sys.exit(main())
