"""TEST06: a stream says what it claims to say (logic).

Detects wrong token counts, a first token thrown in to look quick, an end that is ignored or feigned. A random sample of the
workload's prompts is asked alone, streamed and not streamed, at temperature 0 and with natural ends (`ignore_eos` off: the tokens it
lets through are in no text). Of each answer:

* the usage block counts the tokens of the text, by the tokenizer where one is given, else one an event;
* the finish reason fits the number of tokens, and nothing comes after it; no end mark stands inside the text;
* the first piece of the stream opens the answer that is not streamed, and the whole stream is that answer.
"""

from collections.abc import Callable, Iterable, Iterator

from bench.audits.bodies import bodies_of
from bench.audits.models import AskedAnswer, Number, Ruling, Subject, Verdict, worst
from bench.audits.protocol import AskPhase, Outcomes, Phase, asked
from bench.audits.share import judge_share, share_figures
from bench.results.tokencheck import LIMIT
from bench.seeds import stream

SAMPLE = 64
OUT_OF = 10_000
"""The sample is drawn from so many requests of the workload, or from all where it has fewer."""
LEAST_SHARE = 0.9
"""Streamed and unstreamed answers of an honest engine may differ where a prefix cache or a batch rounds otherwise."""
SPELLING = 0.05
"""A model's own spelling of a text takes at most so many more of its tokens than the tokenizer's."""
MOST_EXAMPLES = 8

Judged = tuple[Verdict, str]


class TrueStreams:
    name = "TEST06"
    title = "streams are what their token counts, ends and final texts say"

    def plan_runs(self, subject: Subject, done: Outcomes) -> list[Phase]:  # noqa: ARG002
        workload, count = subject.workload, subject.sample or SAMPLE
        population = range(max(count, workload.stop.requests or OUT_OF))
        chosen = sorted(stream(subject.audit_seed, "audit-sample").sample(population, count))
        bodies = bodies_of(workload, subject.seed, chosen)
        natural = {index: {name: value for name, value in body.items() if name != "ignore_eos"} for index, body in bodies.items()}
        return [AskPhase("streamed", natural, stream=True), AskPhase("whole", natural)]

    def verify(self, subject: Subject, done: Outcomes) -> Ruling:  # noqa: ARG002
        streamed, whole = asked(done, "streamed"), asked(done, "whole")
        good = [answer for answer in streamed.values() if answer.ok]
        pairs = [(answer, whole[index]) for index, answer in streamed.items() if answer.ok and whole[index].ok]
        worded = [pair for pair in pairs if pair[0].text or pair[1].text]
        first = sum(other.text.startswith(one.pieces[0]) for one, other in worded if one.pieces)
        same = sum(one.text == other.text for one, other in worded)
        faults = [*_faults(good, _finish_fault), *_faults(good, _late_text), *_faults(good, _end_mark)]
        (counts, counted), count_figures = _token_counts(good)
        judged: list[Judged] = [
            (counts, counted),
            _clean(good, _finish_fault, "finish reasons fit the token counts"),
            _clean(good, _late_text, "streams end with the finish reason"),
            _clean(good, _end_mark, "texts hold no end mark"),
            judge_share(first, len(worded), least=LEAST_SHARE, what="first pieces open the final text"),
            judge_share(same, len(worded), least=LEAST_SHARE, what="streams are the unstreamed answer"),
        ]
        figures: dict[str, Number] = {
            "asked": len(streamed),
            "answered": len(good),
            **count_figures,
            "wrong_finish": sum(_finish_fault(answer) is not None for answer in good),
            "text_after_finish": sum(_late_text(answer) is not None for answer in good),
            "end_marks": sum(_end_mark(answer) is not None for answer in good),
            **share_figures("first_piece", first, len(worded)),
            **share_figures("same_text", same, len(worded)),
        }
        verdict = worst([each for each, _ in judged])
        telling = [said for each, said in judged if each == verdict] if verdict != "pass" else [said for _, said in judged]
        failed = len(streamed) + len(whole) - len(good) - sum(answer.ok for answer in whole.values())
        errors = [answer.error for phase in (streamed, whole) for answer in phase.values() if answer.error]
        return Ruling(
            verdict=verdict,
            reason="; ".join(telling),
            figures=figures,
            notes=(f"{failed} requests failed and were left out ({errors[0]})",) if errors else (),
            examples=tuple(faults + [_difference(*pair) for pair in worded if pair[0].text != pair[1].text])[:MOST_EXAMPLES],
        )


def _token_counts(answers: list[AskedAnswer]) -> tuple[Judged, dict[str, Number]]:
    """Usage against the tokens that arrived: by the tokenizer where it was given, and by the events.

    A model may spell a text with more tokens than the tokenizer would (" A", "le" for " Ale"), so a tokenizer's count is allowed to be
    up to `SPELLING` short where one event a token bears the usage out.
    """
    counted = [answer for answer in answers if answer.completion_tokens is not None]
    by_text = [answer for answer in counted if answer.text_tokens is not None and not answer.hidden_events]
    chosen = by_text or counted
    usage = sum(answer.completion_tokens or 0 for answer in chosen)
    events = sum(len(answer.pieces) + answer.hidden_events for answer in chosen)
    tokens = sum(answer.text_tokens or 0 for answer in chosen) if by_text else None
    stopped = sum(answer.finish_reason == "stop" for answer in chosen)
    by_events = _apart(usage, events, stopped)
    apart = by_events if tokens is None else _apart(usage, tokens, stopped)
    figures: dict[str, Number] = {
        "usage_tokens": usage,
        "text_tokens": tokens,
        "events": events,
        "count_mismatch": apart if chosen else None,
    }
    arrived = f"the streams had {events} events" if tokens is None else f"the tokenizer finds {tokens}"
    said = f"usage says {usage} tokens, {arrived} in {len(chosen)} answers ({apart:.1%} apart, limit {LIMIT:.0%})"
    if not chosen or len(counted) < len(answers):
        return ("cannot tell", f"{len(answers) - len(counted)} of {len(answers)} streams had no usage block"), figures
    if apart <= LIMIT:
        return ("pass", said), figures
    if tokens is None and usage > events:
        return ("cannot tell", f"{said}: events that carry several tokens need --tokenizer to be counted"), figures
    if tokens is not None and tokens < usage and apart <= SPELLING:
        borne_out = by_events <= LIMIT
        return ("pass" if borne_out else "cannot tell", f"{said}, which {events} events {'bear' if borne_out else 'do not bear'} out"), figures
    return ("fail", said), figures


def _apart(usage: int, received: int, stopped: int) -> float:
    """Share of the usage that differs; an end token, which is in no text, is allowed for each answer that stopped."""
    return max(received - usage, usage - received - stopped, 0) / max(usage, 1)


def _finish_fault(answer: AskedAnswer) -> str | None:
    """`length` means exactly max_tokens and `stop` no more than that; any other reason is none for plain text."""
    tokens, most = answer.completion_tokens, answer.max_tokens
    if tokens is None and answer.finish_reason in ("length", "stop"):
        return None
    if answer.finish_reason == "length" and tokens == most:
        return None
    if answer.finish_reason == "stop" and tokens is not None and tokens <= most:
        return None
    return f"request {answer.index}: finish reason {answer.finish_reason!r} with {tokens} tokens of at most {most}"


def _late_text(answer: AskedAnswer) -> str | None:
    return f"request {answer.index}: {answer.after_finish[:40]!r} after the finish reason" if answer.after_finish else None


def _end_mark(answer: AskedAnswer) -> str | None:
    return f"request {answer.index}: {answer.end_marks} special tokens inside the text" if answer.end_marks else None


def _faults(answers: Iterable[AskedAnswer], fault: Callable[[AskedAnswer], str | None]) -> Iterator[str]:
    return (found for answer in answers if (found := fault(answer)) is not None)


def _clean(answers: list[AskedAnswer], fault: Callable[[AskedAnswer], str | None], what: str) -> Judged:
    """Not one may be at fault."""
    wrong = sum(fault(answer) is not None for answer in answers)
    return ("fail" if wrong else "pass" if answers else "cannot tell"), f"{len(answers) - wrong} of {len(answers)} {what}"


def _difference(streamed: AskedAnswer, whole: AskedAnswer) -> str:
    return f"request {streamed.index}: streamed {streamed.text[:60]!r}, not streamed {whole.text[:60]!r}"
