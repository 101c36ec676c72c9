"""`luntra`, and `kubectl luntra`: read the command line, connect, and map what happens to exit codes.

0: shown, or done; 1: not found, nothing to do that to, or the cluster cannot be asked; 2: wrong usage. An interrupted --watch
ends with 0.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from rich.console import Console

from luntra_operator.cli.change import change
from luntra_operator.cli.kubeconfig import namespace_of
from luntra_operator.cli.objects import AccessError, Objects, connect
from luntra_operator.cli.status import MissingError, Query, show, watch
from luntra_operator.cli.verbs import NotPossibleError

_PURPOSES = {
    "approve": "let a version that waits for approval go on",
    "abort": "take the version under rollout back, or the one in its soak, and refuse it",
    "retry": "try a refused version once more",
    "pause": "have the operator change nothing at all: no step, no repair, no rollback",
    "resume": "end a pause",
    "rollback": "set the spec back to an earlier version",
}

Connect = Callable[[str | None, str | None], AbstractAsyncContextManager[Objects]]


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = argparse.ArgumentParser(
        prog="luntra", description="Look at the rollouts of AI models in a cluster, and steer them."
    )
    reached = argparse.ArgumentParser(add_help=False)
    reached.add_argument("--context", help="the kubeconfig context (default: the current one)")
    reached.add_argument("--kubeconfig", help="the kubeconfig file (default: $KUBECONFIG, else ~/.kube/config)")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    status = verbs.add_parser(
        "status",
        parents=[reached],
        allow_abbrev=False,
        help="show a rollout, or all",
        description="Show a rollout, or all.",
    )
    status.add_argument(
        "name", nargs="?", metavar="NAME", help="the ModelDeployment to show in full; without: a table of all"
    )
    where = status.add_mutually_exclusive_group()
    where.add_argument("-n", "--namespace", help="the namespace (default: that of the context)")
    where.add_argument("-A", "--all-namespaces", action="store_true", help="all namespaces (without NAME)")
    status.add_argument("-w", "--watch", action="store_true", help="look again once a second, until Ctrl-C")
    status.add_argument("-o", "--output", choices=("table", "json"), default="table", help="default: table")
    for verb, purpose in _PURPOSES.items():
        one = verbs.add_parser(
            verb, parents=[reached], allow_abbrev=False, help=purpose, description=f"{purpose.capitalize()}."
        )
        one.add_argument("name", metavar="NAME", help="the ModelDeployment")
        one.add_argument("-n", "--namespace", help="the namespace (default: that of the context)")
        if verb == "rollback":
            one.add_argument(
                "--to", metavar="VERSION", help="a version, digest or revision of its history (default: the one before)"
            )
    return top


def main(arguments: Sequence[str] | None = None, opening: Connect = connect, console: Console | None = None) -> int:
    """Run `luntra`; returns the exit code."""
    described = parser()
    asked = described.parse_args(arguments)
    everywhere = asked.verb == "status" and asked.all_namespaces
    if everywhere and asked.name is not None:
        described.error("-A shows all: give a NAME or -A, not both")
    namespace = asked.namespace or namespace_of(asked.context, asked.kubeconfig, os.environ)
    try:
        if asked.verb == "status":
            asyncio.run(_show(None if everywhere else namespace, asked, opening, console or Console()))
        else:
            asyncio.run(_change(namespace, asked, opening))
    except (MissingError, NotPossibleError, AccessError) as error:
        print(f"luntra: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, BrokenPipeError):
        return 0
    return 0


async def _show(namespace: str | None, asked: argparse.Namespace, opening: Connect, console: Console) -> None:
    query = Query(asked.name, namespace, asked.output)
    async with opening(asked.context, asked.kubeconfig) as objects:
        await (watch if asked.watch else show)(query, objects, console)


async def _change(namespace: str, asked: argparse.Namespace, opening: Connect) -> None:
    async with opening(asked.context, asked.kubeconfig) as objects:
        to = asked.to if asked.verb == "rollback" else None
        print(await change(asked.verb, namespace, asked.name, to, objects))


if __name__ == "__main__":
    sys.exit(main())
