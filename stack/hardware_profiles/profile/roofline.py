"""The roofline of a profile (pure): attainable operations a second over operations per byte moved.

S. Williams, A. Waterman, D. Patterson, "Roofline: An Insightful Visual Performance Model for Multicore Architectures", CACM 52(4), 2009:
attainable = min(compute rate, bandwidth x intensity). Both roofs here are measured ones.
"""

from dataclasses import dataclass

from stack.hardware_profiles.profile.gemm import KINDS
from stack.hardware_profiles.profile.models import SCALE, Group, Profile, Result


@dataclass(frozen=True)
class Roof:
    """The flat part for one data type, the fastest first in a roofline; `ridge` is the intensity from which on compute limits."""

    dtype: str
    rate: float
    ridge: float


@dataclass(frozen=True)
class Roofline:
    """Operations and bytes a second; `points` are (name, intensity, rate) of what was measured."""

    bandwidth: float
    bandwidth_name: str
    roofs: tuple[Roof, ...]
    points: tuple[tuple[str, float, float], ...]

    def attainable(self, intensity: float, roof: Roof) -> float:
        return min(roof.rate, self.bandwidth * intensity)


def roofline(profile: Profile) -> Roofline | None:
    """None without a measured bandwidth and at least one measured product."""
    memory = best_bandwidth(profile)
    products = [result for result in profile.results if result.group is Group.GEMM and result.median]
    if memory is None or memory.median is None or not products:
        return None
    bandwidth = memory.median * SCALE[memory.unit]
    roofs = sorted((Roof(result.dtype or "", _rate(result), _rate(result) / bandwidth) for result in products), key=lambda roof: -roof.rate)
    return Roofline(bandwidth, memory.name, tuple(roofs), tuple(point for result in products for point in _points(result)))


def best_bandwidth(profile: Profile) -> Result | None:
    """The memory kernel with the highest median: the most that any pattern of access is known to get."""
    found = [result for result in profile.results if result.group is Group.MEMORY and result.median and result.verified is not False]
    return max(found, key=lambda result: result.median or 0.0, default=None)


def _rate(result: Result) -> float:
    return (result.median or 0.0) * SCALE[result.unit]


def _points(result: Result) -> list[tuple[str, float, float]]:
    """Each shape of the sweep once, at its best number of threads."""
    kind = next(kind for kind in KINDS if kind.name == result.dtype)
    best: dict[tuple[int, ...], float] = {}
    for point in result.sweep:
        best[point.shape] = max(best.get(point.shape, 0.0), point.value * SCALE[result.unit])
    places = [((m, k, n), value) for (m, k, n), value in best.items()]
    return [(kind.name, (kind.place(shape).work or 0.0) / kind.bytes_moved(shape), value) for shape, value in places]
