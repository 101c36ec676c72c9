"""Which ModelDeployments care for an HTTPRoute that they do not own: no owner reference leads from it to them."""

from collections.abc import Collection, Mapping
from typing import Any

from luntra_operator.controller.queue import Key
from luntra_operator.traffic.adopted import named


class LentRoutes:
    """An index from routes to objects, kept from what the watch tells of objects; as large as there are objects that adopt."""

    def __init__(self) -> None:
        """Know nothing yet; the first list tells of everything."""
        self._routes: dict[Key, frozenset[str]] = {}

    def learn(self, body: Mapping[str, Any]) -> None:
        """Remember which routes an object adopts by its spec, or still has its weights in by its status."""
        today = named(body.get("spec"))
        names = frozenset([*([today] if today else []), *((body.get("status") or {}).get("adopted") or ())])
        if names:
            self._routes[_key(body)] = names
        else:
            self.forget(body)

    def forget(self, body: Mapping[str, Any]) -> None:
        """The object is gone."""
        self._routes.pop(_key(body), None)

    def keep_only(self, keys: Collection[Key]) -> None:
        """Forget objects whose deletion was missed."""
        self._routes = {key: names for key, names in self._routes.items() if key in keys}

    def keys(self, namespace: str, route: str) -> list[Key]:
        """The objects that care for a route."""
        return [key for key, names in self._routes.items() if key[0] == namespace and route in names]


def _key(body: Mapping[str, Any]) -> Key:
    return body["metadata"]["namespace"], body["metadata"]["name"]
