"""Layer (i)(A): what is in a cluster, by its Kubernetes API.

In: nodes, DRA resource slices and the inventories that nodes wrote themselves, read page by page with rights to read only.
Out: a frozen `ClusterInventory` in which an unknown value is None and a probe says why, and the evidence record made of it. It must
never change anything in the cluster, count a device twice, or show an identifier that was not asked for. (`publish` is what the chart's
DaemonSet runs on each node: it alone writes, and only the node's own ConfigMap.)
"""

from stack.hardware_profiles.cluster.collect import collect_cluster
from stack.hardware_profiles.cluster.inventory import ClusterInventory, ClusterNode, NodeAccelerator, NodeKind, OwnInventory
from stack.hardware_profiles.cluster.target import ClusterError, connect

__all__ = ["ClusterError", "ClusterInventory", "ClusterNode", "NodeAccelerator", "NodeKind", "OwnInventory", "collect_cluster", "connect"]
