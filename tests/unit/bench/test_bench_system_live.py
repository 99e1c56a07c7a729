from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from bench.load.progress import Progress
from bench.system.live import LiveMetrics
from bench.system.protocol import Options, progress_line
from bench.system.readings import Line

COUNT = st.integers(0, 10**15)


def value(live: LiveMetrics, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(live)
    return registry.get_sample_value(f"stackproof_bench_{name}", labels)


@given(sent=COUNT, over=COUNT, failed=COUNT, in_flight=COUNT, read=COUNT)
def test_progress_arrives_as_it_was_told(sent: int, over: int, failed: int, in_flight: int, read: int) -> None:
    live = LiveMetrics()
    line = progress_line(Progress(elapsed_s=1.5, sent=sent, over=over + failed, failed=failed, in_flight=in_flight, bytes_read=read))
    assert len(line) < 512  # a pipe takes so much in one piece on any system
    live.heard(line.rstrip(b"\n"))
    found = [value(live, f"requests_{name}") for name in ("sent_total", "ok_total", "failed_total", "in_flight")]
    assert found == [sent, over, failed, in_flight]
    assert (value(live, "bytes_read_total"), value(live, "elapsed_seconds")) == (read, 1.5)


@given(st.binary())
def test_a_line_that_is_not_progress_is_passed_over(line: bytes) -> None:
    live = LiveMetrics()
    live.heard(b"1 1 0 10 0 0.5")
    if len(line.split()) != 6:
        live.heard(line)
    assert value(live, "requests_sent_total") == 1


def test_samples_are_counted_by_source_and_result() -> None:
    live = LiveMetrics()
    live.sampled(Line(0, "engine"))
    live.sampled(Line(0, "engine", failed="HTTP 404"))
    live.sampled(Line(0, "engine"))
    assert value(live, "system_samples_total", source="engine", result="read") == 2
    assert value(live, "system_samples_total", source="engine", result="failed") == 1


def test_nothing_is_claimed_of_the_load_generator_before_it_said_anything() -> None:
    assert value(LiveMetrics(), "progress_age_seconds") is None


def test_options_survive_the_command_line_and_hold_no_key() -> None:
    options = Options("s", "p", 0.5, "http://h/metrics", "/key", None, "h", 9000)
    assert Options.from_json(options.to_json()) == options
