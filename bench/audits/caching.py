"""TEST04: prompts that were asked before are not answered faster (logic).

Detects answers, or prompts, kept from one request to another. Phases with distinct prompts alternate with phases that draw from a
few fixed ones; both say the same texts, each with one word of salt in front, so that they are of one length. MLPerf allows 10 %.
An engine's prefix cache is such a cache: a figure of speed measured with a warm one fails here, and should.

Closed loop only: in open loop the rate is the workload's, not the server's.
"""

import math

from bench.audits.bodies import bodies_of, words_of
from bench.audits.models import Number, Ruling, Subject, Verdict
from bench.audits.protocol import LoadPhase, Outcomes, Phase, loaded
from bench.errors import BenchError
from bench.results.summary import Summary
from bench.seeds import derive
from bench.statistics.means import mean_interval
from bench.statistics.percentiles import mean
from bench.workload.arrivals import Closed
from bench.workload.models import CacheGuard, Warmup, Workload
from bench.workload.prompts import TextsPrompts

TEXTS = 8
LIMIT = 0.10
"""MLPerf: repeated samples may be answered at most 10 % faster."""
WARMUPS_A_TEXT = 3
"""So many draws for each text before it counts leave fewer than one in twenty unseen."""


class NoCaching:
    name = "TEST04"
    title = "prompts asked before are not answered faster"

    def plan_runs(self, subject: Subject, done: Outcomes) -> list[Phase]:  # noqa: ARG002
        if not isinstance(subject.workload.arrivals, Closed):
            raise BenchError(f"field `arrivals`: kind {subject.workload.arrivals.kind}: only the speed of a closed loop (kind concurrency) is the server's own")
        distinct, repeated = _workloads(subject)
        phases: list[Phase] = []
        for number in range(1, subject.rounds + 1):
            pair = [
                LoadPhase(f"distinct-{number}", distinct, derive(subject.audit_seed, "audit-distinct", number) >> 32),
                LoadPhase(f"repeated-{number}", repeated, derive(subject.audit_seed, "audit-repeated", number) >> 32),
            ]
            # In turn first and second, so that a drift of the server speaks for neither.
            phases += pair if number % 2 else reversed(pair)
        return phases

    def verify(self, subject: Subject, done: Outcomes) -> Ruling:
        pairs = [tuple(loaded(done, f"{kind}-{number}").summary for kind in ("distinct", "repeated")) for number in range(1, subject.rounds + 1)]
        rates = [(distinct.rates.requests_per_s, repeated.rates.requests_per_s) for distinct, repeated in pairs]
        ratios = [math.log(repeated / distinct) for distinct, repeated in rates if distinct and repeated]
        interval = mean_interval(ratios)
        if len(ratios) < len(pairs) or interval is None:
            return Ruling(verdict="cannot tell", reason="a phase gave no rate: too few of its requests succeeded", figures=_figures(rates, None, None))
        faster, (low, high) = math.expm1(mean(ratios)), (math.expm1(interval[0]), math.expm1(interval[1]))
        verdict: Verdict = "fail" if low > LIMIT else "pass" if high <= LIMIT else "cannot tell"
        change = f"{abs(faster):.1%} {'faster' if faster >= 0 else 'slower'}"
        said = f"repeated prompts are answered {change} (95 %: {low:+.1%} to {high:+.1%} over {len(pairs)} rounds; limit {LIMIT:.0%})"
        # A client that is too slow hides how fast repeats are: it can excuse a failure no more than it can grant a pass.
        doubtful = [summary for distinct, repeated in pairs for summary in ((distinct,) if verdict == "fail" else (distinct, repeated)) if not summary.valid]
        if doubtful:
            verdict, said = "cannot tell", f"a phase was INVALID ({doubtful[0].invalid_reasons[0]}); {said}"
        return Ruling(
            verdict=verdict,
            reason=said,
            figures=_figures(rates, faster, (low, high)),
            notes=(_hint(subject),) if verdict != "pass" else (),
            examples=tuple(_round(number, *pair) for number, pair in enumerate(pairs, 1)),
        )


def _workloads(subject: Subject) -> tuple[Workload, Workload]:
    """The same texts, with a new word in front of each request, and with one that stays."""
    workload, count = subject.workload, subject.sample or TEXTS
    bodies = bodies_of(workload, derive(subject.audit_seed, "audit-texts") >> 32, range(count))
    texts = [words_of(body) for body in bodies.values()]
    prompts = workload.prompts
    max_tokens = getattr(prompts, "max_tokens", None) or round(mean([float(body["max_tokens"]) for body in bodies.values()]))
    marked = [f"[{derive(subject.audit_seed, 'audit-mark', place):016x}] {text}" for place, text in enumerate(texts)]
    warmup = Warmup(requests=max(workload.warmup.requests, WARMUPS_A_TEXT * count), duration_s=workload.warmup.duration_s)
    changed = {"reference": None, "warmup": warmup, "cache": CacheGuard(reset=workload.cache.reset, max_hit_rate=1.0)}

    def with_texts(said: list[str], *, salt: bool) -> Workload:
        chosen = TextsPrompts(kind="texts", texts=tuple(said), max_tokens=max_tokens, ignore_eos=prompts.ignore_eos, salt=salt)
        return workload.model_copy(update={**changed, "prompts": chosen})

    return with_texts(texts, salt=True), with_texts(marked, salt=False)


def _figures(rates: list[tuple[float | None, float | None]], faster: float | None, interval: tuple[float, float] | None) -> dict[str, Number]:
    low, high = interval or (None, None)
    found: dict[str, Number] = {"faster": faster, "faster.low_95": low, "faster.high_95": high}
    for number, (distinct, repeated) in enumerate(rates, 1):
        found |= {f"round_{number}.distinct_requests_per_s": distinct, f"round_{number}.repeated_requests_per_s": repeated}
    return found


def _round(number: int, distinct: Summary, repeated: Summary) -> str:
    said = [f"{summary.rates.requests_per_s:.2f} requests/s, mean TTFT {summary.metrics.ttft_ms.mean or 0:.1f} ms" for summary in (distinct, repeated)]
    return f"round {number}: distinct {said[0]}; repeated {said[1]}"


def _hint(subject: Subject) -> str:
    return (
        "a prefix cache counts as caching: for vLLM, --no-enable-prefix-caching turns it off; "
        f"noise makes it hard to tell: longer phases (field `stop`) or more than {subject.rounds} rounds (--rounds) narrow the interval"
    )
