"""The chat endpoint that labelers ask (edge): found and tried once before anything is labeled."""

from dataclasses import dataclass
from pathlib import Path

import httpx

from stack.pipelines.errors import PipelineError
from stack.serving.chat import read_key
from stack.serving.trust import trusting, why_distrusted

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class ChatEndpoint:
    """Where to ask, as whom, and whose certificates to trust. The key itself is read where it is used: it never travels in a task, a log or a file of ours."""

    url: str
    model: str
    api_key_file: Path | None = None
    ca_file: Path | None = None


def find_endpoint(url: str, *, api_key_file: Path | None = None, ca_file: Path | None = None, model: str | None = None) -> ChatEndpoint:
    """Ask the server for its models; takes the first unless `model` names one. PipelineError says what to mend."""
    # Workers read both files once more, from another folder.
    key_file, authority = (None if path is None else path.resolve() for path in (api_key_file, ca_file))
    key, tls = read_key(key_file), trusting(authority)
    try:
        with httpx.Client(timeout=TIMEOUT_S, verify=tls or True, trust_env=False) as client:
            response = client.get(url.rstrip("/") + "/v1/models", headers={"authorization": f"Bearer {key}"} if key else {})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        if distrust := why_distrusted(error):
            raise PipelineError(f"--url {url}: {distrust}") from None
        raise PipelineError(
            f"--url {url} does not answer ({type(error).__name__}): give the base address of a running server, or start one with `stackproof serve`"
        ) from None
    if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise PipelineError(f"--url {url} refused {'the key in ' + str(api_key_file) if key else 'a request without a key'}: give the right --api-key-file")
    try:
        served = [str(entry["id"]) for entry in response.raise_for_status().json()["data"]]
    except (httpx.HTTPStatusError, ValueError, KeyError, TypeError):
        raise PipelineError(
            f"--url {url} is not an OpenAI-compatible server: GET /v1/models answered {response.status_code} without a list of models"
        ) from None
    if not served:
        raise PipelineError(f"--url {url} serves no model")
    if model is not None and model not in served:
        raise PipelineError(f"--model {model!r} is not served at {url}: it has {', '.join(served)}")
    return ChatEndpoint(url.rstrip("/"), model or served[0], key_file, authority)
