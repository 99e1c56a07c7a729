"""TEST01: under load the server gives the answers that it gives when it is asked alone (logic).

Detects a cheaper model, a lower precision or shorter answers where speed is measured. MLPerf compares sampled outputs of the
performance run with those of the accuracy run; here a random sample of the load's own requests is asked again, one at a time, at
temperature 0, and then once more, which tells how well the server repeats itself without any load.

An engine whose kernels are not batch-invariant rounds differently under load, and a greedy answer may part from the lone one at
some token and never come back to it. So an answer also agrees when the common beginning is at least `OVERLAP` of the longer one,
and only `LEAST_SHARE` of the answers need to agree. Another model fails both by far: it parts within the first tokens.
"""

import numpy as np

from bench.audits.bodies import bodies_of
from bench.audits.models import AskedAnswer, Number, Ruling, Subject, Verdict, worst
from bench.audits.protocol import MEASURED, AskPhase, LoadPhase, Outcomes, Phase, asked, loaded
from bench.audits.share import judge_share, share_figures
from bench.errors import BenchError
from bench.results.decode import OK
from bench.results.samples import Samples
from bench.seeds import stream
from bench.statistics.means import mean_interval
from bench.statistics.percentiles import mean

SAMPLE = 64
OVERLAP = 0.5
"""Common beginning over the longer answer, in characters: shares of characters and of tokens are close, and need no tokenizer."""
LEAST_SHARE = 0.8
LENGTHS_APART = 0.1
"""MLPerf's bound on mean output lengths."""
MOST_EXAMPLES = 5


class SameAnswers:
    name = "TEST01"
    title = "answers under load are those given alone"

    def plan_runs(self, subject: Subject, done: Outcomes) -> list[Phase]:
        """The load, unless it has been run; then the sampled requests alone, twice."""
        if MEASURED not in done:
            return [LoadPhase(MEASURED, subject.workload, subject.seed)]
        samples = loaded(done, MEASURED).samples
        if samples.run.workload.temperature != 0:
            raise BenchError(
                f"field `temperature`: answers drawn at {samples.run.workload.temperature:g} are not given twice: audit the workload, which runs it at 0"
            )
        bodies = bodies_of(subject.workload, subject.seed, _sampled(samples, subject))
        return [AskPhase("alone", bodies), AskPhase("again", bodies)]

    def verify(self, subject: Subject, done: Outcomes) -> Ruling:  # noqa: ARG002
        alone, again = asked(done, "alone"), asked(done, "again")
        under_load = _answers(loaded(done, MEASURED).samples)
        pairs = [(under_load[index], answer) for index, answer in alone.items() if answer.ok]
        repeats = [(answer, again[index]) for index, answer in alone.items() if answer.ok and again[index].ok]
        worded = [pair for pair in pairs if pair[0].text or pair[1].text]
        agreeing = sum(map(_agree, worded))
        exact = sum(one.text == other.text for one, other in worded)
        stable = sum(map(_agree, repeats))
        verdict, said = judge_share(agreeing, len(worded), least=LEAST_SHARE, what="answers under load agree with the lone ones")
        steady, unsteady = judge_share(stable, len(repeats), least=LEAST_SHARE, what="lone answers agree with themselves")
        lengths, longer, length_figures = _lengths(pairs)
        figures: dict[str, Number] = {
            "sampled": len(alone),
            "compared": len(worded),
            "exact": exact,
            **share_figures("agreement", agreeing, len(worded)),
            **share_figures("repeatability", stable, len(repeats)),
            **length_figures,
        }
        if steady != "pass" and worst((verdict, lengths)) != "pass":
            verdict, said = "cannot tell", f"{unsteady}: the server does not repeat itself even alone ({said})"
            lengths = "cannot tell"
        failed = len(alone) - len(pairs)
        return Ruling(
            verdict=worst((verdict, lengths)),
            reason="; ".join((said, longer)),
            figures=figures,
            notes=(
                f"an answer agrees when it is the same, or begins with the same {OVERLAP:.0%} of the longer one",
                *([f"{failed} requests asked alone failed and were left out"] if failed else []),
                *([f"{len(pairs) - len(worded)} pairs had no visible text and were left out"] if len(pairs) > len(worded) else []),
            ),
            examples=tuple(_example(*pair) for pair in worded if not _agree(pair))[:MOST_EXAMPLES],
        )


def overlap(one: str, other: str) -> float:
    """Characters of the common beginning over those of the longer text; 1 for two empty ones."""
    return 1.0 if one == other else _common(one, other) / max(len(one), len(other))


def _common(one: str, other: str) -> int:
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _agree(pair: tuple[AskedAnswer, AskedAnswer]) -> bool:
    return overlap(pair[0].text, pair[1].text) >= OVERLAP


def _sampled(samples: Samples, subject: Subject) -> list[int]:
    """Requests that were answered, drawn by the evaluator's seed without replacement. BenchError when their text was not kept."""
    known = sorted(_answers(samples))
    if not known:
        why = "no request succeeded" if not (np.array(samples.requests["status"].to_pylist()) == OK).any() else "their text was not kept"
        raise BenchError(f"the run has no answers to compare: {why} (bench run --keep-text keeps it; or audit the workload instead)")
    return sorted(stream(subject.audit_seed, "audit-sample").sample(known, min(len(known), subject.sample or SAMPLE)))


def _answers(samples: Samples) -> dict[int, AskedAnswer]:
    """The measured answers of a load in the form of asked ones."""
    rows = samples.requests.select(["request", "phase", "status", "text", "completion_tokens", "finish_reason"]).to_pylist()
    return {
        row["request"]: AskedAnswer(
            index=row["request"], max_tokens=0, pieces=(row["text"],), finish_reason=row["finish_reason"], completion_tokens=row["completion_tokens"]
        )
        for row in rows
        if row["phase"] == "measured" and row["status"] == OK and row["text"] is not None
    }


def _lengths(pairs: list[tuple[AskedAnswer, AskedAnswer]]) -> tuple[Verdict, str, dict[str, Number]]:
    """Whether answers under load are as long: the interval of the mean difference, as a share of the lone answers' mean."""
    known = [(one.completion_tokens, other.completion_tokens) for one, other in pairs if one.completion_tokens is not None and other.completion_tokens]
    figures: dict[str, Number] = {"length_change": None, "length_change.low_95": None, "length_change.high_95": None}
    if len(known) < 2:
        return "cannot tell", "the answers' lengths are unknown", figures
    alone = mean([float(other) for _, other in known])
    interval = mean_interval([(one - other) / alone for one, other in known])
    change = mean([(one - other) / alone for one, other in known])
    low, high = interval or (change, change)
    figures = {"length_change": change, "length_change.low_95": low, "length_change.high_95": high}
    said = f"they are {abs(change):.1%} {'longer' if change >= 0 else 'shorter'} (95 %: {low:+.1%} to {high:+.1%}; limit {LENGTHS_APART:.0%} either way)"
    if low > LENGTHS_APART or high < -LENGTHS_APART:
        return "fail", said, figures
    return "pass" if low >= -LENGTHS_APART and high <= LENGTHS_APART else "cannot tell", said, figures


def _example(under_load: AskedAnswer, alone: AskedAnswer) -> str:
    same = _common(under_load.text, alone.text)
    loaded_rest, lone_rest = (each.text[same : same + 40] for each in (under_load, alone))
    return f"request {alone.index}: the same for {same} characters, then {loaded_rest!r} under load, {lone_rest!r} alone"
