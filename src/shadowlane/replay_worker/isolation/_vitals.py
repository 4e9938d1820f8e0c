"""What a process takes, as the kernel counts it: what it says itself would be no evidence."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass
from pathlib import Path

_KIBIBYTE = 1024
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Vitals:
    """A process at one moment."""

    #: The most memory that it ever had, files that it maps included.
    peak_mb: float
    #: Memory that only it has: what would be free again without it.
    own_bytes: int
    #: What it may write to, touched or not: the kernel's limit RLIMIT_DATA is about this.
    data_bytes: int
    threads: int


def vitals(pid: int | str = "self") -> Vitals | None:
    """Of a process that lives; None where the kernel does not say."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
        said = dict(line.split(":", 1) for line in lines)
        # Not getrusage's peak: that one begins with the peak of whoever started the process.
        return Vitals(
            peak_mb=_size(said["VmHWM"]) / _MEBIBYTE,
            own_bytes=_size(said["RssAnon"]) + _size(said["RssShmem"]),
            data_bytes=_size(said["VmData"]),
            threads=int(said["Threads"]),
        )
    except (OSError, KeyError, ValueError):
        return None


def own_peak_mb() -> float:
    """The most memory that this process ever had."""
    seen = vitals()
    if seen is not None:
        return seen.peak_mb
    unit = 1 if sys.platform == "darwin" else _KIBIBYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MEBIBYTE


def _size(text: str) -> int:
    return int(text.split(maxsplit=1)[0]) * _KIBIBYTE
