"""A profile in words and rows, for the table and the page (pure)."""

from stack.hardware_profiles.profile.models import Profile, Result, Status

HEAD = ("result", "median", "best", "spread", "of peak", "verdict")
VERDICTS = {
    Status.OK: "ok",
    Status.SUSPICIOUS: "suspicious",
    Status.INVALID: "INVALID",
    Status.NOISY: "NOISY",
    Status.NOT_SUPPORTED: "not supported",
    Status.SKIPPED: "skipped",
}
TONES = {Status.OK: "good", Status.SUSPICIOUS: "warn", Status.INVALID: "bad", Status.NOISY: "warn"}


def rows(profile: Profile) -> list[tuple[str, str, str, str, str, str]]:
    return [
        (result.name, quantity(result.median, result.unit), quantity(result.best, result.unit), spread(result), share(result), word(result))
        for result in profile.results
    ]


def word(result: Result) -> str:
    return "ok, not checked" if result.status is Status.OK and result.verified is None else VERDICTS[result.status]


def reasons(profile: Profile) -> list[tuple[str, str]]:
    """Name and why its verdict is not plainly ok."""
    return [(result.name, result.reason) for result in profile.results if result.reason]


def quantity(value: float | None, unit: str) -> str:
    """Three to four digits and the unit; a dash for what was not measured."""
    if value is None:
        return "-"
    return f"{value:,.0f} {unit}" if value >= 1000 else f"{value:.4g} {unit}"


def spread(result: Result) -> str:
    if result.median is None:
        return "-"
    if result.work is None:
        return f"p99 {quantity(result.p99, result.unit)}, n={result.repetitions}"
    return (f"cv {result.cv:.1%}, " if result.cv is not None else "") + f"n={result.repetitions}"


def share(result: Result) -> str:
    if result.share_of_peak is None or result.peak is None:
        return "-" if result.median is None else "peak unknown"
    return f"{result.share_of_peak:.0%} of {quantity(result.peak.value, result.unit)} ({result.peak.kind})"


def place(result: Result) -> str:
    """Shape, threads and check of a result."""
    parts = [" x ".join(str(each) for each in result.shape)]
    if result.threads:
        parts.append(f"{result.threads} thread{'s' if result.threads > 1 else ''}")
    if result.note:
        parts.append(result.note)
    if result.energy is not None and result.energy.joules_per_unit is not None:
        parts.append(f"{result.energy.joules_per_unit * 1e12:.3g} pJ each ({result.energy.meter})")
    return ", ".join(part for part in parts if part)


def verdict(profile: Profile) -> str:
    """One line about the whole."""
    measured = sum(result.median is not None for result in profile.results)
    doubtful = len(profile.doubtful)
    first = f"{measured} results in {profile.seconds:.0f} s on {profile.device_name} ({profile.device})"
    end = "" if profile.complete else "; interrupted: the rest was not measured"
    return f"{first}, {doubtful} of them not to be quoted{end}" if doubtful else f"{first}{end}"
