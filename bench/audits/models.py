"""What was asked, and what an audit found (models; no I/O)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field

from bench.frozen import Frozen
from bench.results.summary import ToolInfo
from bench.workload.models import Workload

SCHEMA = "stackproof.bench-audit/v1"
AUDIT = "audit.json"
INTERRUPTED = "interrupted: nothing can be told of a load that was cut off"

Verdict = Literal["pass", "fail", "cannot tell"]
Number = float | int | bool | None
_GRAVITY: tuple[Verdict, ...] = ("pass", "cannot tell", "fail")


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """One failure fails the whole; of nothing, nothing can be told."""
    return max(verdicts, key=_GRAVITY.index, default="cannot tell")


class Subject(Frozen):
    """What is audited, and by which seeds: with the phases' files, all that `verify` needs."""

    workload: Workload
    seed: int = Field(description="Of the load and its prompts")
    audit_seed: int = Field(description="The evaluator's: which requests are looked at, and what the audit's own prompts are")
    sample: int | None = Field(default=None, ge=1, description="Requests to look at; null: what the audit finds enough")
    rounds: int = Field(default=4, ge=2, le=50, description="Times that phases to be compared are run, for audits that compare speeds")


class AskedAnswer(Frozen):
    """One request asked by itself, streamed or not; a further line of a phase's .jsonl."""

    index: int
    max_tokens: int
    pieces: tuple[str, ...] = Field(default=(), description="Visible text, a piece for each event that had some; one piece when not streamed")
    hidden_events: int = Field(default=0, description="Events with reasoning or tool calls only")
    after_finish: str = Field(default="", description="Content that came after the finish reason")
    finish_reason: str | None = None
    completion_tokens: int | None = None
    text_tokens: int | None = Field(default=None, description="Tokens a tokenizer finds in the text; null: not counted")
    end_marks: int | None = Field(default=None, description="Special tokens of the tokenizer that stand in the text, one at its very end left out")
    error: str = ""

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def ok(self) -> bool:
        return not self.error


class Ruling(Frozen):
    """What `verify` says: the numbers behind the verdict, and some of what speaks against the server."""

    verdict: Verdict
    reason: str
    figures: dict[str, Number] = Field(description="Interval bounds are named low_95 and high_95")
    notes: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()


class PhaseInfo(Frozen):
    """A phase that was run; its files begin with its name."""

    name: str
    kind: Literal["load", "ask"]


class AuditResult(Ruling):
    """One audit of one server."""

    schema_version: str = SCHEMA
    test: str
    title: str
    subject: Subject
    phases: tuple[PhaseInfo, ...]
    url: str
    started_at: datetime
    tool: ToolInfo
