"""The page that tells a run: results in, Markdown out; pure. What fell short is said as plainly as what did not."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from benchmarks.operator.targets import OURS, targets
from benchmarks.serving.report import table, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.operator.results import Idle, Load, Reaction, Results, What

_BUSY = 0.5
_WORDS: dict[What, tuple[str, str]] = {
    "echo": (
        "a watched write → a write in answer, by a program that does nothing else",
        "the control: nobody can be faster here",
    ),
    "noticed": ("a new spec → the first write because of it", "from the arrival of the person's write"),
    "first weight": (
        "a new spec → the new version has its first weight",
        "no checks are declared, pods are ready at once",
    ),
    "bad": ("the metric source begins to say bad → weight 0", "the same moment for both: nobody has asked yet"),
    "told": ("a look is answered with bad for the first time → weight 0", "from the moment of the answer"),
    "death": (
        "a pod of the new version dies → weight 0",
        "from the arrival of the kubelet's write; no metric turns bad",
    ),
    "edit": ("weights of a rollout are written by somebody else → repaired", "20 % becomes 50 %"),
    "edit under load": ("the same at rest, in the largest fleet while others roll", "100 becomes 50"),
}


def render(results: Results, picture: str) -> str:
    """The whole page; `picture` is the path of the SVG as the page refers to it."""
    parts = [
        "# Benchmarks of the operator",
        "<!-- Written by `python -m benchmarks.operator.publish` from benchmarks/operator/results.json; do not edit. -->",
        _introduction(results),
        "## Targets",
        table(
            ["what", "target", "found", ""],
            ([one.what, one.wanted, one.found, verdict(one)] for one in targets(results)),
        ),
        *_reactions(results),
        *_requests(results),
        *_loads(results, picture),
        _METHOD,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _introduction(results: Results) -> str:
    machine = results.machine
    titles = " and ".join(one.title for one in results.contenders)
    lines = [
        f"`make bench-operator` on {machine.date}: {titles}, side by side on one API server; {machine.processor}, "
        f"{machine.cores} cores, {machine.memory_bytes / 2**30:.0f} GiB, {machine.system}, Python {machine.python}; "
        f"{results.seconds / 60:.0f} minutes."
    ]
    if results.quick:
        lines.append("**This was a quick run**, which shows that the benchmark works and proves nothing.")
    if results.broken_off:
        lines.append(f"**This run broke off**, so that some of it is missing: {results.broken_off.splitlines()[0]}")
    if machine.load_before > _BUSY:
        lines.append(
            f"**The machine was not idle**: its load average was {machine.load_before:g} before the run. All were disturbed alike."
        )
    return "\n\n".join(lines)


def _titles(results: Results) -> dict[str, str]:
    return {one.name: one.title for one in results.contenders} | {"echo": "(control)"}


def _reactions(results: Results) -> Iterator[str]:
    if not results.reactions:
        return
    yield "## Reactions"
    yield (
        "Seconds at the API server: from the arrival of what happened to the answer to the write that follows. Median, 99th "
        "percentile (with fewer than 100 samples, the longest), and the range. *Metric every*: as declared; of 1 s Flagger "
        "makes 10 s."
    )
    titles = _titles(results)
    rows = [
        _reaction(one, words, note, titles)
        for what, (words, note) in _WORDS.items()
        for one in results.reactions
        if one.what == what
    ]
    yield table(["from → to", "note", "", "metric every", "median", "p99", "range", "samples"], rows)
    for adoption in results.adoptions:
        after = ", ".join(f"{weight} %" for weight in sorted(set(adoption.next_weights)))
        yield (
            f"{titles[adoption.contender]} does not repair an edit, it adopts it: after {adoption.edited} % instead of 20 % "
            f"the next weight that it wrote, of the steps 20 and 60, was {after}."
        )


def _reaction(one: Reaction, words: str, note: str, titles: dict[str, str]) -> list[str]:
    interval = f"{one.interval} s" if one.interval else "–"
    head = [words, note, titles[one.contender], interval]
    never = f"**not within {one.within:g} s**: {one.never} of {one.never + len(one.samples)}"
    if not one.samples:
        return [*head, never, "", "", "0"]
    counted = f"{len(one.samples)}{'; ' + never if one.never else ''}"
    spread = f"{min(one.samples):.3f} to {max(one.samples):.3f}"
    return [*head, f"{one.median:.3f}", f"{one.p99:.3f}", spread, counted]


def _requests(results: Results) -> Iterator[str]:
    titles = _titles(results)
    if results.costs:
        yield "## Requests at the API server"
        yield "### Of a rollout"
        yield "From the change of the spec to its end, steps 20 and 60, no checks, no metrics, two pods."
        yield table(
            ["", "rollouts", "requests, median (range)", "seconds, median", "what"],
            (
                [
                    titles[one.contender],
                    str(len(one.requests)),
                    f"{median(one.requests):.0f} ({min(one.requests)} to {max(one.requests)})",
                    f"{median(one.seconds):.1f}",
                    _kinds(one.kinds),
                ]
                for one in results.costs
            ),
        )
    if results.idle:
        yield "### Of idle objects"
        yield (
            "*About objects*: requests about single objects. *Lists*: of all objects of a kind at once. *Others* do not grow "
            "with the objects: watches that are renewed, a Lease every 2 s (Flagger's is off, as in its chart)."
        )
        heads = [
            "",
            "interval",
            "looks every",
            "objects",
            "seconds",
            "about objects",
            "lists",
            "others",
            "per object and hour",
            "what",
        ]
        yield table(heads, (_idle(one, titles) for one in results.idle))
        if any(one.contender == OURS and one.seconds < 600 for one in results.idle):
            yield "Luntra lists everything again every 600 s, and that is not in this window, so its figure is too low."


def _idle(one: Idle, titles: dict[str, str]) -> list[str]:
    looks = f"{one.seconds * one.objects / one.looks:.1f} s" if one.looks else "–"
    figures = (one.own, one.lists, one.shared)
    return [
        titles[one.contender],
        f"{one.interval} s" if one.interval else "–",
        looks,
        str(one.objects),
        f"{one.seconds:.0f}",
        *(f"{figure:,}" for figure in figures),
        f"**{one.hourly:,.3g}**" if one.hourly < 100 else f"**{one.hourly:,.0f}**",
        _kinds(one.kinds),
    ]


def _kinds(kinds: dict[str, int]) -> str:
    most = sorted(kinds.items(), key=lambda pair: -pair[1])
    rest = sum(count for _, count in most[5:])
    return ", ".join([f"{count:,} {kind}" for kind, count in most[:5]] + ([f"{rest:,} others"] if rest else []))


def _loads(results: Results, picture: str) -> Iterator[str]:
    if not results.loads:
        return
    yield "## Memory and processor"
    yield f"![Memory and processor against the number of objects]({picture})"
    yield (
        "Processes that have just been started on so many objects. *First look*: until each object has been read once, and the "
        "requests until then. *Looked at every*: mean time between two looks at the same object."
    )
    titles = _titles(results)
    heads = ["", "objects", "of which roll", "first look", "memory, MiB", "at most", "cores", "at most in 5 s"]
    yield table([*heads, "requests/s", "looked at every"], (_load(one, titles[one.contender]) for one in results.loads))
    for contender in results.contenders:
        slope = _slope([one for one in results.loads if one.contender == contender.name and not one.rolling])
        if slope:
            yield f"{contender.title}: {slope[0] / 1024:+.1f} KiB and {slope[1] * 1000:+.2f} thousandths of a core per idle object."


def _load(one: Load, title: str) -> list[str]:
    return [
        title,
        f"{one.objects:,}",
        str(one.rolling),
        f"{one.start_seconds:.1f} s, {one.start_requests:,} requests",
        f"{one.resident_bytes / 2**20:.0f}",
        f"{one.peak_bytes / 2**20:.0f}",
        f"{one.cores:.3f}",
        f"{one.peak_cores:.2f}",
        f"{one.rate:.1f}",
        f"{one.visit_seconds:,.0f} s" if one.visit_seconds else "–",
    ]


def _slope(loads: list[Load]) -> tuple[float, float] | None:
    """Bytes and cores per object, by least squares."""
    if len(loads) < 2:
        return None
    middle = sum(one.objects for one in loads) / len(loads)
    spread = sum((one.objects - middle) ** 2 for one in loads)
    memory = sum((one.objects - middle) * one.resident_bytes for one in loads) / spread
    cores = sum((one.objects - middle) * one.cores for one in loads) / spread
    return memory, cores


_METHOD = """## How it is measured

- **One API server** (etcd and kube-apiserver of the version that the cluster tests use, with the controllers for Deployments,
  ReplicaSets, EndpointSlices and garbage collection) for both. Kubelet and gateway are played by one program: pods are Ready and
  routes accepted as soon as they exist, and requests to the data plane are answered by the weights. So no time of a model's
  start or of a real gateway is in the figures: they are what the operators themselves take.
- **All times and counts are of the API server's audit log.** Each contender is a user of its own. A reaction lasts from the
  arrival of the request by which something happens to the answer to the contender's write; only *the metric source begins to
  say bad*, and its answers, are by the source's clock, which is the same machine's.
- **The metric source** answers 0 or 1 for each object, for both the same. Luntra asks it through the port that its own sources
  use. An object turns bad at a random moment. Flagger counts a failed check in one tick and acts in the next, also with a
  threshold of 1; its shortest interval is 10 s.
- **Luntra introduces** a new backend to the gateway with weight 0 and waits 5 s before it gets traffic, because a proxy may hear of
  a route before it hears of the backend. That is nearly all of its *first weight*. Flagger waits for its next tick.
- **A pod dies**: the kubelet writes that one of two pods of the new version has crashed. Flagger waits until the Deployment's progress
  deadline (600 s unless declared), and asks for no metric meanwhile.
- **Edits**: a person writes other weights. Where a contender has not repaired them in time, Flagger's gate for the next step (a webhook,
  closed until then) is opened, to see which weight it writes next.
- **Fleets**: 50 objects in a namespace, one pod each. Objects are made by an operator that is not measured; then a fresh process is
  started. Flagger runs with its chart's settings, 10 s intervals and 100 requests/s (its client's limit: with many objects it
  cannot keep its intervals, see *looked at every*). Objects that roll are all changed within a second or so, with steps of 20 s.

## Limits

- One machine with few cores, shared by the contender, the API server and the world around it; loopback; nobody else writes.
- Administrators are exempt from the API server's priority and fairness, and both are administrators here.
- No webhooks, no admission policies, no real gateway, no real pods."""
