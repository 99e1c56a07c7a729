"""Whether the tokens a server says it sent are the tokens that arrived (pure function)."""

import numpy as np

from bench.results.columns import ONE_TOKEN_A_CHUNK, Bools, Floats, View
from bench.results.summary import TokenCheck

LIMIT = 0.01
"""A larger share of tokens that differ is a mismatch."""

_MAYBE_FEWER = "; a text may tokenise to fewer tokens than it was generated with"


def token_check(view: View) -> TokenCheck:
    """Sum the server's completion tokens against the tokens of the text where they were counted, else against content events.

    A token that ends an answer (finish reason `stop`) is in the usage of some servers and never in the stream: up to one a stopped
    answer is no mismatch.
    """
    columns = view.columns
    reported = view.ok & ~np.isnan(columns.output_tokens)
    in_text = reported & ~np.isnan(columns.text_tokens)
    per_chunk = view.tokens_per_chunk()
    if in_text.any():
        return _compare(view, in_text, columns.text_tokens, by="text")
    if per_chunk is not None and per_chunk <= ONE_TOKEN_A_CHUNK:
        return _compare(view, reported & (columns.chunks > 0), columns.chunks, by="chunks")
    why = "the server sent no usage block" if per_chunk is None else f"chunks carry {per_chunk:.2f} tokens and no tokenizer was given"
    return TokenCheck(note=f"not checked: {why}")


def _compare(view: View, counted: Bools, arrived: Floats, *, by: str) -> TokenCheck:
    columns = view.columns
    usage, received = int(columns.output_tokens[counted].sum()), int(arrived[counted].sum())
    stopped = int((columns.finish_reason[counted] == "stop").sum())
    apart = max(received - usage, usage - received - stopped, 0)
    mismatch = apart / max(usage, 1)
    found = f"usage says {usage} tokens, the {'tokenizer finds' if by == 'text' else 'stream had'} {received}{' content events' if by == 'chunks' else ''}"
    return TokenCheck(
        by="text" if by == "text" else "chunks",
        requests=int(counted.sum()),
        usage_tokens=usage,
        received_tokens=received,
        mismatch=mismatch,
        agrees=mismatch <= LIMIT,
        note="" if mismatch <= LIMIT else f"{found}: {mismatch:.1%} differ (limit {LIMIT:.0%}){_MAYBE_FEWER if by == 'text' and received < usage else ''}",
    )
