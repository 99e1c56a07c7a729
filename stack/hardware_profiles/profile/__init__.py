"""Layer (i)(A): what the hardware really does.

In: torch, two processes of our own, a folder on the disk to measure, NVML and /proc for the state of the machine. Out: a frozen
`Profile` whose every result has its repetitions, its check, its peak and a verdict, and the evidence record made of it. It must never
show a figure that it could not check as checked, measure a cache as memory or as a disk, or leave a process or a file behind.
"""

from stack.hardware_profiles.profile.errors import ProfileError
from stack.hardware_profiles.profile.files import load_profile
from stack.hardware_profiles.profile.models import Group, Profile, Result, Status
from stack.hardware_profiles.profile.run import Settings, run_profile

__all__ = ["Group", "Profile", "ProfileError", "Result", "Settings", "Status", "load_profile", "run_profile"]
