"""The gateway's policy: one file that says what may pass and how much of it (models; parsing only).

`gateway.render_envoy` turns it into Envoy's configuration, `requests` into the closed body schema that
the policy service holds requests to.
"""

from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from stack.evidence.record import Frozen
from stack.runtime.yaml_input import parse_yaml, read_bounded
from stack.serving.errors import ServingError
from stack.serving.policy_values import (
    MOST,
    AbsolutePath,
    Amount,
    AtATime,
    Collector,
    DrainSeconds,
    Flag,
    HealthPath,
    HostPort,
    InARow,
    ListenAt,
    RoutePath,
    Seconds,
)
from stack.serving.tenants import DEFAULT_CLASS, ClassName, Issuer, RateClass, Redact

DEFAULT_POLICY = "default.yaml"
CHAT_PATH = "/v1/chat/completions"
EMBEDDINGS_PATH = "/v1/embeddings"
MODELS_PATH = "/v1/models"
ANY_ADDRESS = "0.0.0.0"  # noqa: S104  # recognised, not listened at
PUBLIC_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian, Ubuntu, Alpine and Envoy's own images have their certificates: of itself Envoy trusts nobody, or everybody."""
LEAST_SAMPLE_PERCENT = 0.01
BodyKind = Literal["chat", "completions", "embeddings"]
"""Which closed schema a request body is held to."""


class Route(Frozen):
    """One allowed request: exact method, exact path, byte for byte. What is not listed does not exist."""

    method: Literal["GET", "POST"]
    path: RoutePath
    body: BodyKind | None = Field(default=None, description="Closed schema of the body; null for requests without one")


class Limits(Frozen):
    """What one gateway takes; beyond it clients get 413, 431, 503 or a closed connection."""

    body_bytes: Amount
    headers_kib: int = Field(strict=True, ge=1, le=96)
    headers_count: int = Field(strict=True, ge=1, le=200)
    connections: AtATime = Field(description="Client connections at a time")
    requests: AtATime = Field(description="Requests at the engine at a time")
    pending: AtATime = Field(description="Requests that may wait for a connection to the engine")


class Timeouts(Frozen):
    """Seconds. A slow client or a stuck engine is cut off; a long stream that moves is not, until `response_s`."""

    connect_s: Seconds
    headers_s: Seconds = Field(description="To receive the request's headers")
    request_s: Seconds = Field(description="To receive the whole request")
    authorization_s: Seconds = Field(description="For the policy service to decide")
    idle_s: Seconds = Field(description="Longest silence on a stream or connection")
    response_s: Seconds = Field(description="To the end of the response")
    drain_s: DrainSeconds = Field(description="For open requests when the gateway stops")


class Tls(Frozen):
    """TLS at the listener. Absolute paths where Envoy runs; PEM files, read again when others are moved into their place."""

    certificate: AbsolutePath = Field(description="The server's certificate and the chain to its root")
    key: AbsolutePath = Field(description="Its private key, in the same folder, so that both change together")
    client_ca: AbsolutePath | None = Field(default=None, description="Whose certificates clients must show; null asks for none")

    @model_validator(mode="after")
    def _together(self) -> Self:
        if PurePosixPath(self.key).parent != PurePosixPath(self.certificate).parent:
            raise ValueError("`key` must lie in the folder of `certificate`, so that both are read again together")
        return self


class Requests(Frozen):
    """Caps of the closed body schema."""

    max_tokens: Amount = Field(description="Highest max_tokens / max_completion_tokens")
    choices: int = Field(strict=True, ge=1, le=4, description="Highest n")
    messages: Amount
    text_chars: Amount = Field(description="Characters of all messages and tools, of the prompts, or of the texts to embed")
    stop_sequences: Amount
    logprobs: int = Field(strict=True, ge=0, le=20, description="Highest top_logprobs, or logprobs of a completion")
    structured_choices: Amount = Field(description="Alternatives of structured_outputs.choice")
    schema_bytes: Amount = Field(description="A JSON schema, of response_format or of one tool, as compact JSON")
    schema_depth: int = Field(strict=True, ge=1, le=64, description="Also of the arguments of tool calls")
    tools: int = Field(default=32, strict=True, ge=0, le=128, description="Functions of a chat, and calls in one message")
    tools_bytes: Amount = Field(default=32768, description="JSON schemas of all tools together")
    logit_bias: int = Field(default=300, strict=True, ge=0, le=MOST, description="Tokens of logit_bias")
    embedding_texts: Amount = Field(default=256, description="Texts of one request for embeddings")


Screen = Annotated[Literal["refuse", "off"], BeforeValidator(lambda value: "off" if value is False else value)]
"""YAML reads a bare `off` as false."""


class Screening(Frozen):
    """What texts are searched for before the engine reads them; see `screening` for what is found and what is not."""

    pii: Screen = Field(default="off", description="E-mail addresses, telephone numbers, payment cards, IBANs")
    injection: Screen = Field(default="off", description="Well-known phrases of prompt injection in what users and tools say")


class Routing(Frozen):
    """How requests are spread over the engines of a model, and when one gets no more."""

    by: Literal["least-request", "prefix"] = Field(
        default="least-request", description="The engine with the fewest requests, or the one that has seen the beginning of the prompt"
    )
    prefix_chars: Amount = Field(default=1024, description="Of the prompt, up to its first user message, that choose the engine")
    prefix_load_percent: int = Field(default=150, strict=True, ge=100, le=1000, description="Of the average load: what is above goes to the next engine")
    check_interval_s: Seconds = Field(default=2, description="Between two looks at an engine's health")
    check_timeout_s: Seconds = 5
    checks_failed: InARow = Field(default=3, description="In a row, until an engine gets no more requests")
    failures: InARow = Field(default=3, description="Broken connections or 502 to 504 in a row, until an engine is left out")
    ejected_s: Seconds = Field(default=10, description="For how long the first time; each time longer")


class Tracing(Frozen):
    """Where spans of requests go. They name tenant, model and request id, and never a prompt."""

    endpoint: Collector = Field(description="OTLP over HTTP or HTTPS of a collector, as in http://127.0.0.1:4318/v1/traces")
    ca_file: AbsolutePath | None = Field(default=None, description="PEM certificates of who signed an https collector's; null: a public authority did")
    sample_percent: float = Field(default=100, strict=True, ge=0, le=100, allow_inf_nan=False, description="Share of the requests that are traced")
    trust_client: Flag = Field(
        default=False, description="Continue the traces that clients begin (`traceparent`); what they do not sample is not sampled here either"
    )

    @property
    def authorities(self) -> str | None:
        """The file with those of whom the collector's certificate must be, for Envoy; None where it speaks plain HTTP."""
        return (self.ca_file or PUBLIC_AUTHORITIES) if self.endpoint.startswith("https:") else None

    @field_validator("sample_percent")
    @classmethod
    def _seen_by_envoy(cls, percent: float) -> float:
        if 0 < percent < LEAST_SAMPLE_PERCENT:
            raise ValueError(f"must be 0 or at least {LEAST_SAMPLE_PERCENT}: Envoy counts in hundredths of a percent")
        return percent

    @model_validator(mode="after")
    def _trusts_over_tls_only(self) -> Self:
        if self.ca_file is not None and self.authorities is None:
            raise ValueError("`ca_file` is for an `endpoint` that begins with https://")
        return self


class Metrics(Frozen):
    """Where Prometheus may ask; null serves nothing. Neither is on the public listener."""

    gateway: ListenAt | None = Field(default=None, description="Envoy's own, by GET /metrics at this address and port")
    policy_service: HostPort | None = Field(default=None, description="The policy service's: by tenant and route")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.gateway is not None and self.policy_service is not None and _collide(self.gateway, self.policy_service):
            raise ValueError(f"`gateway` ({self.gateway}) and `policy_service` ({self.policy_service}) are one address: give each a port of its own")
        return self


def _collide(one: str, other: str) -> bool:
    """Whether two servers of one machine cannot listen at both."""
    (host, _, port), (second, _, second_port) = one.rpartition(":"), other.lower().replace("localhost", "127.0.0.1").rpartition(":")
    return port == second_port and (host == second or ANY_ADDRESS in (host, second))


def _whole(value: object) -> object:
    """To a literal 1, True and 1.0 are 1."""
    if type(value) is not int:
        raise ValueError("must be the number 1")
    return value


class GatewayPolicy(Frozen):
    """Everything the gateway enforces; keys are apart (`keys.py`), addresses belong to a deployment."""

    version: Annotated[Literal[1], BeforeValidator(_whole)]
    routes: tuple[Route, ...] = Field(min_length=1)
    health_path: HealthPath = Field(description="Answered without a key: 200 when gateway, policy service and engine all answer")
    limits: Limits
    timeouts: Timeouts
    requests: Requests
    screening: Screening = Screening()
    redact: Redact | None = Field(default=None, description="Personal data taken out of requests before the engine gets them; a class may have its own")
    routing: Routing = Routing()
    classes: dict[ClassName, RateClass] = Field(
        default={DEFAULT_CLASS: RateClass()}, description="Limits per tenant, by class; a key that names none is of class `default`"
    )

    issuers: tuple[Issuer, ...] = Field(default=(), description="Whose signed tokens are accepted beside API keys")
    tls: Tls | None = Field(default=None, description="Null listens without encryption: on loopback, or behind something that encrypts")
    tracing: Tracing | None = None
    metrics: Metrics = Metrics()

    @property
    def metered(self) -> bool:
        """Whether any class counts on knowing how requests ended."""
        return any(each.metered for each in self.classes.values())

    @property
    def reported(self) -> bool:
        """Whether the policy service has to be told how requests ended."""
        return self.metered or self.metrics.policy_service is not None

    @property
    def limits_tenants(self) -> bool:
        """Whether any class counts at all, so that one policy service has to see every request."""
        return self.metered or self.daily or any(each.requests_per_minute is not None for each in self.classes.values())

    @property
    def daily(self) -> bool:
        """Whether any class has a budget for a day, so that what was used has to outlive the policy service."""
        return any(each.daily for each in self.classes.values())

    def redact_of(self, rate_class: str) -> Redact | None:
        """What is taken out of the requests of a class."""
        own = self.classes[rate_class].redact
        return self.redact if own is None else None if own == "off" else own

    @property
    def redacts(self) -> bool:
        """Whether anything is taken out of any class's requests."""
        return any(self.redact_of(name) is not None for name in self.classes)

    @model_validator(mode="after")
    def _refused_or_redacted(self) -> Self:
        if self.screening.pii == "refuse" and self.redacts:
            raise ValueError("`screening.pii: refuse` and `redact` exclude each other: what is refused is not taken out")
        return self

    @model_validator(mode="after")
    def _health_is_no_route(self) -> Self:
        if any(route.path == self.health_path for route in self.routes):
            raise ValueError(f"`health_path` {self.health_path} is one of `routes` too: it is answered without a key, so choose another")
        return self

    @field_validator("issuers")
    @classmethod
    def _distinct(cls, issuers: tuple[Issuer, ...]) -> tuple[Issuer, ...]:
        if len({each.issuer for each in issuers}) != len(issuers):
            raise ValueError("an issuer is named twice")
        return issuers

    @field_validator("classes")
    @classmethod
    def _has_default(cls, classes: dict[str, RateClass]) -> dict[str, RateClass]:
        if DEFAULT_CLASS not in classes:
            raise ValueError(f"class {DEFAULT_CLASS} is missing: it holds for keys that name none")
        return classes

    @field_validator("routes")
    @classmethod
    def _consistent(cls, routes: tuple[Route, ...]) -> tuple[Route, ...]:
        names = [f"{route.method} {route.path}" for route in routes]
        if len(names) != len(set(names)):
            raise ValueError(f"routes repeat: {sorted({name for name in names if names.count(name) > 1})}")
        for route in routes:
            if (route.method == "POST") != (route.body is not None):
                raise ValueError(f"{route.method} {route.path}: a POST names its body schema (chat, completions or embeddings), a GET has none")
        if f"POST {CHAT_PATH}" not in names:
            raise ValueError(f"POST {CHAT_PATH} is missing: the stack is ready when a chat completion came through the gateway")
        return routes


def load_policy(path: Path | None = None) -> GatewayPolicy:
    """The policy of a file, or the one that ships with the project; ServingError naming the field that is wrong."""
    if path is None:
        return parse_policy((files("stack.serving") / "policies" / DEFAULT_POLICY).read_text(), source=DEFAULT_POLICY)
    return parse_policy(read_bounded(path, error=ServingError), source=str(path))


def parse_policy(text: bytes | str, *, source: str) -> GatewayPolicy:
    """ServingError naming `source` and the field."""
    return parse_yaml(text, GatewayPolicy, source=source, error=ServingError)
