"""Pure functions on numbers: percentiles and what can be certified of them, intervals, steady state. No I/O, no models of a run."""
