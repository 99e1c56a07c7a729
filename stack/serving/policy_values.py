"""What the values of a policy are made of: numbers with bounds, names, paths and addresses (models).

A number is YAML's own: neither text nor yes and no. All bounds are ones that Envoy and the policy service can hold, so that a
policy that was read can be enforced.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

MOST = 16 << 20
"""Of anything in a body, and of its bytes: a body that is judged is held in memory, by Envoy and by the policy service."""

Flag = Annotated[bool, Field(strict=True)]
Seconds = Annotated[float, Field(strict=True, ge=0.001, le=86_400, allow_inf_nan=False)]
"""A day at most; Envoy counts in milliseconds, and takes 0 for no limit at all."""
DrainSeconds = Annotated[float, Field(strict=True, ge=0.001, le=3_600, allow_inf_nan=False)]
"""An hour at most: the chart's pods wait no longer either."""
Amount = Annotated[int, Field(strict=True, ge=1, le=MOST)]
AtATime = Annotated[int, Field(strict=True, ge=1, le=1 << 20)]
"""Linux opens no more files for one process, unless it is told otherwise."""
InARow = Annotated[int, Field(strict=True, ge=1, le=1000)]
PerMinute = Annotated[int, Field(strict=True, ge=1, le=10**9)]
PerDay = Annotated[int, Field(strict=True, ge=1, le=10**12)]


def form(pattern: str, told: str) -> AfterValidator:
    """Texts of this pattern as a whole; a person is told the form, not the pattern."""
    form = re.compile(pattern)

    def check(value: str) -> str:
        if form.fullmatch(value) is None:
            raise ValueError(f"must be {told}")
        return value

    return AfterValidator(check)


_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PORT = r"(?:[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])"
_HOST_PORT = rf"{_LABEL}(?:\.{_LABEL})*:{_PORT}"
_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"

AbsolutePath = Annotated[str, form(r"/[^\x00-\x1f\x7f]+", "an absolute path, as in /etc/stackproof/tls.crt")]
Country = Annotated[str, form(r"[A-Z]{2}", "a country's two letters in ISO 3166, as in US")]
RoutePath = Annotated[str, form(r"/[A-Za-z0-9_/-]*", "a path of letters, digits, _, - and /, as in /v1/models")]
HealthPath = Annotated[str, form(r"/[a-z]+", "a / and lower-case letters, as in /healthz")]
HostPort = Annotated[str, form(_HOST_PORT, "host:port with a port from 1 to 65535, as in 127.0.0.1:9903")]
ListenAt = Annotated[str, form(rf"(?:{_BYTE}\.){{3}}{_BYTE}:{_PORT}", "an IPv4 address and a port from 1 to 65535, as in 127.0.0.1:9902")]
"""Envoy looks up no names for what it listens at."""
Collector = Annotated[
    str,
    form(
        rf"https?://{_HOST_PORT}/[A-Za-z0-9/._-]*",
        "http:// or https://, host:port with a port from 1 to 65535, and a path, as in http://127.0.0.1:4318/v1/traces",
    ),
]
