"""`luntra`: read the command line, connect, and map what happens to exit codes.

0: shown; 1: not found, or the cluster cannot be asked; 2: wrong usage. An interrupted --watch ends with 0.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from rich.console import Console

from luntra_operator.cli.kubeconfig import namespace_of
from luntra_operator.cli.objects import AccessError, Objects, connect
from luntra_operator.cli.status import MissingError, Query, show, watch

Connect = Callable[[str | None, str | None], AbstractAsyncContextManager[Objects]]


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = argparse.ArgumentParser(prog="luntra", description="Look at the rollouts of AI models in a cluster.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    status = verbs.add_parser(
        "status", allow_abbrev=False, help="show a rollout, or all", description="Show a rollout, or all."
    )
    status.add_argument(
        "name", nargs="?", metavar="NAME", help="the ModelDeployment to show in full; without: a table of all"
    )
    where = status.add_mutually_exclusive_group()
    where.add_argument("-n", "--namespace", help="the namespace (default: that of the context)")
    where.add_argument("-A", "--all-namespaces", action="store_true", help="all namespaces (without NAME)")
    status.add_argument("-w", "--watch", action="store_true", help="look again once a second, until Ctrl-C")
    status.add_argument("-o", "--output", choices=("table", "json"), default="table", help="default: table")
    status.add_argument("--context", help="the kubeconfig context (default: the current one)")
    status.add_argument("--kubeconfig", help="the kubeconfig file (default: $KUBECONFIG, else ~/.kube/config)")
    return top


def main(arguments: Sequence[str] | None = None, opening: Connect = connect, console: Console | None = None) -> int:
    """Run `luntra`; returns the exit code."""
    described = parser()
    asked = described.parse_args(arguments)
    if asked.all_namespaces and asked.name is not None:
        described.error("-A shows all: give a NAME or -A, not both")
    namespace = None
    if not asked.all_namespaces:
        namespace = asked.namespace or namespace_of(asked.context, asked.kubeconfig, os.environ)
    query = Query(asked.name, namespace, asked.output)
    try:
        asyncio.run(_run(query, asked, opening, console or Console()))
    except (MissingError, AccessError) as error:
        print(f"luntra: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, BrokenPipeError):
        return 0
    return 0


async def _run(query: Query, asked: argparse.Namespace, opening: Connect, console: Console) -> None:
    async with opening(asked.context, asked.kubeconfig) as objects:
        await (watch if asked.watch else show)(query, objects, console)


if __name__ == "__main__":
    sys.exit(main())
