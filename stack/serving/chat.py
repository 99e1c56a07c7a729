"""A small client of the OpenAI endpoints, for every layer that asks the model something.

It is not the measuring client: `bench` has its own, which takes its times at the socket.
"""

import asyncio
import random
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from stack.serving.errors import ServingError

RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
MAX_WAIT_S = 30.0
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


class ChatFailedError(ServingError):
    """A request that failed for good; `reason` is its class: refused, timeout, http_<status> or malformed."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"chat request failed ({reason}): {detail}")
        self.reason = reason


@dataclass(frozen=True)
class Reply:
    """What the model said, and what it cost by the server's own count."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str
    attempts: int


@dataclass(frozen=True)
class Echo:
    """A prompt as the model reads it: its tokens as text, and the log-probability of each after those before it, null for the first."""

    tokens: tuple[str, ...]
    logprobs: tuple[float | None, ...]
    prompt_tokens: int


@dataclass
class ChatClient:
    """At most `concurrency` requests in flight; failures that may pass are tried again with jittered back-off."""

    base_url: str
    model: str
    api_key: str | None = None
    concurrency: int = 16
    attempts: int = 4
    timeout_s: float = 120.0
    tls: ssl.SSLContext | None = None
    _slots: asyncio.Semaphore = field(init=False, repr=False)
    _http: httpx.AsyncClient = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.concurrency)
        headers = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        limits = httpx.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency)
        # trust_env off: a proxy variable must never carry a loopback request, or its key, elsewhere.
        self._http = httpx.AsyncClient(base_url=self.base_url, headers=headers, limits=limits, timeout=self.timeout_s, verify=self.tls or True, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        await self._http.aclose()

    async def complete(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        max_tokens: int,
        choices: Sequence[str] | None = None,
        json_schema: Mapping[str, Any] | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Reply:
        """One reply. `choices` or `json_schema` constrain the output in the engine; ChatFailedError when it fails for good."""
        body: dict[str, Any] = {"model": self.model, "messages": list(messages), "max_tokens": max_tokens, "temperature": temperature, "seed": seed}
        if choices is not None:
            body["structured_outputs"] = {"choice": list(choices)}
        if json_schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(json_schema)}}
        return await self.ask(body)

    async def ask(self, body: Mapping[str, Any]) -> Reply:
        """One reply to a body of the caller's own, which must not ask for a stream; ChatFailedError when it fails for good."""
        async with self._slots:
            return _reply(*await self._with_retries(CHAT, body))

    async def echo(self, prompt: str) -> Echo:
        """The log-probabilities of a prompt's own tokens, no chat template added; ChatFailedError where the server does not tell them."""
        # One token is generated, and left out here: not every server or gateway takes a max_tokens of 0.
        body = {"model": self.model, "prompt": prompt, "max_tokens": 1, "temperature": 0.0, "echo": True, "logprobs": 0}
        async with self._slots:
            response, _ = await self._with_retries(COMPLETIONS, body)
        return _echo(response)

    async def _with_retries(self, path: str, body: Mapping[str, Any]) -> tuple[httpx.Response, int]:
        """The 200, and at which attempt it came."""
        for attempt in range(1, self.attempts + 1):
            try:
                response = await self._http.post(path, json=body)
            except httpx.TimeoutException:
                reason, detail, wait_s = "timeout", f"no answer in {self.timeout_s:g} s", _backoff_s(attempt)
            except httpx.TransportError as error:
                reason, detail, wait_s = "refused", str(error) or type(error).__name__, _backoff_s(attempt)
            else:
                if response.status_code == httpx.codes.OK:
                    return response, attempt
                reason, detail = f"http_{response.status_code}", response.text[:200]
                if response.status_code not in RETRYABLE:
                    raise ChatFailedError(reason, detail)
                wait_s = _retry_after_s(response) or _backoff_s(attempt)
            if attempt < self.attempts:
                await asyncio.sleep(wait_s)
        raise ChatFailedError(reason, detail)


def read_key(path: Path | None) -> str | None:
    """The first line of a key file; ServingError when it cannot be read."""
    if path is None:
        return None
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ServingError(f"API key file {path} cannot be read: {error.strerror}") from None


def _reply(response: httpx.Response, attempt: int) -> Reply:
    try:
        body = response.json()
        choice, usage = body["choices"][0], body["usage"]
        return Reply(
            text=choice["message"]["content"] or "",
            prompt_tokens=int(usage["prompt_tokens"]),
            completion_tokens=int(usage["completion_tokens"]),
            finish_reason=choice["finish_reason"] or "",
            attempts=attempt,
        )
    except (ValueError, KeyError, IndexError, TypeError):
        raise ChatFailedError("malformed", f"not a chat completion: {response.text[:200]}") from None


def _echo(response: httpx.Response) -> Echo:
    try:
        body = response.json()
        logprobs, usage = body["choices"][0]["logprobs"], body["usage"]
        count = int(usage["prompt_tokens"])
        tokens, values = tuple(logprobs["tokens"][:count]), tuple(logprobs["token_logprobs"][:count])
        if len(tokens) != count or len(values) != count:
            raise ValueError("the prompt's tokens are not in the answer")
        return Echo(tokens=tokens, logprobs=values, prompt_tokens=count)
    except (ValueError, KeyError, IndexError, TypeError):
        raise ChatFailedError("malformed", f"no log-probabilities of the prompt: {response.text[:200]}") from None


def _backoff_s(attempt: int) -> float:
    """Full jitter: uniform between 0 and 0.25 s doubled each attempt."""
    return random.uniform(0, min(MAX_WAIT_S, 0.25 * 2**attempt))  # noqa: S311  # spreads load, guards nothing


def _retry_after_s(response: httpx.Response) -> float | None:
    try:
        return min(MAX_WAIT_S, max(0.0, float(response.headers["retry-after"])))
    except (KeyError, ValueError):
        return None
