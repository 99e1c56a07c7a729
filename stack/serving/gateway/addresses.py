"""Where the parts of a deployment listen (model)."""

from pydantic import Field

from stack.evidence.record import Frozen


class Addresses(Frozen):
    """Where the parts listen. An address is `host:port`, or `unix:/path`."""

    listen: str = Field(pattern=r"^[^:/]+:\d+$")
    engine: str
    policy_service: str
    admin: str
    secrets: str | None = Field(
        default=None,
        description="Folder of Envoy's certificate documents; null where no file of a site can be carried",
    )
    access_log: str = Field(description="File the JSON access log is appended to; /dev/stdout in a container")
