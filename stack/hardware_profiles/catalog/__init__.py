"""What accelerators do on paper: one YAML file each, with a source per figure.

In: the files under `data/`, or one of a stranger. Out: frozen entries, the entry that an inventory's accelerator is, and findings
about figures that cannot be right. It never measures, never guesses between variants, and never fills in an unknown.
"""

from stack.hardware_profiles.catalog.check import Finding, check
from stack.hardware_profiles.catalog.compare import Report, check_entry, compare
from stack.hardware_profiles.catalog.cpu import CpuPeak, cpu_peak
from stack.hardware_profiles.catalog.files import CatalogError, find_name, load_catalog, parse_entry, read_entry
from stack.hardware_profiles.catalog.match import Match, find_entry, match
from stack.hardware_profiles.catalog.models import AchievedGemm, DataType, Entry, Interconnect, Power, Published, Stated, UnusualRatio

__all__ = [
    "AchievedGemm",
    "CatalogError",
    "CpuPeak",
    "DataType",
    "Entry",
    "Finding",
    "Interconnect",
    "Match",
    "Power",
    "Published",
    "Report",
    "Stated",
    "UnusualRatio",
    "check",
    "check_entry",
    "compare",
    "cpu_peak",
    "find_entry",
    "find_name",
    "load_catalog",
    "match",
    "parse_entry",
    "read_entry",
]
