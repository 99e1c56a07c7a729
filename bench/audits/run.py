"""Runs an audit's phases, keeps what came of them, and has it judged (edge).

A folder holds audit.json and a part for each phase: a folder with a run's samples, or a .jsonl with single answers.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from bench.audits.asking import ask, read_answers, write_answers
from bench.audits.models import AUDIT, INTERRUPTED, AuditResult, PhaseInfo, Ruling, Subject
from bench.audits.protocol import MEASURED, Asked, AskPhase, AuditTest, Loaded, Outcome, Phase
from bench.audits.subject import Chosen
from bench.quality.server import Server
from bench.results.files import REQUESTS, TOKENS
from bench.results.keep import Keep
from bench.results.metrics import summarize
from bench.results.samples import read_samples
from bench.results.summary import ToolInfo
from bench.run import RunOptions, Watching, run_workload
from stack.evidence.provenance import tool
from stack.evidence.record import now
from stack.runtime.files import write_atomic
from stack.runtime.progress import Reporter

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def run_audit(test: AuditTest, chosen: Chosen, server: Server, *, out: Path, tokenizer: "Tokenizer | None" = None, reporter: Reporter) -> AuditResult:
    """Run every phase, write them and audit.json into `out`. BenchError when the subject is none for this audit, or the server is not there.

    Ctrl-C during a load ends the audit: it cannot tell then.
    """
    subject, started_at = chosen.subject, now()
    done: dict[str, Outcome] = {}
    if chosen.run is not None:
        (out / MEASURED).mkdir(parents=True, exist_ok=True)
        for name in (REQUESTS, TOKENS):
            if (out / MEASURED).resolve() != chosen.run.resolve():
                shutil.copyfile(chosen.run / name, out / MEASURED / name)
        done[MEASURED] = read_load(out / MEASURED / REQUESTS, out / MEASURED / TOKENS)
    interrupted = False
    while not interrupted and (phase := next((each for each in test.plan_runs(subject, done) if each.name not in done), None)) is not None:
        done[phase.name] = outcome = _execute(phase, server, out, tokenizer, reporter)
        interrupted = isinstance(outcome, Loaded) and outcome.summary.state == "interrupted"
    ruling = judge(test, subject, done)
    result = AuditResult(
        **dict(ruling),
        test=test.name,
        title=test.title,
        subject=subject,
        phases=tuple(PhaseInfo(name=name, kind="load" if isinstance(outcome, Loaded) else "ask") for name, outcome in done.items()),
        url=server.url,
        started_at=started_at,
        tool=ToolInfo(**tool().model_dump()),
    )
    write_atomic(out / AUDIT, result.model_dump_json(indent=2) + "\n")
    return result


def answers_file(phase: str) -> str:
    return f"{phase}.jsonl"


def judge(test: AuditTest, subject: Subject, done: dict[str, Outcome]) -> Ruling:
    """What the outcomes say; of a load that was interrupted, nothing."""
    if any(isinstance(outcome, Loaded) and outcome.summary.state == "interrupted" for outcome in done.values()):
        return Ruling(verdict="cannot tell", reason=INTERRUPTED, figures={})
    return test.verify(subject, done)


def _execute(phase: Phase, server: Server, out: Path, tokenizer: "Tokenizer | None", reporter: Reporter) -> Outcome:
    if isinstance(phase, AskPhase):
        with reporter.step(f"Asking, phase {phase.name}") as step:
            answers = ask(phase, server, tokenizer=tokenizer, step=step)
        write_answers(out / answers_file(phase.name), answers)
        return Asked(answers)
    options = RunOptions(keep=Keep(text=True), watching=Watching(on=False), report=False)
    run_workload(
        phase.workload,
        url=server.url,
        api_key=server.api_key,
        out=out / phase.name,
        seed=phase.seed,
        ca_file=server.ca_file,
        reporter=reporter,
        options=options,
    )
    return read_load(out / phase.name / REQUESTS, out / phase.name / TOKENS)


def read_load(requests: Path, tokens: Path) -> Loaded:
    samples = read_samples(requests, tokens)
    return Loaded(samples, summarize(samples))


def read_asked(path: Path) -> Asked:
    return Asked(read_answers(path))
