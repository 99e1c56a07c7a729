"""Where the parts of a deployment listen, and who answers for which model (model)."""

from typing import Self

from pydantic import Field, model_validator

from stack.evidence.record import Frozen

POOL_PATTERN = r"^[a-z0-9][a-z0-9.-]*$"


class Pool(Frozen):
    """Engines that serve the same: one cluster of Envoy. An address is `host:port`."""

    name: str = Field(default="engine", pattern=POOL_PATTERN)
    engines: tuple[str, ...] = Field(min_length=1, description="Addresses, or one name that resolves to all of them")
    endpoints: str | None = Field(default=None, description="File that says which of them take requests now; null where nobody changes that")


class Served(Frozen):
    """A model by its public name, with the pool that answers for it, and the one that is being tried."""

    model: str
    pool: str
    canary: str | None = None
    canary_percent: float = Field(default=0, ge=0, le=100, description="Share of the requests that go to the canary; a header may choose otherwise")


class Addresses(Frozen):
    """Where the parts listen. An address is `host:port`, or `unix:/path`."""

    listen: str = Field(pattern=r"^[^:/]+:\d+$")
    pools: tuple[Pool, ...] = Field(min_length=1)
    models: tuple[Served, ...] = Field(default=(), description="Empty where one pool is asked for everything")
    policy_service: str
    admin: str
    secrets: str | None = Field(
        default=None,
        description="Folder of Envoy's certificate documents; null where no file of a site can be carried",
    )
    access_log: str = Field(description="File the JSON access log is appended to; /dev/stdout in a container")

    @model_validator(mode="after")
    def _pools_exist(self) -> Self:
        names = {pool.name for pool in self.pools}
        if len(names) != len(self.pools):
            raise ValueError("field `pools`: a name is given twice")
        for each in self.models:
            for pool in (each.pool, each.canary):
                if pool is not None and pool not in names:
                    raise ValueError(f"field `models`: {each.model} names a pool that is not there: {pool}")
        return self
