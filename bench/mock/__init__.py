"""A reference server that knows the truth: it streams at set times and logs when it really did (`python -m bench.mock`)."""
