"""Whether a run may be quoted, and whether its endpoint can be used at all (pure functions)."""

from collections.abc import Sequence

from bench.results.summary import Metric, State
from bench.results.validity import CPU_SHARE, MEAN_FLOOR_MS, P99_FLOOR_MS, SHARE
from bench.users.summary import Counts, WorkerHealth

GIVE_UP_AFTER = 8
"""When so many first requests (or one of each user, where there are fewer) are turned away, the run ends."""

MENDS = {
    "http_401": "pass the gateway's key with --api-key-file",
    "http_403": "the key of --api-key-file may not do this",
    "http_404": "check --url and --model",
    "refused": "check that the server runs and --url",
}


def is_rejection(status: str, detail: str) -> bool:
    """Whether a user can mend it: the server is not there, wants another request, or does not stream. 429 asks only for patience."""
    return status == "refused" or (status.startswith("http_4") and status != "http_429") or (status == "malformed" and "does not stream" in detail)


def rejection(statuses: Sequence[str], details: Sequence[str]) -> str | None:
    """One line with the mend where the endpoint took none of the requests; None where it took one, or none was over."""
    failed = [(status, detail) for status, detail in zip(statuses, details, strict=True) if status != "cancelled"]
    if not failed or not all(is_rejection(*each) for each in failed):
        return None
    status, detail = failed[0]
    said = " ".join(detail.split())
    mend = MENDS.get(status)
    return f"all requests failed ({status})" + (f": {mend}" if mend else "") + (f" [{said}]" if said and mend else f": {said}" if said else "")


def invalid_reasons(counts: Counts, workers: Sequence[WorkerHealth], *, lost: Sequence[str], state: State, ttft_ms: Metric) -> list[str]:
    """One line for each reason why the figures must not be quoted; the limits are those of bench/results/validity.py, for each worker."""
    reasons = []
    if state != "complete":
        why = "interrupted" if state == "interrupted" else "given up, since none of the first requests was answered"
        reasons.append(f"{why}: {counts.ok + counts.failed} requests were over, {counts.cancelled} were cancelled")
    if counts.ok == 0:
        reasons.append("no request succeeded")
    reasons += [f"worker {name} was lost, and its users with it" for name in lost]
    mean_limit_ms = max(MEAN_FLOOR_MS, SHARE * (ttft_ms.mean or 0))
    p99_limit_ms = max(P99_FLOOR_MS, SHARE * (ttft_ms.p99 or 0))
    for each in workers:
        where = f"client-bound: worker {each.worker}"
        if each.cpu_share > CPU_SHARE:
            reasons.append(f"{where} used {each.cpu_share:.0%} of a core (limit {CPU_SHARE:.0%})")
        if each.loop_lag_ms_mean is not None and each.loop_lag_ms_mean > mean_limit_ms:
            reasons.append(f"{where}: mean event-loop lag {each.loop_lag_ms_mean:.2f} ms (limit {mean_limit_ms:.2f} ms)")
        elif each.loop_lag_ms_p99 is not None and each.loop_lag_ms_p99 > p99_limit_ms:
            reasons.append(f"{where}: p99 event-loop lag {each.loop_lag_ms_p99:.1f} ms (limit {p99_limit_ms:.1f} ms)")
    return reasons
