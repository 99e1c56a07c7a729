"""Whether a claim of speed stands, for the answers' sake (pure functions).

The rules are MLPerf's for language models: the accuracy must reach its target on the same server, and the mean output length must
lie within 0.9 to 1.1 of the reference model's. Accuracy is judged by its interval, so that a small task voids nothing by chance.
"""

from collections.abc import Sequence

from bench.quality.models import AccuracyView, LengthView, QualityAnswers, QualityView
from bench.quality.scoring import is_right
from bench.statistics.means import mean_interval
from bench.statistics.percentiles import mean
from bench.statistics.proportion import wilson_interval
from bench.workload.models import Workload
from bench.workload.prompts import LengthReference, Quality


def quality_view(workload: Workload, answers: QualityAnswers | None, output_tokens: Sequence[float]) -> QualityView | None:
    """`output_tokens`: of each measured request that succeeded and whose N is known. None where the workload asks for neither."""
    if workload.quality is None and workload.reference is None:
        return None
    return QualityView(
        accuracy=None if workload.quality is None else _accuracy(workload.quality, answers),
        lengths=None if workload.reference is None else length_view(workload.reference, output_tokens),
    )


def quality_reasons(view: QualityView | None) -> list[str]:
    """Why the claim of speed is void; empty when it is not."""
    reasons = []
    accuracy, lengths = (None, None) if view is None else (view.accuracy, view.lengths)
    if accuracy is not None and accuracy.task_sha256 is None:
        reasons.append("void: the workload's quality task was not asked")
    elif accuracy is not None and accuracy.holds is False:
        failed = f", {accuracy.failed} of them without an answer" if accuracy.failed else ""
        reasons.append(
            f"void: accuracy {accuracy.accuracy:.1%} of {accuracy.asked} questions{failed} ({_range(accuracy)}) is below the floor {accuracy.floor:.1%}"
        )
    if lengths is not None and lengths.holds is False:
        reasons.append(
            f"void: answers have {lengths.output_tokens_mean:.1f} tokens on average, {lengths.ratio:.2f} of the reference's {lengths.reference:g} "
            f"(limits {lengths.low:g} to {lengths.high:g})"
        )
    return reasons


def quality_notes(view: QualityView | None) -> list[str]:
    """What could not be told."""
    notes = []
    accuracy, lengths = (None, None) if view is None else (view.accuracy, view.lengths)
    if accuracy is not None and accuracy.holds is None and accuracy.asked:
        what = f"{accuracy.right} of {accuracy.asked} right ({_range(accuracy)}), floor {accuracy.floor:.1%}"
        notes.append(f"cannot tell whether accuracy holds: {what}: more questions would tell")
    if lengths is not None and lengths.holds is None:
        notes.append("cannot tell whether output lengths hold: the server sent no usage block")
    return notes


def length_view(reference: LengthReference, output_tokens: Sequence[float]) -> LengthView:
    """MLPerf's rule on the plain mean; the interval says how sure that mean is."""
    average = mean(output_tokens) if output_tokens else None
    ratio = None if average is None else average / reference.output_tokens_mean
    return LengthView(
        requests=len(output_tokens),
        output_tokens_mean=average,
        interval_95=mean_interval(output_tokens),
        reference=reference.output_tokens_mean,
        ratio=ratio,
        low=reference.low,
        high=reference.high,
        holds=None if ratio is None else reference.low <= ratio <= reference.high,
    )


def _accuracy(quality: Quality, answers: QualityAnswers | None) -> AccuracyView:
    """Scored once more from what the model said: a `right` written into the file proves nothing. Questions never asked count as wrong."""
    if answers is None:
        return AccuracyView(score=quality.score, task_sha256=None, asked=0, right=0, failed=0, accuracy=None, interval_95=None, floor=quality.floor, holds=None)
    asked = answers.task.items
    right = sum(is_right(quality.score, each.expected, each.answer) for each in answers.answers)
    failed = asked - sum(each.answer is not None for each in answers.answers)
    interval = wilson_interval(right, asked)
    return AccuracyView(
        score=quality.score,
        task_sha256=answers.task.sha256,
        asked=asked,
        right=right,
        failed=failed,
        accuracy=right / asked if asked else None,
        interval_95=interval,
        floor=quality.floor,
        holds=_holds(interval, quality.floor),
    )


def _range(accuracy: AccuracyView) -> str:
    return "no interval" if accuracy.interval_95 is None else f"95 %: {accuracy.interval_95[0]:.1%} to {accuracy.interval_95[1]:.1%}"


def _holds(interval: tuple[float, float] | None, floor: float) -> bool | None:
    if interval is None:
        return None
    return False if interval[1] < floor else True if interval[0] >= floor else None
