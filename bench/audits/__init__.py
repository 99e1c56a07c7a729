"""MLPerf's audits in a form for language models: does the server cheat, or is something between it and us in the way?

In: a workload, or a run that kept its text, and the same server. Out: pass, fail or cannot tell, with the numbers, every answer it
rests on, and an evidence record. One module an audit: `plan_runs` says what to run, `verify` is a pure function of what came of it.
An audit must never use the figures of one as a measurement of speed.
"""

from bench.audits.agreement import SameAnswers
from bench.audits.caching import NoCaching
from bench.audits.lengths import ReferenceLengths
from bench.audits.models import AuditResult, Ruling, Subject, Verdict
from bench.audits.protocol import AuditTest
from bench.audits.streams import TrueStreams

TESTS: dict[str, AuditTest] = {test.name: test for test in (SameAnswers(), NoCaching(), TrueStreams(), ReferenceLengths())}

__all__ = ["TESTS", "AuditResult", "AuditTest", "Ruling", "Subject", "Verdict"]
