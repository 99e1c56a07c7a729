"""A watch made by hand: readings at round moments, written and read as a real one's."""

from pathlib import Path

from bench.results.files import SYSTEM
from bench.system.readings import Line, Reading, Source, Writer, labels_text
from bench.system.table import SystemTable, read_table, write_table

S = 1_000_000_000
ENGINE = {"engine": "0", "model_name": "mock"}

Sample = tuple[float, Source, dict[str, float]]


def counters(requests: int = 0, *, ttft_s: float = 0.0, itl_s: float = 0.0, e2e_s: float = 0.0, **more: float) -> dict[str, float]:
    """What the engine's page says after `requests` answers of 5 tokens with these means."""
    return {
        "num_requests_running": 0,
        "num_requests_waiting": 0,
        "request_success_total": requests,
        "time_to_first_token_seconds_sum": ttft_s * requests,
        "time_to_first_token_seconds_count": requests,
        "inter_token_latency_seconds_sum": itl_s * requests * 4,
        "inter_token_latency_seconds_count": requests * 4,
        "e2e_request_latency_seconds_sum": e2e_s * requests,
        "e2e_request_latency_seconds_count": requests,
        **more,
    }


def watch(
    folder: Path, *samples: Sample, same_host: bool | None = True, labels: dict[str, str] | None = None, failed: dict[Source, str] | None = None
) -> SystemTable:
    """Write system.parquet from (second, source, values) and read it back; the run it belongs to starts at 0."""
    path = folder / "samples.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        writer = Writer(stream)
        writer.about(same_host=same_host, every_s=1.0, metrics_url="http://127.0.0.1:1/metrics")
        for source, why in (failed or {}).items():
            writer.write(Line(0, source, failed=why))
        for second, source, values in samples:
            text = labels_text(labels if labels is not None else ENGINE if source == "engine" else {})
            writer.write(Line(round(second * S), source, tuple(Reading(name, text, value) for name, value in values.items())))
    write_table(path, folder, started_ns=0)
    return read_table(folder / SYSTEM)
