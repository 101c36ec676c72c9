"""Grafana's dashboards as lists of panels; `python -m charts.dashboards` (make dashboards) writes them into the chart.

What differs from panel to panel is its title, its unit and its queries: only that is written here, from left to right and from
top to bottom. Their JSON says everything else thirty times over.
"""

from __future__ import annotations

import json
from pathlib import Path

from charts.grafana import Json, Panel, dashboard, variable

FOLDER = Path(__file__).parent / "luntra/files/dashboards"


def stat(title: str, expression: str, *, bad: float | None = None, unit: str = "short", width: int = 4) -> Panel:
    """One number, red from `bad` on."""
    colours = (("green", None), ("red", bad)) if bad is not None else (("text", None),)
    return Panel(title, "stat", unit, {"": expression}, width=width, height=4, colours=colours)


def graph(
    title: str, unit: str, *, width: int = 8, description: str = "", top: float | None = None, **queries: str
) -> Panel:
    """Lines over time; a legend `by_a_b` shows the labels a and b, others are the text itself."""
    legends = {
        " ".join(f"{{{{{name}}}}}" for name in legend[3:].split("_"))
        if legend.startswith("by_")
        else legend: expression
        for legend, expression in queries.items()
    }
    return Panel(title, "timeseries", unit, legends, width=width, description=description, top=top)


def table(title: str, expression: str, *columns: str, width: int = 12, description: str = "") -> Panel:
    """The labels of all series of the moment."""
    return Panel(title, "table", "short", {"": expression}, width=width, columns=columns, description=description)


def rate(metric: str, by: str, where: str = "") -> str:
    """PromQL for what a counter, or a histogram's buckets, gains a second, by some labels."""
    series = f"{metric}{{{where}}}" if where else metric
    return f"sum by ({by}) (rate({series}[$__rate_interval]))"


def quantile(share: float, histogram: str, by: str = "", where: str = "") -> str:
    """PromQL for a quantile, by some labels."""
    return f"histogram_quantile({share}, {rate(histogram + '_bucket', ', '.join(filter(None, ('le', by))), where)})"


UNDER_WAY = 'phase!~"Stable|RolledBack"'

FLEET: dict[str, tuple[Panel, ...]] = {
    "Now": (
        stat("Models", "sum(luntra_objects)"),
        stat("Rollouts under way", f"sum(luntra_objects{{{UNDER_WAY}}})"),
        stat("Refused", 'sum(luntra_objects{phase="RolledBack"})', bad=1),
        stat("Waiting for a person", 'count(luntra_object_condition{condition="Stalled"}) or vector(0)', bad=1),
        stat("Without a ready pod", 'count(luntra_object_condition{condition="Available"}) or vector(0)', bad=1),
        stat("Operators that act", "sum(luntra_leader)"),
        table(
            "What asks for a person",
            "luntra_object_condition",
            *("namespace", "name", "condition", "reason"),
            description="Stalled, OverBudget, or not Available. A first version on its way is not Available either.",
        ),
        table(
            "Rollouts under way",
            f"luntra_object_info{{{UNDER_WAY}}}",
            *("namespace", "name", "phase", "version", "candidate"),
        ),
    ),
    "Rollouts": (
        graph("Models by phase", "short", by_phase="sum by (phase) (luntra_objects) > 0"),
        graph(
            "Rollouts that ended, per hour",
            "short",
            by_outcome="sum by (outcome) (increase(luntra_rollouts_total[1h]))",
        ),
        graph("Accelerators of the budget", "short", by_what="max by (what) (luntra_accelerators)"),
        table(
            "All models",
            "luntra_object_info",
            *("namespace", "name", "model", "phase", "version", "candidate"),
            width=24,
        ),
    ),
    "Operator": (
        graph("Turns", "ops", by_result=rate("luntra_reconcile_total", "result")),
        graph(
            "Time of a turn",
            "s",
            median=quantile(0.5, "luntra_reconcile_duration_seconds"),
            p99=quantile(0.99, "luntra_reconcile_duration_seconds"),
        ),
        graph(
            "Waiting",
            "s",
            overdue="max(luntra_queue_overdue_seconds)",
            longest="max(luntra_work_longest_seconds)",
            description="How long something has been due, and how long the longest turn has been under way.",
        ),
        graph(
            "Objects in the queue",
            "short",
            waiting="sum(luntra_queue_length)",
            busy="sum(luntra_workers_busy)",
            failing="sum(luntra_queue_failing)",
        ),
        graph("Requests to the API server", "reqps", by_verb_code=rate("luntra_api_requests_total", "verb, code")),
        graph(
            "Their time, p99",
            "s",
            by_verb=quantile(0.99, "luntra_api_request_duration_seconds", "verb"),
        ),
        graph(
            "Last sign of life of a watch",
            "s",
            by_kind="max by (kind) (time() - luntra_watch_last_success_timestamp_seconds)",
        ),
        graph("Memory", "bytes", by_pod="process_resident_memory_bytes and on (instance, pod) luntra_leader"),
        graph(
            "CPU",
            "short",
            by_pod="rate(process_cpu_seconds_total[$__rate_interval]) and on (instance, pod) luntra_leader",
            description="Cores.",
        ),
    ),
}

OBJECT = 'namespace="$namespace", name="$name"'
HERE = 'namespace="$namespace"'
MODEL = f'{HERE}, model="$model"'
FAILED = f'{MODEL}, code=~"5..|429"'
OF_MODEL = f"and on (pod) luntra_model_resident_bytes{{{MODEL}}}"
REQUESTS, ANSWERS = "luntra_inference_requests_total", "luntra_inference_duration_seconds"


ROLLOUT: dict[str, tuple[Panel, ...]] = {
    "Rollout": (
        table("Now", f"luntra_object_info{{{OBJECT}}}", *("phase", "version", "candidate")),
        table("What asks for a person", f"luntra_object_condition{{{OBJECT}}}", *("condition", "reason")),
        graph(
            "Traffic",
            "percent",
            by_workload_number=f"luntra_rollout_weight_percent{{{OBJECT}}}",
            description="Share of the candidate, or after promotion of the new stable version: decided, in the route, and seen.",
            top=100,
        ),
        graph("Ready pods", "short", by_role_version=f"luntra_rollout_ready_pods{{{OBJECT}}}"),
        graph(
            "In this phase for",
            "s",
            by_phase=f"time() - luntra_rollout_phase_start_timestamp_seconds{{{OBJECT}}}",
        ),
        table("Verdicts", f"luntra_metric_verdict{{{OBJECT}}}", *("metric", "verdict"), width=8),
        graph("Figures behind the verdicts", "short", by_metric_role=f"luntra_metric_value{{{OBJECT}}}"),
        graph(
            "Verdicts that are no pass",
            "short",
            by_metric_verdict=f'luntra_metric_verdict{{{OBJECT}, verdict!="Pass"}}',
            description="A fail takes the version back; NoData and Error hold it where it is.",
        ),
    ),
    "What users get": (
        graph("Requests", "reqps", by_version=rate(REQUESTS, "version", MODEL)),
        graph(
            "Share that failed",
            "percentunit",
            by_version=(
                f"({rate(REQUESTS, 'version', FAILED)} or 0 * {rate(REQUESTS, 'version', MODEL)})"
                f" / {rate(REQUESTS, 'version', MODEL)}"
            ),
            description="Answers 5xx and 429 of all answers.",
        ),
        graph("Answers by code", "reqps", by_code_version=rate(REQUESTS, "code, version", MODEL)),
        graph("Time of an answer, median", "s", by_version=quantile(0.5, ANSWERS, "version", MODEL)),
        graph("Time of an answer, p99", "s", by_version=quantile(0.99, ANSWERS, "version", MODEL)),
        graph("In flight", "short", by_version=f"sum by (version) (luntra_inference_in_flight{{{MODEL}}})"),
    ),
    "Servers": (
        graph(
            "Memory of the versions",
            "bytes",
            by_pod_version_memory=f"sum by (pod, version, memory) (luntra_model_resident_bytes{{{MODEL}}})",
        ),
        graph(
            "Transitions, per minute",
            "short",
            by_transition=rate("luntra_model_transitions_total", "transition", MODEL) + " * 60",
        ),
        table(
            "Seconds of the last load",
            f"luntra_model_load_duration_seconds{{{MODEL}}}",
            "pod",
            "version",
            "stage",
            "Value",
            width=8,
        ),
        graph(
            "Waiting or running",
            "short",
            by_pod=f"luntra_inference_queue{{{HERE}}} {OF_MODEL}",
        ),
        graph(
            "Lag of the event loop, p99",
            "s",
            by_pod=f"{quantile(0.99, 'luntra_event_loop_lag_seconds', 'pod', HERE)} {OF_MODEL}",
        ),
        graph("Copies for a candidate", "reqps", by_version=rate("luntra_shadow_requests_total", "version", MODEL)),
    ),
}

CHOICE = (
    variable("namespace", "label_values(luntra_object_info, namespace)"),
    variable("name", 'label_values(luntra_object_info{namespace="$namespace"}, name)'),
    variable("model", 'label_values(luntra_object_info{namespace="$namespace", name="$name"}, model)', hidden=True),
)


def dashboards() -> dict[str, Json]:
    """Both, by the name of their file."""
    return {
        "fleet.json": dashboard("luntra-fleet", "Luntra: all models", FLEET),
        "rollout.json": dashboard("luntra-rollout", "Luntra: one model", ROLLOUT, CHOICE),
    }


def text(board: Json) -> str:
    """The content of the file."""
    return json.dumps(board, indent=1) + "\n"


if __name__ == "__main__":
    for name, board in dashboards().items():
        (FOLDER / name).write_text(text(board))
