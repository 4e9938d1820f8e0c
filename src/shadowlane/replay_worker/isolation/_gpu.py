"""The clock of a GPU: it answers after the call has returned, so the clock stops when it is idle again.

No GPU was at hand when this was written: the seam (`Gpu`) is tested with stand-ins for `torch.cuda` and
`cupy` that note the order of calls, and none of it was run on a real one.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol


class Gpu(Protocol):
    """What the runner needs of a GPU."""

    def begin(self) -> None:
        """A call begins."""
        ...

    def end(self) -> float:
        """Wait until all is done that the call began; how many milliseconds the GPU took."""
        ...

    def peak_bytes(self) -> int:
        """The most of its memory that this process ever had."""
        ...


class TorchGpu:
    """Torch's current device, and each other that the process has memory on."""

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda
        self._first, self._last = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)

    def begin(self) -> None:
        """Note the moment in the device's own queue."""
        self._first.record()

    def end(self) -> float:
        """Between two marks in the current stream; what other streams do is waited for, too."""
        self._last.record()
        for device in self._devices():
            self._cuda.synchronize(device)
        return float(self._first.elapsed_time(self._last))

    def peak_bytes(self) -> int:
        """Over all devices, as torch's allocator counts."""
        return sum(int(self._cuda.max_memory_allocated(device)) for device in self._devices())

    def _devices(self) -> list[int]:
        """To look at a device that is not in use would cost some hundred megabytes on it."""
        current = int(self._cuda.current_device())
        others = (device for device in range(self._cuda.device_count()) if device != current)
        return [current, *(device for device in others if self._cuda.memory_reserved(device))]


class CupyGpu:
    """CuPy's current device."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._first, self._last = cupy.cuda.Event(), cupy.cuda.Event()

    def begin(self) -> None:
        """Note the moment in the device's own queue."""
        self._first.record()

    def end(self) -> float:
        """Between two marks in the current stream; what other streams do is waited for, too."""
        self._last.record()
        self._cupy.cuda.Device().synchronize()
        return float(self._cupy.cuda.get_elapsed_time(self._first, self._last))

    def peak_bytes(self) -> int:
        """What CuPy's pool holds: it gives nothing back by itself, so that is its peak."""
        return int(self._cupy.get_default_memory_pool().total_bytes())


def find_gpu() -> Gpu | None:
    """The GPU that this process works with, if it does; nothing is imported or set up to find out."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return TorchGpu(torch.cuda)
    cupy = sys.modules.get("cupy")
    if cupy is not None and cupy.cuda.runtime.getDeviceCount():
        return CupyGpu(cupy)
    return None
