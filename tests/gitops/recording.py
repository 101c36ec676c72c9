"""ModelDeployments as the operator leaves them in each of their situations, recorded from rollouts in memory.

`python -m tests.gitops.recording` writes them into objects/, where others can read them without an operator; a test compares.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from luntra_operator.api.vocabulary import Phase
from luntra_operator.kube import kinds
from luntra_operator.rollout.observed import Figures, Judgement
from tests.operator.controller.in_memory import KEY, MD, Operator, model, model_deployment

Object = dict[str, Any]
FOLDER = Path(__file__).parent / "objects"
ROLLOUT = model_deployment()["spec"]["rollout"]
CHECKS = {
    "checks": {
        "evaluation": {
            "dataset": {"uri": "https://models.example/eval.npz", "digest": "sha256:" + "e" * 64},
            "metric": "accuracy",
            "min": 0.9,
        }
    }
}


async def turn(operator: Operator) -> None:
    """One look of the operator at a cluster in which all goes well."""
    operator.play_cluster()
    again = await operator.reconcile(KEY)
    operator.now += timedelta(seconds=again or 0.1)


async def until(operator: Operator, phase: Phase) -> Operator:
    """Turns until the object is in this phase."""
    for _ in range(40):
        if operator.status.get("phase") == phase:
            return operator
        await turn(operator)
    raise AssertionError(f"never {phase}: {operator.status}")


async def created() -> Operator:
    """No operator has seen it yet."""
    return Operator()


async def first() -> Operator:
    """The first version gets ready, and nothing serves yet."""
    return await until(Operator(), Phase.PREPARING)


async def stable() -> Operator:
    operator = Operator()
    await operator.settle()
    return operator


async def edited() -> Operator:
    """The operator has not seen the newest generation yet."""
    operator = await stable()
    operator.edit(model=model("v2"))
    return operator


async def rolling(phase: Phase, **rollout: Any) -> Operator:
    """The second version, in this phase."""
    operator = await edited()
    operator.edit(rollout={**ROLLOUT, **rollout})
    return await until(operator, phase)


async def shifting() -> Operator:
    operator = await rolling(Phase.SHIFTING)
    await operator.settle()
    return operator


async def silent() -> Operator:
    """A metric has no data, so that the step is held."""
    operator = await shifting()
    operator.metrics.said = (
        Judgement("errorRate", "Pass", "0.1 % of 812", figures=Figures(0.001, 812, 0.002, 7402)),
        Judgement("latency", "NoData", "no request yet"),
    )
    await turn(operator)
    return operator


async def approval() -> Operator:
    operator = await rolling(Phase.AWAITING_APPROVAL, approval="BeforeTraffic")
    await turn(operator)
    return operator


async def paused() -> Operator:
    operator = await shifting()
    operator.edit(rollout={**ROLLOUT, "paused": True})
    await turn(operator)
    return operator


async def invalid() -> Operator:
    operator = await stable()
    operator.edit(replicas=-1)
    await turn(operator)
    return operator


async def taken_back(phase: Phase) -> Operator:
    operator = await shifting()
    operator.metrics.said = (Judgement("errorRate", "Fail", "4.1 % of 812"),)
    return await until(operator, phase)


async def short() -> Operator:
    """One of two pods has gone at rest."""
    return await without(await stable(), 1)


async def unserved() -> Operator:
    """All pods have gone at rest."""
    return await without(await stable(), 2)


async def without(operator: Operator, pods: int) -> Operator:
    (name,) = operator.kube.names(kinds.DEPLOYMENT)
    for number in range(pods):
        labels = operator.kube.peek(kinds.POD, f"{name}-{number}")["metadata"]["labels"]
        operator.pod(f"{name}-{number}", labels, ready=False)
    slices = operator.kube.peek(kinds.ENDPOINT_SLICE, name)
    slices["endpoints"] = slices["endpoints"][pods:]
    operator.kube.put(kinds.ENDPOINT_SLICE, slices)
    await operator.reconcile(KEY)
    return operator


async def deleted() -> Operator:
    operator = await stable()
    body = operator.kube.peek(MD, KEY[1])
    body["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    return operator


SITUATIONS: dict[str, Callable[[], Awaitable[Operator]]] = {
    "created": created,
    "first": first,
    "stable": stable,
    "edited": edited,
    "preparing": lambda: rolling(Phase.PREPARING),
    "checking": lambda: rolling(Phase.CHECKING, **CHECKS),
    "shifting": shifting,
    "silent": silent,
    "approval": approval,
    "paused": paused,
    "soaking": lambda: rolling(Phase.SOAKING, steps=[]),
    "invalid": invalid,
    "rolling-back": lambda: taken_back(Phase.ROLLING_BACK),
    "rolled-back": lambda: taken_back(Phase.ROLLED_BACK),
    "short": short,
    "unserved": unserved,
    "deleted": deleted,
}
"""All phases that last, and what else a health check must tell apart."""


async def _recorded() -> dict[str, Object]:
    return {name: (await story()).kube.peek(MD, KEY[1]) for name, story in SITUATIONS.items()}


def recorded() -> dict[str, Object]:
    """Tell all of them anew.

    All times are the same one, the traffic has its numbers alone, and the API server's writes are not counted: these change
    with every turn that the engine takes more or less, and nobody outside reads them.
    """
    objects = asyncio.run(_recorded())
    for body in objects.values():
        del body["metadata"]["resourceVersion"]
        traffic = body.get("status", {}).get("traffic", {})
        for name in traffic.keys() - {"workload", "desired", "written", "observed"}:
            del traffic[name]
    return {name: _without_clock(body) for name, body in objects.items()}


def _without_clock(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_clock(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_clock(one) for one in value]
    return re.sub(r"^\d{4}-\d\d-\d\dT[\d:.]+Z$", "2026-01-01T00:00:00Z", value) if isinstance(value, str) else value


def stored() -> dict[str, Object]:
    """Those in the folder."""
    return {path.stem: yaml.safe_load(path.read_text()) for path in FOLDER.glob("*.yaml")}


if __name__ == "__main__":
    for name, body in recorded().items():
        (FOLDER / f"{name}.yaml").write_text(yaml.safe_dump(body, sort_keys=False, allow_unicode=True))
