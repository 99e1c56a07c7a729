"""The Kubernetes API, reached by the official client (edge): which cluster, one GET, and what a refusal means."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack.hardware_profiles.cluster.wire import Status, decoder
from stack.runtime.errors import StackproofError

CONNECT_S, READ_S = 5.0, 60.0
RETRIES = 2
IN_CLUSTER_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
LONGEST = 200
"""Characters of an answer that a message repeats."""


class ClusterError(StackproofError):
    """No cluster was named, or its API does not answer as one: the message says which server, and the mend."""


class RefusedError(Exception):
    """403: these credentials may not read this; `reason` has the server's words."""


class MissingError(Exception):
    """404: this API server does not offer it."""


class ExpiredError(Exception):
    """410: the list behind a continue token is no longer kept."""


@dataclass(frozen=True)
class Api:
    """One cluster's API. `client` is a `kubernetes.client.ApiClient`."""

    client: Any
    server: str

    def get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> bytes:
        """The body of a successful GET.

        RefusedError, MissingError, ExpiredError where the caller can go on; ClusterError for everything else: no connection, no
        answer in time, bad credentials, an error of the server.
        """
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

        headers = {"Accept": "application/json"}
        request = self.client.param_serialize("GET", path, query_params=list(query), header_params=headers, auth_settings=["BearerToken"])
        for tries_left in reversed(range(RETRIES + 1)):
            try:
                answer = self.client.call_api(*request, _request_timeout=(CONNECT_S, READ_S))
                body = bytes(answer.read())
            except (ProtocolError, ReadTimeoutError) as error:
                # The connection broke within the answer. urllib3 tries again only until an answer begins.
                if not tries_left:
                    raise ClusterError(f"{self.server}: its answers break off ({_cause(error)}): ask again when it is well") from None
            except (HTTPError, ApiException) as error:
                raise self._unreachable(error) from None
            else:
                break
        _check(answer.status, body, path, self.server)
        return body

    def _unreachable(self, error: Exception) -> ClusterError:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import SSLError

        # The client raises an ApiException for a failed handshake, unless urllib3 has tried it several times.
        reason = getattr(error, "reason", None)
        if isinstance(error, ApiException) or isinstance(reason, SSLError):
            return ClusterError(f"{self.server}: no secure connection ({_cause(reason)}): check the context's certificate authority")
        cause = _cause(error if reason is None else reason)
        return ClusterError(f"{self.server}: no answer ({cause}): is the cluster up, and reachable from here? --context names another")


def connect(kubeconfig: Path | None, context: str | None) -> Api:
    """The cluster of a kubeconfig's context; inside a pod, with neither named, the pod's own. No request is made yet."""
    try:
        from kubernetes import client, config
    except ImportError:
        raise ClusterError("--cluster needs the Kubernetes client: pip install 'stackproof[cluster]'") from None
    from urllib3 import Retry

    settings = client.Configuration()
    settings.retries = Retry(total=RETRIES, backoff_factor=0.5)
    try:
        if kubeconfig is None and context is None and _in_pod():
            config.load_incluster_config(settings)
        else:
            # `persist_config` would write renewed tokens into the user's file.
            config.load_kube_config(None if kubeconfig is None else str(kubeconfig), context, settings, persist_config=False)
    except Exception as error:  # the client's loader raises whatever a malformed file runs into
        said = _one_line(str(error)) if isinstance(error, config.ConfigException) else "it is not written as one"
        file = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
        raise ClusterError(f"kubeconfig {file}: no usable cluster ({said}): name a file with --kubeconfig, its context with --context") from None
    return Api(client.ApiClient(settings), settings.host)


def _in_pod() -> bool:
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and IN_CLUSTER_TOKEN.is_file() and not os.environ.get("KUBECONFIG")


def _check(status: int, body: bytes, path: str, server: str) -> None:
    if status == 200:
        return
    said = _said(body)
    match status:
        case 401:
            raise ClusterError(f"{server}: refused the credentials (401): log in to the cluster again, or name another --context")
        case 403:
            raise RefusedError(said)
        case 404:
            raise MissingError(said)
        case 410:
            raise ExpiredError(said)
    raise ClusterError(f"{server}: answered {status} to GET {path} ({said or 'no reason given'}): ask again when the API server is well")


def _said(body: bytes) -> str:
    try:
        return _one_line(decoder(Status)(body).message or "")
    except ValueError:
        return _one_line(body[:LONGEST].decode(errors="replace"))


def _cause(error: object) -> str:
    """The last part of urllib3's chain of causes."""
    return _one_line(str(error)).rpartition("> ")[2].rpartition(": ")[2] or type(error).__name__


def _one_line(text: str) -> str:
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."
