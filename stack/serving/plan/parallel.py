"""How an engine may be spread over the hardware, the least first (pure)."""

from stack.serving.architecture import Architecture
from stack.serving.models import CatalogModel
from stack.serving.plan.hardware import Hardware
from stack.serving.plan.models import Parallel


def cuts_heads(shape: Architecture, tensor: int) -> bool:
    """Whether attention can be cut so: query heads evenly, KV heads evenly or each repeated evenly."""
    if shape.attention_heads % tensor:
        return False
    return shape.latent_attention is not None or shape.kv_heads % tensor == 0 or tensor % shape.kv_heads == 0


def spreads(hardware: Hardware, model: CatalogModel) -> list[Parallel]:
    """All that can be, ordered: one machine before several, whole layers before stages, few devices before many.

    Tensor parallelism stays inside a machine, where links are fast, and is taken before stages, which make a token wait for each other.
    """
    shape, per_node = model.architecture, hardware.per_node
    cuts = [size for size in range(1, per_node + 1) if per_node % size == 0 and cuts_heads(shape, size)]
    widest = cuts[-1]
    found = [_spread(shape, tensor, 1, nodes=1) for tensor in cuts]
    inside = per_node // widest
    found += [_spread(shape, widest, stages, nodes=1) for stages in range(2, inside + 1) if inside % stages == 0]
    found += [_spread(shape, widest, inside * nodes, nodes=nodes) for nodes in range(2, hardware.nodes + 1) if hardware.nodes % nodes == 0]
    return [each.model_copy(update={"replicas": hardware.devices // each.devices}) for each in found if each.pipeline <= shape.layers]


def _spread(shape: Architecture, tensor: int, stages: int, *, nodes: int) -> Parallel:
    """Experts lie whole where they can be dealt out evenly; latent attention is copied instead of cut, because each device would hold it whole."""
    experts = shape.experts
    if tensor == 1 or experts is None or experts.total % tensor:
        return Parallel(tensor=tensor, pipeline=stages, nodes=nodes)
    if shape.latent_attention is not None and stages == 1:
        return Parallel(data=tensor, expert=True, nodes=nodes)
    return Parallel(tensor=tensor, pipeline=stages, expert=True, nodes=nodes)


def why_parallel(spread: Parallel, hardware: Hardware, model: CatalogModel, *, roomy: bool, goal: int) -> str:
    """The reason of the spread that was chosen. `roomy`: it holds `goal` sequences of full length."""
    shape = model.architecture
    least = f"the least that holds {goal} sequences of full length" if roomy else f"the most there is; it holds fewer than {goal} sequences of full length"
    parts = [f"{spread.devices} of {hardware.devices} devices: {least}" if hardware.devices > 1 else "one device"]
    if spread.tensor > 1:
        heads = f"{shape.attention_heads} query heads in {spread.tensor} parts"
        kv = "" if shape.latent_attention else f", {shape.kv_heads} KV heads " + ("repeated" if spread.tensor > shape.kv_heads else "cut")
        parts.append(f"tensor {spread.tensor} inside a machine ({heads}{kv})")
    if spread.pipeline > 1:
        parts.append(
            f"pipeline {spread.pipeline}" + (f" over {spread.nodes} machines, by Ray" if spread.nodes > 1 else ", for its heads cannot be cut further")
        )
    if spread.data > 1:
        parts.append(
            f"attention copied {spread.data} times: its compressed cache would be repeated by tensor parallelism, so each copy serves its own requests"
        )
    if spread.expert and shape.experts:
        parts.append(f"{shape.experts.total // (spread.tensor * spread.data)} of {shape.experts.total} experts whole on each device")
    if spread.replicas > 1:
        parts.append(f"{spread.replicas} such engines fit")
    return "; ".join(parts)
