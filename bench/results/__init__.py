"""From raw exchanges to published figures: decoding, samples, metrics, the verdict.

In: a spool. Out: two Parquet files, and a `Summary` that is a pure function of them.
"""
