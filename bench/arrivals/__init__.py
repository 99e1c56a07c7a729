"""When open-loop requests are due: schedules drawn from a seed, rates that change, recorded traces.

In: the arrivals of a `Workload`. Out: `plan_arrivals`, the intended time of every request before the first is sent, and `read_trace`.
"""
