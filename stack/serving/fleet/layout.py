"""Which engines a deployment comes to on this hardware (pure)."""

from collections.abc import Iterator

from stack.hardware_profiles import Inventory
from stack.serving.deployment import DeployedModel, Deployment, Variant
from stack.serving.gateway import Pool, Served
from stack.serving.models import find_model
from stack.serving.plan import EAGER_ASKED, EnginePlan, Hardware, inventory_hardware, make_plan, share_of
from stack.serving.pools import EngineSpec, PoolSpec

ENGINE = "engine"


def lay_out(deployment: Deployment, inventory: Inventory, *, eager: str | None = None) -> tuple[PoolSpec, ...]:
    """Every engine gets an equal share of the hardware. ServingError when a share is too small for its model, with the arithmetic.

    `eager` says why nothing can be compiled here, if it cannot.
    """
    whole, engines = inventory_hardware(inventory), deployment.engines
    hardware = share_of(whole, engines)
    pools: list[PoolSpec] = []
    for number, (model, variant, canary_of) in enumerate(_variants(deployment), start=1):
        catalog = find_model(variant.model)
        plan = make_plan(hardware, catalog, max_model_len=variant.max_model_len, eager=EAGER_ASKED if variant.enforce_eager else eager)
        started = sum(len(pool.engines) for pool in pools)
        name = ENGINE if len(pools) == 0 else f"{ENGINE}-pool-{number}"
        specs = tuple(_engine(started + index, engines, model, plan, hardware) for index in range(variant.replicas))
        percent = model.canary.percent if canary_of and model.canary else 0
        stable = pools[-1].name if canary_of else None
        pools.append(PoolSpec(name, model.public_name, model.task, catalog, plan, specs, stable, percent))
    return tuple(pools)


def _variants(deployment: Deployment) -> Iterator[tuple[DeployedModel, Variant, bool]]:
    for model in deployment.models:
        yield model, model, False
        if model.canary is not None:
            yield model, model.canary, True


def _engine(index: int, of: int, model: DeployedModel, plan: EnginePlan, hardware: Hardware) -> EngineSpec:
    devices = tuple(range(index * hardware.per_node, (index + 1) * hardware.per_node)) if hardware.cpu is None and of > 1 else ()
    return EngineSpec(ENGINE if of == 1 else f"{ENGINE}-{index + 1}", model.public_name, model.task, plan, devices)


def served_models(pools: tuple[PoolSpec, ...]) -> tuple[Served, ...]:
    """Which pool answers for which model, for the gateway."""
    canaries = {pool.canary_of: pool for pool in pools if pool.canary_of}
    return tuple(
        Served(model=pool.served_name, pool=pool.name, canary=tried.name if tried else None, canary_percent=tried.canary_percent if tried else 0)
        for pool in pools
        if pool.canary_of is None
        for tried in (canaries.get(pool.name),)
    )


def gateway_pool(pool: PoolSpec, addresses: dict[str, str], endpoints: str) -> Pool:
    return Pool(name=pool.name, engines=tuple(addresses[engine.name] for engine in pool.engines), endpoints=endpoints)
