"""Measurements. Each writes `results/<name>.json`; `document.py` makes `docs/benchmarks.md` from those files alone."""
