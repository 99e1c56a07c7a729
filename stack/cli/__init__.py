"""The command line: one thin module per command group, no logic.

In: arguments. Out: results on stdout (`--json` for machines), progress and errors on stderr, exit
status 0 done, 1 the thing checked did not hold, 2 bad usage or input, 130 interrupted. Layers are
imported inside the commands, so that `--help` loads neither torch nor ray nor vllm.
"""
