"""From the rows of a run of users to its summary (pure functions; definitions in docs/metrics.md and docs/users.md)."""

from collections import Counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bench.results.decode import OK
from bench.results.distributions import describe
from bench.statistics.proportion import wilson_interval
from bench.users.rows import Rows
from bench.users.scenario import Scenario
from bench.users.summary import Attainment, Counts, Journeys, Latencies, StepFigures, UserRates, UsersRun, UsersSummary
from bench.users.verdict import invalid_reasons
from bench.workload.slo import Slo

CANCELLED = "cancelled"

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def summarize(rows: Rows) -> UsersSummary:
    """The published result of the last test of a run, worked out from its rows alone."""
    run = rows.run
    columns = _Columns(rows.table.filter(pc.field("test") == run.tests))
    everything = np.ones(len(columns.ok), dtype=bool)
    counts, metrics = columns.counts(everything), columns.latencies(everything)
    reasons = invalid_reasons(counts, run.workers, lost=run.lost, state=run.state, ttft_ms=metrics.ttft_ms)
    return UsersSummary(
        state=run.state,
        valid=not reasons,
        invalid_reasons=tuple(reasons),
        notes=tuple(_notes(columns, run)),
        requests=counts,
        journeys=columns.journeys(run.scenario),
        users=len(set(zip(columns.user_class, columns.user, strict=True))),
        rates=columns.rates(run.ended_ns),
        metrics=metrics,
        steps=tuple(_steps(columns, run.scenario)),
        goodput=columns.attainment(everything, run.scenario.slo),
        workers=run.workers,
        lost_workers=run.lost,
        scenario=run.scenario,
        seed=run.seed,
        url=run.url,
        started_at=run.started_at,
        tool=run.tool,
    )


class _Columns:
    """The rows as arrays; numbers as float64, null as NaN."""

    def __init__(self, table: pa.Table) -> None:
        def numbers(name: str) -> Floats:
            found: Floats = table[name].to_numpy().astype(np.float64)
            return found

        self.user_class, self.step, self.status = (np.array(table[name].to_pylist(), dtype=object) for name in ("class", "step", "status"))
        self.user, self.journey, self.turn = (table[name].to_pylist() for name in ("user", "journey", "turn"))
        self.sent, self.first, self.last, self.closed = (numbers(name) for name in ("sent_ns", "first_content_ns", "last_content_ns", "closed_ns"))
        self.output_tokens, self.n_first = numbers("completion_tokens"), numbers("n_first")
        self.ok: Bools = self.status == OK
        after_first = self.output_tokens - self.n_first
        self.ttft_ms: Floats = (self.first - self.sent) / 1e6
        self.tpot_ms: Floats = (self.last - self.first) / np.where(after_first > 0, after_first, np.nan) / 1e6
        self.e2e_ms: Floats = (self.last - self.sent) / 1e6

    def counts(self, among: Bools) -> Counts:
        classes = Counter(self.status[among].tolist())
        sent, ok, cancelled = classes.total(), classes.pop(OK, 0), classes.pop(CANCELLED, 0)
        return Counts(sent=sent, ok=ok, failed=classes.total(), cancelled=cancelled, by_class=dict(sorted(classes.items())))

    def latencies(self, among: Bools) -> Latencies:
        chosen = among & self.ok
        ttft, tpot, e2e = (describe(values[chosen & ~np.isnan(values)]) for values in (self.ttft_ms, self.tpot_ms, self.e2e_ms))
        return Latencies(ttft_ms=ttft, tpot_ms=tpot, e2e_ms=e2e)

    def attainment(self, among: Bools, slo: Slo | None) -> Attainment | None:
        """Comparisons with NaN are false: an answer without content misses a TTFT limit. An answer of one chunk has no TPOT to miss."""
        if slo is None:
            return None
        good = among & self.ok
        if slo.ttft_ms is not None:
            good &= self.ttft_ms <= slo.ttft_ms
        if slo.tpot_ms is not None:
            good &= np.isnan(self.tpot_ms) | (self.tpot_ms <= slo.tpot_ms)
        if slo.e2e_ms is not None:
            good &= self.e2e_ms <= slo.e2e_ms
        met, judged = int(good.sum()), int((among & (self.status != CANCELLED)).sum())
        return Attainment(slo=slo, good=met, judged=judged, share=met / judged if judged else None, interval_95=wilson_interval(met, judged))

    def journeys(self, scenario: Scenario) -> Journeys:
        lengths = {each.name: sum(step.repeat for step in each.journey) for each in scenario.classes}
        last = np.array([turn == lengths[name] - 1 for turn, name in zip(self.turn, self.user_class, strict=True)], dtype=bool)
        return Journeys(begun=sum(turn == 0 for turn in self.turn), finished=int((last & self.ok).sum()))

    def rates(self, ended_ns: int) -> UserRates:
        over = self.ok & (self.closed <= ended_ns)
        if ended_ns <= 0:
            return UserRates(requests_per_s=None, output_tokens_per_s=None)
        tokens = self.output_tokens[over]
        known = not np.isnan(tokens).any()
        return UserRates(requests_per_s=int(over.sum()) / ended_ns * 1e9, output_tokens_per_s=float(tokens.sum()) / ended_ns * 1e9 if known else None)


def _steps(columns: _Columns, scenario: Scenario) -> list[StepFigures]:
    found = []
    for user_class in scenario.classes:
        for step in user_class.journey:
            among: Bools = (columns.user_class == user_class.name) & (columns.step == step.name)
            found.append(
                StepFigures(
                    user_class=user_class.name,
                    step=step.name,
                    requests=columns.counts(among),
                    metrics=columns.latencies(among),
                    goodput=columns.attainment(among, scenario.slo),
                )
            )
    return found


def _notes(columns: _Columns, run: UsersRun) -> list[str]:
    notes = []
    if without_usage := int((columns.ok & np.isnan(columns.output_tokens)).sum()):
        notes.append(f"{without_usage} answers came without a usage block: their tokens are unknown and left out of tpot_ms; token rates are unknown")
    if without_content := int((columns.ok & np.isnan(columns.first)).sum()):
        notes.append(f"{without_content} answers came without any content: they have no ttft_ms")
    if run.tests > 1:
        notes.append(f"{run.tests} tests were started; these are the figures of the last")
    return notes
