"""Arrival rates that change with time (pure functions).

A rate r(t) is a chain of linear pieces. R(t), its integral from 0 to t, is the number of arrivals to expect by t. Arrivals of a
changing rate are arrivals of rate 1 at u_1 < u_2 < ... put to the times R^-1(u_k): for a Poisson process of rate 1 that gives the
Poisson process of rate r(t) exactly (time change, Cinlar 1975, section 4.7), without thinning or small steps.

In a piece that begins at t_0 with rate a and slope b, R(t) = R(t_0) + a x + b x^2 / 2 with x = t - t_0, and for y = u - R(t_0)

    x = 2 y / (a + sqrt(a^2 + 2 b y))

the form of the quadratic's root that loses no digits as b goes to 0, where it is y / a.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from bench.workload.arrivals import Constant, Gamma, Poisson, Ramp, Steps


@dataclass(frozen=True)
class Piece:
    """From `begin_s` on, when `begin` arrivals are behind, the rate is `rate` and grows by `slope` a second."""

    begin_s: float
    begin: float
    rate: float
    slope: float = 0.0


@dataclass(frozen=True)
class RateProfile:
    """Pieces in order of time, the arrivals to expect until `end_s`, and none after it."""

    pieces: tuple[Piece, ...]
    total: float = math.inf
    end_s: float = math.inf

    def expected(self, at_s: float) -> float:
        """R(t): arrivals to expect by `at_s`."""
        if at_s >= self.end_s:
            return self.total
        piece = next(piece for piece in reversed(self.pieces) if piece.begin_s <= at_s)
        passed_s = at_s - piece.begin_s
        return piece.begin + passed_s * (piece.rate + piece.slope * passed_s / 2)

    def times(self, counts: Iterable[float]) -> Iterator[float]:
        """R^-1 of each of the ascending `counts`, in seconds; ends with the rate."""
        place = 0
        for count in counts:
            if count > self.total:
                return
            while place + 1 < len(self.pieces) and count > self.pieces[place + 1].begin:
                place += 1
            piece = self.pieces[place]
            ahead = count - piece.begin
            yield piece.begin_s + 2 * ahead / (piece.rate + math.sqrt(piece.rate**2 + 2 * piece.slope * ahead))


def rate_profile(arrivals: Constant | Poisson | Gamma | Steps | Ramp) -> RateProfile:
    """How the mean rate of `arrivals` changes with time.

    Where pieces meet is counted with the decimals as written: 0.29/s for 100 s are 29 arrivals, not 28.999999999999996.
    """
    match arrivals:
        case Steps():
            return _stairs([(exact(step.rate), exact(step.duration_s)) for step in arrivals.steps])
        case Ramp():
            low, high, lasts = exact(arrivals.from_rate), exact(arrivals.to_rate), exact(arrivals.duration_s)
            rise = Piece(begin_s=0.0, begin=0.0, rate=arrivals.from_rate, slope=float((high - low) / lasts))
            return RateProfile((rise, Piece(begin_s=arrivals.duration_s, begin=float((low + high) / 2 * lasts), rate=arrivals.to_rate)))
        case _:
            return RateProfile((Piece(begin_s=0.0, begin=0.0, rate=arrivals.rate),))


def exact(number: float) -> Fraction:
    """The decimal that a file says, not the binary fraction next to it."""
    return Fraction(repr(number))


def _stairs(steps: list[tuple[Fraction, Fraction]]) -> RateProfile:
    pieces, at_s, count = [], Fraction(0), Fraction(0)
    for rate, lasts in steps:
        pieces.append(Piece(begin_s=float(at_s), begin=float(count), rate=float(rate)))
        at_s += lasts
        count += rate * lasts
    return RateProfile(tuple(pieces), total=float(count), end_s=float(at_s))
