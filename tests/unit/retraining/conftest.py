from __future__ import annotations

from hypothesis import settings

# The same examples everywhere and every time, whatever else the machine is doing.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None, max_examples=60)
settings.load_profile("repeatable")
