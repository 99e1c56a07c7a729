"""A workload in a few words, for tables and pages (pure functions)."""

from bench.workload.arrivals import Arrivals, Concurrency, ConcurrencySteps, Constant, Gamma, Poisson, Ramp, Steps
from bench.workload.lengths import Length, LogNormal, Uniform
from bench.workload.models import Stop
from bench.workload.prompts import JsonLines, Prompts, Sessions, ShareGpt, Synthetic, TextPrompt, TextsPrompts


def arrivals_in_words(arrivals: Arrivals) -> str:
    """As in `Poisson, 3 requests/s`."""
    match arrivals:
        case Concurrency():
            words = f"{arrivals.streams} streams"
        case ConcurrencySteps():
            words = " to ".join(str(step.streams) for step in arrivals.steps) + " streams in steps"
        case Constant():
            words = f"constant, {arrivals.rate:g} requests/s"
        case Poisson():
            words = f"Poisson, {arrivals.rate:g} requests/s"
        case Gamma():
            words = f"gamma of shape {arrivals.shape:g}, {arrivals.rate:g} requests/s"
        case Steps():
            words = f"{arrivals.spacing}, " + " to ".join(f"{step.rate:g}" for step in arrivals.steps) + " requests/s in steps"
        case Ramp():
            words = f"{arrivals.spacing}, {arrivals.from_rate:g} to {arrivals.to_rate:g} requests/s over {arrivals.duration_s:g} s"
        case _:
            words = f"trace {arrivals.file.name} at {arrivals.speedup:g} times its speed"
    cap = getattr(arrivals, "max_in_flight", None)
    return words + (f", at most {cap} in flight" if cap else "")


def prompts_in_words(prompts: Prompts) -> str:
    """As in `8 texts, exactly 64 tokens`."""
    match prompts:
        case TextPrompt():
            what = "1 text"
        case TextsPrompts():
            what = f"{len(prompts.texts)} texts"
        case Synthetic():
            what = f"{length_in_words(prompts.input_tokens)} synthetic tokens"
        case Sessions():
            what = f"sessions of {length_in_words(prompts.turns)} turns"
        case JsonLines() | ShareGpt():
            what = prompts.file.name
        case _:
            return "lengths of the trace"
    return f"{what}, {'exactly' if prompts.ignore_eos else 'up to'} {length_in_words(prompts.max_tokens)} tokens"


def length_in_words(length: Length) -> str:
    """As in `64`, `16 to 64`, `about 100`."""
    match length:
        case Uniform():
            return f"{length.min} to {length.max}"
        case LogNormal():
            return f"about {length.median:g}"
        case _:
            return str(length)


def stop_in_words(stop: Stop) -> str:
    """As in `256 requests or 60 s`."""
    ends = [f"{stop.requests} requests"] if stop.requests is not None else []
    ends += [f"{stop.duration_s:g} s"] if stop.duration_s is not None else []
    ends += [f"{stop.precision.metric} within {stop.precision.relative_half_width:.0%}"] if stop.precision is not None else []
    return " or ".join(ends) or "the end of the arrivals"
