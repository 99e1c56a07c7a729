"""Which engines a deployment comes to in a cluster, where each has a pod of its own (pure)."""

from collections.abc import Sequence

from stack.serving.deployment import Deployment
from stack.serving.fleet.layout import ENGINE
from stack.serving.listed import ListedModel
from stack.serving.models import find_model
from stack.serving.plan import EAGER_ASKED, Hardware, make_plan
from stack.serving.pools import EngineSpec, PoolSpec


def lay_out_pods(deployment: Deployment, hardware: Hardware) -> tuple[PoolSpec, ...]:
    """A pool for each model and each canary. Every engine is planned for the whole of a machine like `hardware`: no other shares its pod.

    ServingError when a model does not fit, with the arithmetic.
    """
    pools: list[PoolSpec] = []
    for model in deployment.models:
        beside = None
        for variant in (model, model.canary):
            if variant is None:
                continue
            catalog = find_model(variant.model)
            plan = make_plan(hardware, catalog, max_model_len=variant.max_model_len, eager=EAGER_ASKED if variant.enforce_eager else None)
            name = f"{ENGINE}-pool-{len(pools) + 1}" if pools else ENGINE
            engines = tuple(EngineSpec(f"{name}-{number}", model.public_name, model.task, plan) for number in range(1, variant.replicas + 1))
            percent = model.canary.percent if beside is not None and model.canary is not None else 0
            pools.append(PoolSpec(name, model.public_name, model.task, catalog, plan, engines, canary_of=beside, canary_percent=percent))
            beside = name
    return tuple(pools)


def listed_models(pools: Sequence[PoolSpec]) -> tuple[ListedModel, ...]:
    """What clients may name. Of a model with a canary the shorter context: a request may go to either.

    `created` is 0, since values that say the time would be others at every rendering.
    """
    stable = [pool for pool in pools if pool.canary_of is None]
    tried = {pool.canary_of: pool for pool in pools if pool.canary_of is not None}
    return tuple(
        ListedModel(
            id=pool.served_name,
            task=pool.task,
            owned_by=pool.catalog.publisher.name,
            created=0,
            max_model_len=min(each.plan.max_model_len for each in (pool, tried.get(pool.name, pool))),
        )
        for pool in stable
    )
