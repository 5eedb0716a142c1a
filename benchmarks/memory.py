"""The memory of this process, as Linux keeps it in /proc: unlike `ru_maxrss` it is not inherited from the parent."""

from __future__ import annotations

from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_mb() -> float:
    """Returns the largest resident memory since the start, or since `reset_peak`, in units of 2**20 bytes."""
    return _status("VmHWM")


def reset_peak() -> float:
    """Forgets the peak; returns the resident memory now, in units of 2**20 bytes."""
    _CLEAR.write_text("5", encoding="ascii")
    return _status("VmRSS")


def _status(name: str) -> float:
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024  # told in KiB
