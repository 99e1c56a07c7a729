"""GFLOP/s of a linear layer of the demo model's shape in float32 and bfloat16, on one thread: `python benchmarks/gemm_dtypes.py`."""

import platform
import sys
import time

import torch

IN, OUT = 576, 1536  # hidden and intermediate size of SmolLM2-135M
ROWS = (1, 8, 16, 256)
LEAST_S = 0.5


def gflops(rows: int, dtype: torch.dtype) -> float:
    """Best of the calls in half a second, after three to warm up."""
    layer, inputs = torch.nn.Linear(IN, OUT, bias=False).to(dtype), torch.randn(rows, IN).to(dtype)
    best = float("inf")
    with torch.no_grad():
        for _ in range(3):
            layer(inputs)
        end = time.perf_counter() + LEAST_S
        while time.perf_counter() < end:
            started = time.perf_counter()
            layer(inputs)
            best = min(best, time.perf_counter() - started)
    return 2 * rows * IN * OUT / best / 1e9


def main() -> None:
    torch.set_num_threads(1)
    print(f"{' '.join(sys.argv)}: torch {torch.__version__} on {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}")
    for rows in ROWS:
        single, half = gflops(rows, torch.float32), gflops(rows, torch.bfloat16)
        print(f"{rows:4d} rows: float32 {single:7.1f} GFLOP/s, bfloat16 {half:7.1f} GFLOP/s, ratio {single / half:.1f}")


if __name__ == "__main__":
    main()
