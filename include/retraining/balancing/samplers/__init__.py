"""How synthetic rows are chosen: a module a method, each of which names parents and never makes vectors to keep."""

from __future__ import annotations

from include.retraining.balancing.samplers.sampling import plan_rows, sample

__all__ = ["plan_rows", "sample"]
