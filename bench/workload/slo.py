"""Service levels, and the named ones of MLPerf (models)."""

from typing import Self

from pydantic import Field, model_validator

from bench.frozen import Frozen


class Slo(Frozen):
    """The service level one request must meet to count as good."""

    ttft_ms: float | None = Field(default=None, gt=0)
    tpot_ms: float | None = Field(default=None, gt=0)
    e2e_ms: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.ttft_ms is None and self.tpot_ms is None and self.e2e_ms is None:
            raise ValueError("give ttft_ms, tpot_ms, e2e_ms or several of them")
        return self


# Published: mlcommons/inference, loadgen/mlperf.conf (v6.1), server and interactive scenarios; p99 of each.
PRESETS = {
    "mlperf-llama2-70b-server": Slo(ttft_ms=2000, tpot_ms=200),
    "mlperf-llama2-70b-interactive": Slo(ttft_ms=450, tpot_ms=40),
    "mlperf-llama3.1-405b-server": Slo(ttft_ms=6000, tpot_ms=175),
    "mlperf-llama3.1-405b-interactive": Slo(ttft_ms=4500, tpot_ms=80),
    "mlperf-llama3.1-8b-server": Slo(ttft_ms=2000, tpot_ms=100),
    "mlperf-llama3.1-8b-interactive": Slo(ttft_ms=500, tpot_ms=30),
    "mlperf-deepseek-r1-server": Slo(ttft_ms=2000, tpot_ms=80),
    "mlperf-deepseek-r1-interactive": Slo(ttft_ms=1500, tpot_ms=15),
    "mlperf-gpt-oss-120b-server": Slo(ttft_ms=3000, tpot_ms=80),
    "mlperf-gpt-oss-120b-interactive": Slo(ttft_ms=2000, tpot_ms=15),
}
