"""What all other tests on the cluster stand on: a request to a Service gets to it, or nowhere."""

import pytest

from e2e.installation import NAMESPACE, RELEASE, Installation
from e2e.kind.errors import HarnessError

UNKNOWN = "10.96.255.254"
"""A ClusterIP that no Service has."""
CONNECT = f"import socket; socket.create_connection(('{UNKNOWN}', 15010), 3)"


def test_what_is_sent_to_an_unknown_service_does_not_leave_the_cluster(installation: Installation) -> None:
    """Breaks, where somebody outside answers every address, if kube-proxy lets addresses pass that it does not know."""
    with pytest.raises(HarnessError, match=r"TimeoutError|ConnectionRefusedError|unreachable"):
        installation.cluster.kubectl(
            "exec", f"--namespace={NAMESPACE}", f"deployment/{RELEASE}", "--", "python3", "-c", CONNECT
        )
