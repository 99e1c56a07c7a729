"""XID errors of NVIDIA GPUs, from NVML's events (edge)."""

import contextlib
import ctypes
from collections.abc import Iterator, Sequence
from typing import Any

import pynvml

from stack.hardware_profiles.telemetry.readers import Reading

MOST_AT_ONCE = 1000
"""Events taken in one reading; a GPU that fails in a loop must not hold up the others."""


class XidEvents:
    """Counts from its making on. A GPU that takes no events has no count; one that is lost keeps its last."""

    def __init__(self, gpus: Sequence[tuple[tuple[str, ...], Any]]) -> None:
        self._gpus = {_address(handle): (labels, handle) for labels, handle in gpus}
        self._counts: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._events: Any = None

    def read(self) -> Iterator[Reading]:
        """What came since the reading before is counted first; nothing is waited for."""
        if self._events is None:
            self._register()
        self._take()
        for address, count in self._counts.items():
            labels = self._gpus[address][0]
            yield Reading("stackproof_gpu_xid_errors_total", count, labels)
            if address in self._last:
                yield Reading("stackproof_gpu_last_xid", self._last[address], labels)

    def _register(self) -> None:
        try:
            self._events = pynvml.nvmlEventSetCreate()
        except pynvml.NVMLError:
            return
        for address, (_, handle) in self._gpus.items():
            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlDeviceRegisterEvents(handle, pynvml.nvmlEventTypeXidCriticalError, self._events)
                self._counts.setdefault(address, 0)

    def _take(self) -> None:
        for _ in range(MOST_AT_ONCE if self._counts and self._events is not None else 0):
            try:
                event = pynvml.nvmlEventSetWait(self._events, 0)
            except pynvml.NVMLError as error:
                if error.value != pynvml.NVML_ERROR_TIMEOUT:
                    self._drop()  # a lost GPU ends every wait on its set: the next reading makes one of those that still answer
                return
            address = _address(event.device)
            if event.eventType == pynvml.nvmlEventTypeXidCriticalError and address in self._gpus:
                self._counts[address] = self._counts.get(address, 0) + 1
                self._last[address] = int(event.eventData)

    def _drop(self) -> None:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlEventSetFree(self._events)
        self._events = None


def _address(handle: Any) -> int:
    """What a handle points to: pynvml wraps the same one in a new object each time."""
    return ctypes.cast(handle, ctypes.c_void_p).value or 0
