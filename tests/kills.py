"""Ends processes as a crash does."""

from __future__ import annotations

import signal

import psutil


def kill_9(pid: int) -> None:
    """Sends SIGKILL and waits until the process is gone: for some milliseconds it still looks alive."""
    process = psutil.Process(pid)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)
