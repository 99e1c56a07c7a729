"""Whether a result can be believed (pure)."""

from stack.hardware_profiles.profile.models import Group, Result, Status

OVER_PEAK = 1.05
"""Above this share of the peak something is wrong; the 5 % leave room for clocks above the one the peak was stated for."""

UNDER_PEAK = 0.30
"""Well-tuned kernels reach 60 to 95 % of a peak. Below this the part is not what it is taken for, throttled, or its kernel is missing."""

MOST_CV = 0.10
MOST_STEAL = 0.02
MOST_OTHERS = 0.05
"""Shares of the whole machine's CPU time. A load of 7 on 2 cores read 2.5 times low; a twentieth costs a few percent."""


def judge(result: Result) -> tuple[Status, str]:
    """Status and reason; the gravest fault wins. A status other than ok that was set by who measured it stays."""
    if result.status is not Status.OK:
        return result.status, result.reason
    faults = ((Status.INVALID, _wrong(result)), (Status.NOISY, _noise(result)), (Status.SUSPICIOUS, _low(result)))
    return next(((status, reason) for status, reason in faults if reason), (Status.OK, ""))


def _wrong(result: Result) -> str:
    if result.verified is False:
        return result.reason or "what was computed is wrong"
    if result.share_of_peak is not None and result.share_of_peak > OVER_PEAK:
        return f"{result.share_of_peak:.0%} of the peak: another product, a wrong peak, or a timing that missed the end of the work"
    return ""


def _low(result: Result) -> str:
    if result.share_of_peak is None or result.share_of_peak >= UNDER_PEAK:
        return ""
    return f"{result.share_of_peak:.0%} of the peak: throttled, another product, or a kernel that does not use the hardware"


def _noise(result: Result) -> str:
    # Latencies spread by nature; what others did to them is told by the shares alone.
    if result.work is not None and result.cv is not None and result.cv > MOST_CV:
        return _disturbed(result) or f"the repetitions vary by {result.cv:.0%} (limit {MOST_CV:.0%})"
    return _disturbed(result)


def _disturbed(result: Result) -> str:
    during = result.during
    if during is None:
        return ""
    # A hypervisor carries a guest's own disk traffic in time that the guest counts as stolen: 14 to 29 % while the disk was
    # measured, where products and memory on the same busy machine saw 0 to 2 %.
    stolen = during.steal_share if result.group is not Group.STORAGE else None
    if stolen is not None and stolen > MOST_STEAL:
        return f"the hypervisor took {stolen:.0%} of the CPU time (limit {MOST_STEAL:.0%})"
    if during.others_share is not None and during.others_share > MOST_OTHERS:
        return f"other processes used {during.others_share:.0%} of the CPU time (limit {MOST_OTHERS:.0%}): measure again on a quiet machine"
    if during.throttled_s:
        return f"the control group's CPU quota held threads back for {during.throttled_s:.2f} s"
    return ""
