"""Processors, caches and NUMA nodes from /proc and sysfs (edge)."""

import platform
from collections import Counter

from stack.hardware_profiles import cgroup
from stack.hardware_profiles.inventory import Cache, Cpu, NumaNode
from stack.hardware_profiles.tree import Tree, UnreadableError, as_integer, parse_cpu_list, parse_size, printable

# What decides the data types and kernels of CPU inference: vector width, bf16 and fp16 arithmetic, int8 dot products, tile units.
ISA_OF_INTEREST = frozenset(
    (
        *("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx_vnni_int8", "avx_vnni_int16", "avx_ne_convert", "avx_ifma", "avx10"),
        *("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512cd", "avx512ifma", "avx512vbmi", "avx512_vbmi2", "avx512_bitalg"),
        *("avx512_vnni", "avx512_bf16", "avx512_fp16", "avx512_vpopcntdq", "avx512_vp2intersect"),
        *("amx_tile", "amx_bf16", "amx_int8", "amx_fp16", "amx_complex"),
        *("asimd", "asimddp", "asimdhp", "asimdfhm", "fphp", "bf16", "i8mm", "f8mm4", "f8mm8"),
        *("sve", "sve2", "sve2p1", "svebf16", "svei8mm", "svef32mm", "sme", "sme2", "smei8i32", "smeb16f32"),
    )
)
CPU = "sys/devices/system/cpu"
NODES = "sys/devices/system/node"
MAX_NODES = 1 << 10  # Linux' own largest (NODES_SHIFT)


def read_cpu(tree: Tree) -> Cpu:
    # A file that cannot be read fails its probe once; the fields drawn from it then say the same.
    info = tree.attempt("cpu.cpuinfo", lambda: _cpuinfo(tree)) or {}
    online = tree.attempt("cpu.logical_cores", lambda: _cpus(tree, f"{CPU}/online"))
    cpus = sorted(online or ())
    return Cpu(
        model=tree.attempt("cpu.model", lambda: _model(info)),
        architecture=platform.machine(),
        sockets=tree.attempt("cpu.sockets", lambda: len({tree.integer(f"{CPU}/cpu{n}/topology/physical_package_id") for n in _some(cpus)})),
        physical_cores=tree.attempt("cpu.physical_cores", lambda: len({_siblings(tree, n) for n in _some(cpus)})),
        logical_cores=len(online) if online else None,
        allowed_cores=tree.attempt("cpu.allowed_cores", lambda: _allowed(tree)),
        limit_cores=tree.attempt("cpu.limit_cores", lambda: cgroup.cpu_limit(tree)),
        isa=tree.attempt("cpu.isa", lambda: _isa(info)) or (),
        caches=tree.attempt("cpu.caches", lambda: _caches(tree, _some(cpus))) or (),
        numa_nodes=tree.attempt("cpu.numa_nodes", lambda: len(_cpus(tree, f"{NODES}/online"))),
        virtualized=tree.attempt("cpu.virtualized", lambda: _virtualized(info)),
        nodes=_nodes(tree),
        governor=tree.attempt("cpu.governor", lambda: _governor(tree, _some(cpus))),
        max_mhz=tree.attempt("cpu.max_mhz", lambda: _max_khz(tree, _some(cpus)) / 1000),
    )


def _nodes(tree: Tree) -> tuple[NumaNode, ...]:
    """NUMA nodes with their processors and memory; each value fails alone."""
    numbers = tree.attempt("cpu.nodes", lambda: _node_numbers(tree)) or []
    return tuple(_node(tree, number) for number in numbers)


def _node_numbers(tree: Tree) -> list[int]:
    numbers = sorted(_cpus(tree, f"{NODES}/online"))
    if len(numbers) > MAX_NODES:
        raise UnreadableError(f"/{NODES}/online lists {len(numbers)} nodes, more than Linux has")
    return numbers


def _node(tree: Tree, number: int) -> NumaNode:
    where, probe = f"{NODES}/node{number}", f"cpu.nodes.{number}"
    return NumaNode(
        node=number,
        cpus=tree.attempt(f"{probe}.cpus", lambda: _cpu_count(tree, f"{where}/cpulist")),
        memory_bytes=tree.attempt(f"{probe}.memory_bytes", lambda: _node_memory(tree, f"{where}/meminfo")),
    )


def _cpu_count(tree: Tree, where: str) -> int:
    """A node of memory alone has an empty list."""
    return len(parse_cpu_list(text, where=f"/{where}")) if (text := printable(tree.read(where).decode(errors="replace"))) else 0


def _node_memory(tree: Tree, where: str) -> int:
    """Of the line `Node 0 MemTotal:  24653284 kB`."""
    for line in tree.text(where).splitlines():
        row = line.split()
        if len(row) == 5 and row[2] == "MemTotal:" and row[4] == "kB":
            return as_integer(row[3], where=f"/{where}") * 1024
    raise UnreadableError(f"/{where} has no MemTotal in kB")


def _governor(tree: Tree, cpus: list[int]) -> str:
    """A virtual machine's processor has none: its host sets the frequency."""
    return ",".join(sorted({tree.line(f"{CPU}/cpu{number}/cpufreq/scaling_governor") for number in cpus}))


def _max_khz(tree: Tree, cpus: list[int]) -> int:
    return max(tree.integer(f"{CPU}/cpu{number}/cpufreq/cpuinfo_max_freq") for number in cpus)


def _cpuinfo(tree: Tree) -> dict[str, str]:
    """The fields of the first processor; the others repeat them."""
    found: dict[str, str] = {}
    for line in tree.text("proc/cpuinfo").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            found.setdefault(key.strip(), value.strip())
    return found


def _model(info: dict[str, str]) -> str:
    if named := info.get("model name") or info.get("cpu model"):
        return named
    # Arm gives numbers; naming them needs a table that would go stale.
    implementer, part = info.get("CPU implementer"), info.get("CPU part")
    if implementer and part:
        return f"Arm implementer {implementer} part {part}"
    raise UnreadableError("/proc/cpuinfo names no model")


def _isa(info: dict[str, str]) -> tuple[str, ...]:
    flags = info.get("flags") or info.get("Features")
    if not flags:
        raise UnreadableError("/proc/cpuinfo lists no flags")
    return tuple(sorted(ISA_OF_INTEREST.intersection(flags.split())))


def _virtualized(info: dict[str, str]) -> bool:
    """x86 hypervisors show themselves by a CPUID bit; other architectures have no such bit."""
    if "flags" not in info:
        raise UnreadableError("this architecture has no flag for it")
    return "hypervisor" in info["flags"].split()


def _cpus(tree: Tree, where: str) -> set[int]:
    return parse_cpu_list(tree.line(where), where=f"/{where}")


def _allowed(tree: Tree) -> int:
    for line in tree.text("proc/self/status").splitlines():
        key, _, value = line.partition(":")
        if key == "Cpus_allowed_list":
            return len(parse_cpu_list(value, where="/proc/self/status"))
    raise UnreadableError("/proc/self/status has no Cpus_allowed_list")


def _some(cpus: list[int]) -> list[int]:
    if not cpus:
        raise UnreadableError("the list of processors could not be read")
    return cpus


def _siblings(tree: Tree, number: int) -> str:
    """The threads of one core, as the kernel lists them: equal for exactly those threads."""
    topology = f"{CPU}/cpu{number}/topology"
    # `thread_siblings_list` is the name before Linux 5.5.
    name = "core_cpus_list" if tree.exists(f"{topology}/core_cpus_list") else "thread_siblings_list"
    return tree.line(f"{topology}/{name}")


def _caches(tree: Tree, cpus: list[int]) -> tuple[Cache, ...]:
    """Each distinct set of CPUs that share a cache is one instance of it."""
    seen: set[tuple[int, str, int | None, str]] = set()
    for number in cpus:
        folder = f"{CPU}/cpu{number}/cache"
        for index in (name for name in tree.names(folder) if name.startswith("index")):
            where = f"{folder}/{index}"
            size = parse_size(tree.line(f"{where}/size"), where=f"/{where}/size") if tree.exists(f"{where}/size") else None
            shared = tree.line(f"{where}/shared_cpu_list") if tree.exists(f"{where}/shared_cpu_list") else str(number)
            seen.add((tree.integer(f"{where}/level"), tree.line(f"{where}/type").lower(), size, shared))
    counted = Counter((level, kind, size) for level, kind, size, _shared in seen)
    ordered = sorted(counted.items(), key=lambda item: (item[0][0], item[0][1], item[0][2] or 0))
    return tuple(Cache(level=level, kind=kind, size_bytes=size, instances=count) for (level, kind, size), count in ordered)
