"""TEST09: answers are as long as the reference model's (logic).

Detects answers cut short, which makes more requests a second, or padded, which makes more tokens a second. The rule is MLPerf's: the
mean output length within 10 % of the reference, or what the workload's `reference` allows.
"""

from bench.audits.models import Number, Ruling, Subject, Verdict
from bench.audits.protocol import MEASURED, LoadPhase, Outcomes, Phase, loaded
from bench.errors import BenchError
from bench.quality.guard import length_view
from bench.results.columns import View, known


class ReferenceLengths:
    name = "TEST09"
    title = "answers are as long as the reference model's"

    def plan_runs(self, subject: Subject, done: Outcomes) -> list[Phase]:
        if subject.workload.reference is None:
            raise BenchError("field `reference`: missing in the workload: give the reference model's mean output tokens there or with --reference-tokens")
        return [] if MEASURED in done else [LoadPhase(MEASURED, subject.workload, subject.seed)]

    def verify(self, subject: Subject, done: Outcomes) -> Ruling:
        reference = subject.workload.reference
        if reference is None:
            raise ValueError("planned without a reference")
        view = View.of(loaded(done, MEASURED).samples)
        lengths = length_view(reference, known(view.columns.output_tokens[view.ok]).tolist())
        average, interval = lengths.output_tokens_mean, lengths.interval_95
        low, high = (None, None) if interval is None else (interval[0] / reference.output_tokens_mean, interval[1] / reference.output_tokens_mean)
        figures: dict[str, Number] = {
            "requests": lengths.requests,
            "output_tokens.mean": average,
            "output_tokens.reference": reference.output_tokens_mean,
            "ratio": lengths.ratio,
            "ratio.low_95": low,
            "ratio.high_95": high,
        }
        if low is None or high is None:
            return Ruling(verdict="cannot tell", reason="fewer than two answers came with a usage block", figures=figures)
        verdict: Verdict = "pass" if reference.low <= low and high <= reference.high else "cannot tell"
        if high < reference.low or low > reference.high:
            verdict = "fail"
        said = f"{average:.1f} output tokens on average, {lengths.ratio:.3f} of the reference's {reference.output_tokens_mean:g}"
        fixed = subject.workload.prompts.ignore_eos
        return Ruling(
            verdict=verdict,
            reason=f"{said} (95 %: {low:.3f} to {high:.3f}; limits {reference.low:g} to {reference.high:g})",
            figures=figures,
            notes=("prompts.ignore_eos fixes the lengths: this says that the server obeys it, not what the model would say",) if fixed else (),
        )
