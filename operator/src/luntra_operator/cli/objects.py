"""Access to the ModelDeployments of a cluster: a narrow port, and its adapter over `luntra_operator.kube`.

The adapter turns the API server's refusals into sentences that say what to do; nothing is retried here.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from luntra_operator.api.vocabulary import LABEL_DEPLOYMENT
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import ConflictError, KindMissingError, KubeError, NotPermittedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_FIELD_MANAGER = "luntra-cli"
"""What a person has changed is not the operator's."""

ModelDeployment = dict[str, Any]
"""An object as the API server gives it."""


class AccessError(Exception):
    """The cluster cannot be asked; the text says why and what to do."""


class ChangedMeanwhileError(Exception):
    """Somebody else has written the object since it was read."""


class Objects(Protocol):
    """The ModelDeployments of one cluster. All methods raise AccessError."""

    async def get(self, namespace: str, name: str) -> ModelDeployment | None:
        """Give one object, or None where it does not exist."""
        ...

    async def revisions(self, namespace: str, name: str) -> list[ModelDeployment]:
        """Give the ControllerRevisions of one object."""
        ...

    async def list(self, namespace: str | None) -> list[ModelDeployment]:
        """Give all objects of a namespace, or of all namespaces."""
        ...

    async def replace(self, document: ModelDeployment) -> None:
        """Write an object as it was read and changed. Raises ChangedMeanwhileError too."""
        ...


class ClusterObjects:
    """The port `Objects` over a connection to an API server."""

    def __init__(self, kube: Kube) -> None:
        """Use an open connection."""
        self._kube = kube

    async def get(self, namespace: str, name: str) -> ModelDeployment | None:
        with _explained():
            return await self._kube.get(kinds.MODEL_DEPLOYMENT, namespace, name)

    async def revisions(self, namespace: str, name: str) -> list[ModelDeployment]:
        with _explained():
            return await self._kube.list(kinds.CONTROLLER_REVISION, namespace, f"{LABEL_DEPLOYMENT}={name}")

    async def list(self, namespace: str | None) -> list[ModelDeployment]:
        with _explained():
            return await self._kube.list(kinds.MODEL_DEPLOYMENT, namespace)

    async def replace(self, document: ModelDeployment) -> None:
        try:
            with _explained():
                await self._kube.replace(kinds.MODEL_DEPLOYMENT, document)
        except ConflictError as error:
            raise ChangedMeanwhileError(str(error)) from error


@asynccontextmanager
async def connect(context: str | None, kubeconfig: str | None) -> AsyncIterator[Objects]:
    """Connect to the cluster of a kubeconfig context (None: the current one).

    Raises:
        AccessError: there is no usable configuration.
    """
    with _explained():
        async with Kube.connect(context, kubeconfig, field_manager=_FIELD_MANAGER) as kube:
            yield ClusterObjects(kube)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ConflictError:
        raise
    except KindMissingError as error:
        raise AccessError(
            "the cluster does not know ModelDeployments: install Luntra first (helm install luntra charts/luntra "
            "--namespace luntra-system --create-namespace), or choose another cluster with --context"
        ) from error
    except NotPermittedError as error:
        raise AccessError(
            f"{error}\nAsk for the rights to get, list and update modeldeployments.luntra.io, and to list "
            "controllerrevisions.apps (rollback)"
        ) from error
    except UnavailableError as error:
        raise AccessError(
            f"{error}\nIs the cluster up, and is it the right one? Try `kubectl cluster-info`, or choose with --context "
            "and --kubeconfig"
        ) from error
    except KubeError as error:
        raise AccessError(str(error)) from error
