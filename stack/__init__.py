"""stackproof: deploys a full AI stack, measures it, and proves what it measured.

Layers import one way: cli -> proposal -> {apps, pipelines, security, bench} -> serving ->
hardware_profiles -> evidence -> runtime. `docs/architecture.md` has the drawing.
"""
