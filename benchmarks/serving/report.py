"""The page that tells a run: results in, Markdown out; pure. What fell short is said as plainly as what did not."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from benchmarks.serving.closed_loop import CONNECTIONS
from benchmarks.serving.targets import Target, targets
from benchmarks.serving.windows import AFTER_SECONDS, BEFORE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from benchmarks.serving.results import Quantiles, Results, Swaps, Throughput

_MODELS = {
    "points": "a tiny model (3×2 matrix product, softmax)",
    "digits": "the digits CNN (two convolutions, 8×8 pixels)",
}
_ENCODINGS = {"json": "JSON", "binary": "Binary tensors", "grpc": "gRPC"}
_BUSY = 0.5


def render(results: Results, picture: str) -> str:
    """The whole page; `picture` is the path of the SVG as the page refers to it."""
    titles = {one.name: one.title for one in results.servers}
    noisy = any(one.met is None for one in targets(results))
    parts = [
        "# Benchmarks of the model server",
        "<!-- Written by `python -m benchmarks.serving.publish` from benchmarks/serving/results.json; do not edit. -->",
        _introduction(results),
        f"![Throughput, and latency while the model is changed]({picture})",
        "## Targets",
        table(
            ["what", "target", "found", ""],
            ([one.what, one.wanted, one.found, verdict(one)] for one in targets(results)),
        ),
        "*Undecided*: the machine was too busy with other things, see *without a change* below." if noisy else "",
        "## Throughput",
        f"Answers per second in a closed loop: median of {_repeats(results)} (lowest to highest). Below it, microseconds "
        "of the server's processor for one answer, of all its processes: a figure that hardly minds who else is at work on "
        "the machine.",
        *_throughput(results.throughput, titles),
        "## Changing the model under load",
        _swap_words(results),
        *(part for rate in sorted({one.rate for one in results.swaps}) for part in _swaps(results, rate, titles)),
        _METHOD.format(before=f"{BEFORE_SECONDS:g}", after=f"{AFTER_SECONDS:g}", reloads=_reloads(results)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def verdict(target: Target) -> str:
    """A target's outcome, loud unless it was met."""
    return target.verdict if target.met else f"**{target.verdict}**"


def _introduction(results: Results) -> str:
    machine, calibration = results.machine, results.calibration
    lines = [
        f"`make bench-serving` on {machine.date}: {machine.processor}, {machine.cores} cores, "
        f"{machine.memory_bytes / 2**30:.0f} GiB, {machine.system}, Python {machine.python}, onnxruntime "
        f"{machine.onnxruntime}; {results.seconds / 60:.0f} minutes. Client and server have one core each.",
        f"Calibration: an empty function call takes {calibration.empty_call_seconds * 1e9:.0f} ns here, memory is copied at "
        f"{calibration.copy_bytes_per_second / 1e9:.1f} GB/s. Figures of different machines are not to be compared; ratios "
        "within one run are.",
    ]
    if machine.load_before > _BUSY:
        lines.append(
            f"**The machine was not idle**: its load average was {machine.load_before:g} before the run, so rates are lower "
            "and latencies higher than they would be alone. All servers were disturbed alike."
        )
    if results.quick:
        lines.append("**This was a quick run**, which shows that the benchmark works and proves nothing.")
    return "\n\n".join(lines)


def _throughput(cells: Sequence[Throughput], titles: dict[str, str]) -> Iterator[str]:
    for model, described in _MODELS.items():
        for encoding, heading in _ENCODINGS.items():
            chosen = [one for one in cells if one.model == model and one.encoding == encoding]
            if chosen:
                yield f"### {heading}, {described}"
                yield table(["server", *_heads("answers/s"), *_heads("µs")], _rows(chosen, titles))
    bad = sum(one.bad for one in cells)
    if cells:
        yield f"Answers that were not 2xx, and broken connections, in all of these: {bad}."


def _heads(unit: str) -> list[str]:
    return [f"{unit}, c = {connections}" for connections in CONNECTIONS]


def _rows(cells: Sequence[Throughput], titles: dict[str, str]) -> Iterator[list[str]]:
    for server, title in titles.items():
        own = {one.connections: one for one in cells if one.server == server}
        if own:
            rates = [_spread(own[many].rates) for many in CONNECTIONS]
            yield [title, *rates, *(f"{median(own[many].costs) * 1e6:.0f}" for many in CONNECTIONS)]


def _spread(rates: Sequence[float]) -> str:
    middle = f"{median(rates):,.0f}"
    return middle if len(rates) == 1 else f"{middle} ({min(rates):,.0f} to {max(rates):,.0f})"


def _repeats(results: Results) -> int:
    return max((len(one.rates) for one in results.throughput), default=0)


def _swap_words(results: Results) -> str:
    if not results.swaps:
        return ""
    return (
        "The digits CNN, JSON, v1 and v2 in turn. Latency counts from the instant at which a request was due. *Before* is "
        "the time shortly before each change, *during* lasts from the order to shortly after the first answer of the new "
        "version; *without a change* is the same ratio over windows in which nothing happened, that is to say, noise. *At "
        "rest* is before all changes; where *before* is much worse, the server had not recovered from the change before."
    )


def _swaps(results: Results, rate: int, titles: dict[str, str]) -> Iterator[str]:
    yield f"### {rate:,} requests per second"
    heads = [
        "server",
        "changes",
        "one takes",
        "p50 / p99 / p99.9 at rest, ms",
        "before, ms",
        "during, ms",
        "p99 ratio",
        "without a change",
    ]
    rows = [_swap_row(one, titles[one.server]) for one in results.swaps if one.rate == rate]
    yield table([*heads, "errors", "resets", "wrong", "memory per change"], rows)


def _swap_row(swaps: Swaps, title: str) -> list[str]:
    if swaps.saturated:
        return [title, "does not keep up with this rate at rest", *[""] * 10]
    if swaps.windows is None or swaps.control is None:
        return [title, "restart only", *[""] * 10]
    took = f"{swaps.swap_median_seconds * 1e3:,.0f} ms (at most {swaps.swap_max_seconds * 1e3:,.0f})"
    ratios = [f"**{swaps.windows.ratio:,.2f}**", f"{swaps.control.ratio:,.2f}"]
    counted = [f"{swaps.errors} of {swaps.requests:,}", str(swaps.resets), f"{swaps.wrong} of {swaps.checked:,}"]
    memory = f"{swaps.bytes_per_swap / 2**20:+.2f} MiB"
    pooled = (swaps.control.before, swaps.windows.before, swaps.windows.during)
    windows = [_milliseconds(latencies) for latencies in pooled]
    changes = f"{swaps.swaps}, then broken off: {swaps.broken_off}" if swaps.broken_off else str(swaps.swaps)
    return [title, changes, took, *windows, *ratios, *counted, memory]


def _milliseconds(latencies: Quantiles) -> str:
    return " / ".join(f"{seconds * 1e3:,.1f}" for seconds in (latencies.p50, latencies.p99, latencies.p999))


def _reloads(results: Results) -> str:
    return "\n".join(f"- {one.title}: {one.reloading}." for one in results.servers)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [list(heads), ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


_METHOD = """## How it is measured

- **The same work.** All servers run the same ONNX file with the same onnxruntime and one intra-op thread; normalisation
  and softmax are inside the graph. Peers get the smallest model class that their documentation suggests, in
  `benchmarks/serving/inside`. Answers are compared with onnxruntime's own before and after each measurement.
- **Ours** runs as in a pod, by document, with metrics, statistics, admission, deadlines (30 s) and logs on. Peers' access
  logs are off (ours are off by default), and so are Triton's metrics.
- **Triton** is tritonserver 2.51 with its Python backend, as the nvidia-pytriton wheel has it: Triton's front end before a model
  in Python. Its native onnxruntime backend is not in the wheel, would be faster, and nothing is claimed about it.
- **MLServer** runs with `parallel_workers` 0, in one process; its HTTP port has no binary tensors. **KServe** is its Python
  server with one worker.
- **Throughput**: wrk, one thread, pinned to one core, the server and its children to another; over gRPC perf_analyzer, NVIDIA's own
  client in C++, pinned likewise. It may be the slower side there, so look at the processor's time too. Each server has a fresh process for
  each model and repeat, and the servers take turns within a repeat.
- **Changes**: a client that sends at a constant rate over at most 64 connections, whatever the server does. A request waits for
  a free connection on its own time, so a stall is seen by all who would have come meanwhile (coordinated omission
  corrected). *Before* is {before} s before each order; *during* ends {after} s after the first answer of the new version. Windows of all
  changes are pooled. Every 25th answer is checked: it has to be one version's or the other's. Memory per change is what the
  processes have grown by over all changes of one rate, divided by their number.
- How each server is told:

{reloads}

## Limits

- One machine, two cores, one client process, loopback, a batch of one. Servers that would use more cores or batches gain
  nothing from them here.
- gRPC is compared with Triton alone. CPU only.
- Models are small, so that the servers and not the models are compared: with a model that computes for 10 ms they would all
  look alike in throughput.
- p99.9 of some thousand requests rests on a handful of them.
- The server has one core, and a version that loads computes on it too, a few milliseconds beside requests. A window of 0.2 s has
  some 40 requests at 200/s, so that the one or two that meet a load are the p99 of all. What a second core would change
  is not measured: the client has it."""
