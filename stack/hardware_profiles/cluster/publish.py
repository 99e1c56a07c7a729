"""What the chart's DaemonSet runs on each node: write this node's inventory into its ConfigMap, again and again (edge).

    python3 -m stack.hardware_profiles.cluster.publish --name stackproof --node NODE --namespace NS --pod POD --pod-uid UID [--every 3600]

One request a round, a server-side apply, so that no right to read is needed. The pod owns the ConfigMap: Kubernetes removes it with the pod.
"""

import argparse
import base64
import gzip
import json
import os
import random
import signal
import ssl
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stack.hardware_profiles.cluster.own import COLLECTED_AT, COMPONENT, KEY, config_map_name
from stack.hardware_profiles.collect import collect_inventory
from stack.hardware_profiles.inventory import Inventory

CREDENTIALS = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT_S = 30.0
RETRY_S = 60.0
SPREAD = 0.1
"""Rounds are moved by up to a tenth, so that thousands of nodes do not write at once."""
LONGEST_NAME = 253


@dataclass(frozen=True)
class Place:
    """Whose inventory it is, and where it goes."""

    name: str
    node: str
    namespace: str
    pod: str
    pod_uid: str


def config_map(place: Place, inventory: Inventory, *, now: datetime) -> dict[str, Any]:
    """The object to apply. Compressed: 10,000 of them are to fit into the cluster's store."""
    packed = gzip.compress(inventory.model_dump_json().encode(), mtime=0)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": config_map_name(place.name, place.node),
            "labels": {
                "app.kubernetes.io/name": "stackproof",
                "app.kubernetes.io/instance": place.name,
                "app.kubernetes.io/component": COMPONENT,
                "app.kubernetes.io/part-of": "stackproof",
            },
            "annotations": {COLLECTED_AT: now.replace(microsecond=0).isoformat()},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": place.pod, "uid": place.pod_uid}],
        },
        "binaryData": {KEY: base64.b64encode(packed).decode()},
    }


def publish(place: Place, server: str, credentials: Path = CREDENTIALS) -> None:
    """One inventory, one request. OSError without credentials, httpx.HTTPError when the API server cannot be reached or refuses."""
    import httpx

    wanted = config_map(place, collect_inventory(), now=datetime.now(UTC))
    # Kubernetes renews the token within its file.
    headers = {"Authorization": f"Bearer {(credentials / 'token').read_text().strip()}", "Content-Type": "application/apply-patch+yaml"}
    path = f"/api/v1/namespaces/{place.namespace}/configmaps/{wanted['metadata']['name']}"
    verify = ssl.create_default_context(cafile=str(credentials / "ca.crt")) if server.startswith("https:") else True
    with httpx.Client(base_url=server, verify=verify, timeout=TIMEOUT_S, trust_env=False) as client:
        done = client.patch(path, params={"fieldManager": "stackproof-inventory", "force": "true"}, headers=headers, content=json.dumps(wanted))
    done.raise_for_status()


def main(arguments: list[str] | None = None) -> int:
    """Until SIGTERM. A round that fails is told on stderr and tried again soon; only a wrong option ends it."""
    import httpx

    parser = argparse.ArgumentParser(description="Write this node's inventory into a ConfigMap, again and again.")
    for option in ("--name", "--node", "--namespace", "--pod", "--pod-uid"):
        parser.add_argument(option, required=True)
    parser.add_argument("--every", type=float, default=3600.0, metavar="SECONDS")
    options = parser.parse_args(arguments)
    place = Place(options.name, options.node, options.namespace, options.pod, options.pod_uid)
    if len(config_map_name(place.name, place.node)) > LONGEST_NAME:
        parser.error("--node: with --name it is too long to name a ConfigMap: install the chart under a shorter name")
    server = f"https://{_bracketed(os.environ.get('KUBERNETES_SERVICE_HOST', ''))}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}"
    stopped = threading.Event()
    # A container's first process is not ended by a signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    wait_s = 0.0
    while not stopped.wait(wait_s):
        try:
            publish(place, server)
        except (OSError, httpx.HTTPError) as error:
            sys.stderr.write(f"inventory not written: {error}\n")
            wait_s = RETRY_S
        else:
            wait_s = options.every * random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311 - spreads load, guards nothing
    return 0


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


if __name__ == "__main__":
    sys.exit(main())
