"""Pure functions on numbers: percentiles and what can be certified of them, intervals, steady state. No I/O, no models of a run.

`percentiles`: values and distribution-free intervals; `early_stopping`: MLPerf's bounds; `proportion`: Wilson and Newcombe; `means`:
Student's t and Welch; `batches`: batch means and level shifts; `bootstrap`: dependent series; `special`: what they stand on.
"""
