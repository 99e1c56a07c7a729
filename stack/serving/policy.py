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
from stack.serving.tenants import ABSOLUTE_PATH, CLASS_PATTERN, DEFAULT_CLASS, Issuer, RateClass, Redact

DEFAULT_POLICY = "default.yaml"
CHAT_PATH = "/v1/chat/completions"
EMBEDDINGS_PATH = "/v1/embeddings"
MODELS_PATH = "/v1/models"
HOST_PORT = r"[A-Za-z0-9.-]+:([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])"
PUBLIC_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian, Ubuntu, Alpine and Envoy's own images have their certificates: of itself Envoy trusts nobody, or everybody."""
BodyKind = Literal["chat", "completions", "embeddings"]
"""Which closed schema a request body is held to."""


class Route(Frozen):
    """One allowed request: exact method, exact path, byte for byte. What is not listed does not exist."""

    method: Literal["GET", "POST"]
    path: str = Field(pattern=r"^/[A-Za-z0-9_/-]*$")
    body: BodyKind | None = Field(default=None, description="Closed schema of the body; null for requests without one")


class Limits(Frozen):
    """What one gateway takes; beyond it clients get 413, 431, 503 or a closed connection."""

    body_bytes: int = Field(gt=0, le=16 << 20)
    headers_kib: int = Field(gt=0, le=96)
    headers_count: int = Field(gt=0, le=200)
    connections: int = Field(gt=0, description="Client connections at a time")
    requests: int = Field(gt=0, description="Requests at the engine at a time")
    pending: int = Field(gt=0, description="Requests that may wait for a connection to the engine")


class Timeouts(Frozen):
    """Seconds. A slow client or a stuck engine is cut off; a long stream that moves is not, until `response_s`."""

    connect_s: float = Field(gt=0)
    headers_s: float = Field(gt=0, description="To receive the request's headers")
    request_s: float = Field(gt=0, description="To receive the whole request")
    authorization_s: float = Field(gt=0, description="For the policy service to decide")
    idle_s: float = Field(gt=0, description="Longest silence on a stream or connection")
    response_s: float = Field(gt=0, description="To the end of the response")
    drain_s: float = Field(gt=0, description="For open requests when the gateway stops")


class Tls(Frozen):
    """TLS at the listener. Absolute paths where Envoy runs; PEM files, read again when others are moved into their place."""

    certificate: str = Field(pattern=ABSOLUTE_PATH, description="The server's certificate and the chain to its root")
    key: str = Field(pattern=ABSOLUTE_PATH, description="Its private key, in the same folder, so that both change together")
    client_ca: str | None = Field(default=None, pattern=ABSOLUTE_PATH, description="Whose certificates clients must show; null asks for none")

    @model_validator(mode="after")
    def _together(self) -> Self:
        if PurePosixPath(self.key).parent != PurePosixPath(self.certificate).parent:
            raise ValueError("`key` must lie in the folder of `certificate`, so that both are read again together")
        return self


class Requests(Frozen):
    """Caps of the closed body schema."""

    max_tokens: int = Field(gt=0, description="Highest max_tokens / max_completion_tokens")
    choices: int = Field(gt=0, le=4, description="Highest n")
    messages: int = Field(gt=0)
    text_chars: int = Field(gt=0, description="Characters of all messages and tools, of the prompts, or of the texts to embed")
    stop_sequences: int = Field(gt=0)
    logprobs: int = Field(ge=0, le=20, description="Highest top_logprobs, or logprobs of a completion")
    structured_choices: int = Field(gt=0, description="Alternatives of structured_outputs.choice")
    schema_bytes: int = Field(gt=0, description="A JSON schema, of response_format or of one tool, as compact JSON")
    schema_depth: int = Field(gt=0, le=64, description="Also of the arguments of tool calls")
    tools: int = Field(default=32, ge=0, le=128, description="Functions of a chat, and calls in one message")
    tools_bytes: int = Field(default=32768, gt=0, description="JSON schemas of all tools together")
    logit_bias: int = Field(default=300, ge=0, description="Tokens of logit_bias")
    embedding_texts: int = Field(default=256, gt=0, description="Texts of one request for embeddings")


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
    prefix_chars: int = Field(default=1024, gt=0, description="Of the prompt, up to its first user message, that choose the engine")
    prefix_load_percent: int = Field(default=150, ge=100, le=1000, description="Of the average load: what is above goes to the next engine")
    check_interval_s: float = Field(default=2, gt=0, description="Between two looks at an engine's health")
    check_timeout_s: float = Field(default=5, gt=0)
    checks_failed: int = Field(default=3, gt=0, description="In a row, until an engine gets no more requests")
    failures: int = Field(default=3, gt=0, description="Broken connections or 502 to 504 in a row, until an engine is left out")
    ejected_s: float = Field(default=10, gt=0, description="For how long the first time; each time longer")


class Tracing(Frozen):
    """Where spans of requests go. They name tenant, model and request id, and never a prompt."""

    endpoint: str = Field(
        pattern=rf"^https?://{HOST_PORT}/[A-Za-z0-9/._-]*$", description="OTLP over HTTP or HTTPS of a collector, as in http://127.0.0.1:4318/v1/traces"
    )
    ca_file: str | None = Field(
        default=None, pattern=ABSOLUTE_PATH, description="PEM certificates of who signed an https collector's; null: a public authority did"
    )
    sample_percent: float = Field(default=100, ge=0, le=100, description="Share of the requests that are traced")
    trust_client: bool = Field(
        default=False, description="Continue the traces that clients begin (`traceparent`); what they do not sample is not sampled here either"
    )

    @property
    def authorities(self) -> str | None:
        """The file with those of whom the collector's certificate must be, for Envoy; None where it speaks plain HTTP."""
        return (self.ca_file or PUBLIC_AUTHORITIES) if self.endpoint.startswith("https:") else None

    @model_validator(mode="after")
    def _trusts_over_tls_only(self) -> Self:
        if self.ca_file is not None and self.authorities is None:
            raise ValueError("`ca_file` is for an `endpoint` that begins with https://")
        return self


class Metrics(Frozen):
    """Where Prometheus may ask; null serves nothing. Neither is on the public listener."""

    gateway: str | None = Field(default=None, pattern=rf"^{HOST_PORT}$", description="Envoy's own, by GET /metrics at this host:port")
    policy_service: str | None = Field(default=None, pattern=rf"^{HOST_PORT}$", description="The policy service's: by tenant and route")


class GatewayPolicy(Frozen):
    """Everything the gateway enforces; keys are apart (`keys.py`), addresses belong to a deployment."""

    version: Literal[1]
    routes: tuple[Route, ...] = Field(min_length=1)
    health_path: str = Field(pattern=r"^/[a-z]+$", description="Answered without a key: 200 when gateway, policy service and engine all answer")
    limits: Limits
    timeouts: Timeouts
    requests: Requests
    screening: Screening = Screening()
    redact: Redact | None = Field(default=None, description="Personal data taken out of requests before the engine gets them; a class may have its own")
    routing: Routing = Routing()
    classes: dict[Annotated[str, Field(pattern=CLASS_PATTERN)], RateClass] = Field(
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
