"""The command line: python -m e2e.kind up|down|status|images|binaries."""

from __future__ import annotations

import argparse
import sys

from e2e.kind import binaries
from e2e.kind.errors import HarnessError
from e2e.kind.progress import Progress


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="python -m e2e.kind", description="A Kubernetes cluster for tests and the demo.")
    commands = top.add_subparsers(dest="command", required=True)
    get = commands.add_parser("binaries", help="obtain programs and print where they are")
    get.add_argument("names", nargs="*", default=list(binaries.INTEGRATION), help="default: %(default)s")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if it worked, 1 with a message on stderr if it did not."""
    options = parser().parse_args(arguments)
    progress = Progress()
    try:
        progress.expect(len(options.names))
        for name in options.names:
            print(binaries.binary(name, progress))
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
