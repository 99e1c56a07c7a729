"""Texts as vectors: hashed character n-grams of our own, or an OpenAI-compatible endpoint."""

import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

import httpx
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from stack.pipelines.base import Frozen
from stack.pipelines.dedup.shingles import shingle_hashes
from stack.pipelines.errors import PipelineError
from stack.serving.chat import read_key
from stack.serving.trust import trusting, why_distrusted

DIMENSIONS = 1024
GRAM = 4
INPUTS = 64
ATTEMPTS = 4
TIMEOUT_S = 60.0
WORTH_TRYING_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class Embedder(Frozen):
    """Fields of a stage or labeler that compares texts as vectors."""

    embedder: Literal["hashing", "endpoint"] = Field(default="hashing", description="TF-IDF of character n-grams (knows spelling), or an endpoint's model")
    url: str | None = Field(default=None, description="Endpoint without /v1, for `endpoint`")
    model: str | None = Field(default=None, description="The endpoint's embedding model")
    api_key_file: str | None = Field(default=None, description="File with the endpoint's key, beside the pipeline")
    ca_file: str | None = Field(default=None, description="PEM certificates to trust for https instead of the public authorities', beside the pipeline")

    @model_validator(mode="after")
    def _endpoint_is_named(self) -> Self:
        if self.embedder == "endpoint" and not (self.url and self.model):
            raise ValueError("embedder endpoint needs `url` and `model`")
        return self

    def ask_endpoint(self, texts: Sequence[str], folder: Path) -> NDArray[np.int8]:
        """[texts, width] from the endpoint; `folder` is the pipeline file's. ServingError when the key or the certificates cannot be read."""
        key, authority = (None if name is None else folder / name for name in (self.api_key_file, self.ca_file))
        return endpoint_vectors(texts, url=str(self.url), model=str(self.model), api_key=read_key(key), tls=trusting(authority))


def hashed_counts(texts: Sequence[str]) -> NDArray[np.uint8]:
    """[texts, 1024]: how often n-grams of 4 characters fall into each bucket, at most 255. A bucket is the hash modulo 1024."""
    hashes, offsets = shingle_hashes(texts, "characters", GRAM)
    counts = np.zeros((len(texts), DIMENSIONS), np.uint8)
    for row in range(len(texts)):
        bucket = (hashes[offsets[row] : offsets[row + 1]] % np.uint64(DIMENSIONS)).astype(np.int64)
        counts[row] = np.minimum(np.bincount(bucket, minlength=DIMENSIONS), 255)
    return counts


def tf_idf(counts: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Weights (1 + log tf) * (1 + log((1 + N) / (1 + df))), each row scaled to whole numbers in -127..127."""
    df = np.count_nonzero(counts, axis=0)
    idf = 1 + np.log((1 + len(counts)) / (1 + df))
    found = np.empty(counts.shape, np.int8)
    for start in range(0, len(counts), INPUTS * INPUTS):
        part = counts[start : start + INPUTS * INPUTS].astype(np.float64)
        weights = np.where(part > 0, 1 + np.log(np.maximum(part, 1)), 0) * idf
        found[start : start + len(part)] = whole_numbers(weights)
    return found


def whole_numbers(vectors: NDArray[np.float64]) -> NDArray[np.int8]:
    """Each row scaled so that its largest weight is 127: cosines stay within about 0.001, and their sums are exact on any machine."""
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0)
    return np.rint(vectors * (127 / np.where(largest > 0, largest, 1))).astype(np.int8)


def endpoint_vectors(texts: Sequence[str], *, url: str, model: str, api_key: str | None, tls: ssl.SSLContext | None = None) -> NDArray[np.int8]:
    """[texts, dimensions] from POST {url}/v1/embeddings, 64 texts a request."""
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    rows: list[list[float]] = []
    with httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=TIMEOUT_S, verify=tls or True) as client:
        for start in range(0, len(texts), INPUTS):
            part = list(texts[start : start + INPUTS])
            answer = _post(client, {"model": model, "input": part})
            try:
                data = sorted(answer.json()["data"], key=lambda item: item["index"])
                rows += [item["embedding"] for item in data]
                vectors = np.array(rows, np.float64)
                if not np.isfinite(vectors).all():
                    raise ValueError("a number that is not finite")
            except (ValueError, KeyError, TypeError) as fault:
                raise PipelineError(f"field `url`: {url}/v1/embeddings gave no list of embeddings of one length ({fault})") from fault
            if len(rows) != start + len(part):
                raise PipelineError(f"field `url`: {url}/v1/embeddings gave {len(data)} embeddings for {len(part)} texts")
    return whole_numbers(vectors) if rows else np.zeros((0, 1), np.int8)


def _post(client: httpx.Client, body: dict[str, object]) -> httpx.Response:
    told = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(2.0 ** (attempt - 1))
        try:
            answer = client.post("/v1/embeddings", json=body)
        except httpx.HTTPError as fault:
            distrust = why_distrusted(fault)
            told = distrust or str(fault) or type(fault).__name__
            if distrust:
                break
            continue
        if answer.status_code == httpx.codes.OK:
            return answer
        told = f"HTTP {answer.status_code}"
        if answer.status_code not in WORTH_TRYING_AGAIN:
            break
    raise PipelineError(f"field `url`: {client.base_url}/v1/embeddings did not answer: {told}")
