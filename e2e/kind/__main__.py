"""The command line: python -m e2e.kind up|down|status|images|binaries|dump."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from e2e.kind import binaries, cluster, cluster_plan, diagnosis, images
from e2e.kind.errors import HarnessError
from e2e.kind.progress import Progress


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="python -m e2e.kind", description="A Kubernetes cluster for tests and the demo.")
    commands = top.add_subparsers(dest="command", required=True)
    for name, text in (
        ("up", "make the cluster, or find it well; prints how to reach it"),
        ("down", "remove the cluster and everything that it left on this machine, but for the cache"),
        ("status", "print how to reach the cluster; exit status 1 if it is not up and healthy"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument(
            "--name", default=cluster_plan.DEFAULT_NAME, help="luntra or luntra-<word>; default: %(default)s"
        )
        if name == "up":
            command.add_argument("--gateway-port", type=int, help="port of the Gateway on 127.0.0.1; default: 18080")
            command.add_argument("--prometheus-port", type=int, help="port of Prometheus on 127.0.0.1; default: 19090")
    build = commands.add_parser(
        "images", help="build our images, load them into the cluster if it is up, print their tags"
    )
    build.add_argument("--name", default=cluster_plan.DEFAULT_NAME, help="cluster to load into; default: %(default)s")
    build.add_argument(
        "--variant", choices=images.VARIANTS, default="onnx", help="of the inference image; torch is 5 GB"
    )
    get = commands.add_parser("binaries", help="obtain programs and print where they are")
    get.add_argument("names", nargs="*", default=list(binaries.INTEGRATION), help="default: %(default)s")
    look = commands.add_parser("dump", help="write objects, events and logs of the cluster into a folder")
    look.add_argument("--name", default=cluster_plan.DEFAULT_NAME, help="cluster to look at; default: %(default)s")
    look.add_argument("--into", type=Path, default=Path("build/cluster"), help="default: %(default)s")
    return top


def describe(found: cluster.Cluster) -> str:
    """Return how to reach a cluster, one `name=value` a line, fit for a shell's `eval`."""
    return "\n".join(
        (
            f"KUBECONFIG={found.kubeconfig}",
            f"LUNTRA_CONTEXT={found.context}",
            f"LUNTRA_GATEWAY=http://127.0.0.1:{found.gateway_port}",
            f"LUNTRA_PROMETHEUS=http://127.0.0.1:{found.prometheus_port}",
            f"LUNTRA_SHARE={found.share}",
        )
    )


def run(options: argparse.Namespace, progress: Progress) -> int:
    """Carry out one command; return the exit status."""
    if options.command == "up":
        print(describe(cluster.up(options.name, progress, options.gateway_port, options.prometheus_port)))
    elif options.command == "down":
        cluster.down(options.name, progress)
    elif options.command == "status":
        found = cluster.status(options.name)
        print(describe(found) if found else f"cluster {options.name} is not up")
        return 0 if found else 1
    elif options.command == "dump":
        found = cluster.status(options.name)
        if found is None:
            raise HarnessError(f"cluster {options.name} is not up, so there is nothing to look at")
        diagnosis.dump(found, options.into)
        print(options.into)
    elif options.command == "images":
        found = cluster.status(options.name)
        for tag in (images.build_operator(progress), images.build_inference(options.variant, progress)):
            if found:
                found.load(tag)
            print(tag)
    else:
        progress.expect(len(options.names))
        for name in options.names:
            print(binaries.binary(name, progress))
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if it worked, 1 with a message on stderr if it did not."""
    try:
        return run(parser().parse_args(arguments), Progress())
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
