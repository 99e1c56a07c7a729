"""Who asks, and how much a tenant may ask for (models)."""

from typing import Annotated, Literal, Self

from msgspec import Struct
from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from stack.evidence.record import Frozen
from stack.serving.policy_values import AbsolutePath, AtATime, Country, PerDay, PerMinute, form

DEFAULT_CLASS = "default"
CLASS_PATTERN = r"^[a-z][a-z0-9-]{0,62}$"
ClassName = Annotated[str, form(CLASS_PATTERN, "a name of at most 63 lower-case letters, digits and hyphens that begins with a letter, as in night-shift")]
TENANT_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"


PersonalKind = Literal["email", "phone", "card", "iban", "ip", "mac", "url_user", "national_id", "passport", "birth_date", "name"]
"""Those of `stack.privacy`, named here so that a policy is read without it."""


class Redact(Frozen):
    """Which personal data is taken out of what the engine gets, and what stands in its place; see `redaction`."""

    kinds: tuple[PersonalKind, ...] = Field(default=("email", "phone", "card", "iban", "national_id"), min_length=1)
    countries: tuple[Country, ...] | None = Field(
        default=None, min_length=1, description="Whose national numbers and telephone plans are looked for (ISO 3166 alpha-2); null for all"
    )
    how: Literal["mask", "pseudonym"] = Field(default="mask", description="[EMAIL], or [EMAIL:7f3a9c21b0d4]: the same for the same value and key")
    key_file: AbsolutePath | None = Field(default=None, description="For pseudonyms, where the policy service runs; mode 0600")

    @model_validator(mode="after")
    def _key_with_pseudonyms(self) -> Self:
        if (self.how == "pseudonym") != (self.key_file is not None):
            raise ValueError("`key_file` goes with `how: pseudonym`, and only with it")
        return self


def _off(value: object) -> object:
    """YAML reads a bare `off` as false."""
    return "off" if value is False else value


def _branch(value: object) -> str | None:
    return "a mapping" if isinstance(value, Redact | dict) else "off" if value == "off" else None


OffOrRedact = Annotated[
    Annotated[Redact, Tag("a mapping")] | Annotated[Literal["off"], Tag("off")],
    Discriminator(_branch, custom_error_type="off_or_redact", custom_error_message="must be `off`, or a mapping as of the policy's own `redact`"),
    BeforeValidator(_off),
]


class RateClass(Frozen):
    """Limits of one tenant, all its keys together. None is no limit but the gateway's own."""

    requests_per_minute: PerMinute | None = Field(default=None, description="Let through in any 60 seconds")
    tokens_per_minute: PerMinute | None = Field(
        default=None, description="Prompt and completion tokens in any 60 seconds: an estimate when a request comes, the engine's count when it ends"
    )
    concurrent_requests: AtATime | None = Field(default=None, description="Let through and not yet ended")
    requests_per_day: PerDay | None = Field(default=None, description="Let through from 00:00 UTC to the next")
    tokens_per_day: PerDay | None = Field(default=None, description="Prompt and completion tokens from 00:00 UTC to the next, counted as those of a minute")
    models: tuple[str, ...] | None = Field(default=None, min_length=1, description="Served names this class may ask for; null for all")

    redact: OffOrRedact | None = Field(default=None, description="Instead of the policy's own `redact`; off takes nothing out, null leaves it at that")

    @property
    def metered(self) -> bool:
        """Whether a limit counts on knowing how a request ended."""
        return self.counts_tokens or self.concurrent_requests is not None

    @property
    def counts_tokens(self) -> bool:
        """Whether a limit counts on the engine's own count of tokens."""
        return self.tokens_per_minute is not None or self.tokens_per_day is not None

    @property
    def daily(self) -> bool:
        """Whether there is a budget for a day."""
        return self.tokens_per_day is not None or self.requests_per_day is not None

    def allows(self, model: str) -> bool:
        return self.models is None or model in self.models


class Issuer(Frozen):
    """An identity provider whose signed tokens (JWT) are accepted beside API keys. It is trusted to name any tenant."""

    issuer: str = Field(min_length=1, description="The claim `iss`, exactly")
    audiences: tuple[str, ...] = Field(min_length=1, description="One of them is in the claim `aud`")
    key_set: AbsolutePath = Field(
        description="Its public keys (JWKS) in a file where the policy service runs, read again when it changes; each with `kid` and `alg`",
    )
    tenant_claim: str = Field(default="tenant", min_length=1)
    class_claim: str | None = Field(default=None, min_length=1, description="Null: class `default`, as where a token lacks the claim")


class Principal(Struct, frozen=True):
    """Whom a credential speaks for, and the class of limits that holds for him."""

    tenant: str
    rate_class: str = DEFAULT_CLASS
