"""What processes use, as the kernel counts it (Linux)."""

from __future__ import annotations

import os
import time
from pathlib import Path

_CPU_CLOCK_SCHED = (
    2  # The kind of clock in the low three bits of a process's clock id, as clock_getcpuclockid(3) makes.
)
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
CPUS = os.cpu_count() or 1


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, all its threads, ended ones too.

    The sum that /proc/PID/stat gives as utime + stime, in nanoseconds instead of ticks of 10 ms.
    """
    return time.clock_gettime((~pid << 3) | _CPU_CLOCK_SCHED)


def forget_peak(pid: int) -> None:
    """Let the peak of resident memory begin again from what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_mb(pid: int) -> float:
    """The most that was resident since forget_peak, in MB of 10^6 bytes."""
    return _status_kb(pid, "VmHWM") * 1024 / 1e6


def resident_mb(pid: int) -> float:
    """Resident now, in MB of 10^6 bytes."""
    return _status_kb(pid, "VmRSS") * 1024 / 1e6


def machine_busy_s() -> float:
    """CPU seconds that everything on this machine has used since it started."""
    line = Path("/proc/stat").read_text().splitlines()[0]
    user, nice, system, _idle, _iowait, irq, softirq = (int(number) for number in line.split()[1:8])
    return (user + nice + system + irq + softirq) / _TICKS_A_SECOND


def _status_kb(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0])
    raise AssertionError(f"/proc/{pid}/status has no {field}")
