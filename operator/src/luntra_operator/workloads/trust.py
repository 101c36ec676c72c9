"""Let a container trust the CA certificates of a ConfigMap: for registries with a private CA.

OpenSSL, and with it Python, reads the file that SSL_CERT_FILE names instead of the image's own.
"""

from typing import Any

from luntra_operator.api.spec import ConfigMapKey

_FOLDER = "/etc/luntra-ca"


def trust(pod: dict[str, Any], container: dict[str, Any], ref: ConfigMapKey | None) -> None:
    """Mount the ConfigMap into `container` of the pod spec and point SSL_CERT_FILE at it; nothing without a reference."""
    if ref is None:
        return
    volume = {"name": "ca", "configMap": {"name": ref.name, "items": [{"key": ref.entry, "path": ref.entry}]}}
    pod["volumes"] = [*pod.get("volumes", []), volume]
    mount = {"name": "ca", "mountPath": _FOLDER, "readOnly": True}
    container["volumeMounts"] = [*container.get("volumeMounts", []), mount]
    container["env"] = [*container.get("env", []), {"name": "SSL_CERT_FILE", "value": f"{_FOLDER}/{ref.entry}"}]
