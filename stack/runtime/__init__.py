"""What every layer stands on and none of them owns: errors, files, child processes, ports, progress.

In: paths, command lines, callables. Out: the same, made safe: atomic writes, children that cannot
outlive their parent, one line per error. It knows nothing of models, evidence or benchmarks and
imports no other layer.
"""
