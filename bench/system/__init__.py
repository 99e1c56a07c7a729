"""The system under test while a run lasts: the engine's metrics, the host, accelerators, energy, and the prefix cache.

In: the address of the engine's Prometheus page and what this host can tell of itself, asked once a second by a process of its own.
Out: system.parquet beside the samples of the run, and a `SystemView` that is a pure function of it and of them. It must never
disturb, delay or end a run; show telemetry of this host as the server's when the server is elsewhere; or fill in what it could not read.
"""
