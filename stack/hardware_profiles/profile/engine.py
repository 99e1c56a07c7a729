"""Which libraries compute, and what in the environment changes them (edge)."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from stack.hardware_profiles.profile.models import Engine

NUMERICAL = re.compile(r"(openblas|mkl|blis|dnnl|onednn|gomp|iomp|libomp|cublas|cudnn|nccl|rocblas|hipblas|acl)", re.IGNORECASE)
SETTINGS = re.compile(r"^(OPENBLAS_|MKL_|OMP_|DNNL_|ONEDNN_|KMP_|GOMP_|BLIS_|ATEN_CPU_CAPABILITY$|CUDA_VISIBLE_DEVICES$|NVIDIA_TF32_OVERRIDE$)")
HARMLESS = frozenset({"CUDA_VISIBLE_DEVICES"})


def engine(*, with_torch: bool) -> Engine:
    """Call it after the measurement: the libraries are those loaded by then."""
    torch_version = blas = capability = None
    if with_torch:
        import torch

        torch_version = str(torch.__version__)
        found = re.search(r"BLAS_INFO=([^,\s]+)", torch.__config__.show())
        blas = found[1] if found else None
        capability = str(torch.backends.cpu.get_cpu_capability())
    return Engine(torch=torch_version, blas=blas, cpu_capability=capability, libraries=loaded(), environment=settings(os.environ))


def loaded(maps: Path = Path("/proc/self/maps")) -> tuple[str, ...]:
    """Numerical libraries mapped into this process, by file name."""
    try:
        lines = maps.read_text().splitlines()
    except OSError:
        return ()
    names = {Path(line.split(maxsplit=5)[5]).name for line in lines if len(line.split(maxsplit=5)) == 6}
    return tuple(sorted(name for name in names if ".so" in name and NUMERICAL.search(name)))


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in sorted(environment.items()) if SETTINGS.match(name)}


def warnings(found: Mapping[str, str]) -> list[str]:
    """Each setting that changes kernels or threads, told once."""
    return [f"{name}={value} is set and changes kernels or threads: unset it to measure the machine" for name, value in found.items() if name not in HARMLESS]
