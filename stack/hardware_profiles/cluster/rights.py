"""What reading a cluster needs to be allowed, and nothing else: the rules of the chart's reader roles, part by part (data)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Right:
    """One RBAC rule. `scope` tells whether it belongs into a ClusterRole or into a Role of the namespace of the nodes' inventories."""

    verb: str
    resource: str
    group: str = ""
    only: str = ""
    scope: str = "cluster"

    def __str__(self) -> str:
        where = "in that namespace" if self.scope == "namespace" else "in the cluster"
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}{f' {self.only}' if self.only else ''} {where}"


RIGHTS = {
    "nodes": Right("list", "nodes"),
    "cluster": Right("get", "namespaces", only="kube-system"),
    "devices": Right("list", "resourceslices", group="resource.k8s.io"),
    "own": Right("list", "configmaps", scope="namespace"),
}
"""Part of the inventory -> the right it takes. Beyond these, GET of /version and /apis/resource.k8s.io, which every cluster grants by default."""


def missing(part: str, said: str) -> str:
    """Why a part could not be read, and the rule that is missing."""
    return f"not allowed ({said}): the role needs the rule `{RIGHTS[part]}` (docs/kubernetes.md lists all)"
