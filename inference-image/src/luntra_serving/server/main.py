"""The command `luntra-serve`: serve a bundle on a laptop, or what a workload's document says in a pod."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import uvloop

from luntra_serving import __version__
from luntra_serving.bundle.verify import verify_folder
from luntra_serving.durations import parse_duration
from luntra_serving.errors import LoadError, PermanentLoadError, Reason
from luntra_serving.server.document import Document, read_document
from luntra_serving.server.greeting import greeting
from luntra_serving.server.loading import document_of
from luntra_serving.server.process import EXIT_PERMANENT, Listening, listen, run
from luntra_serving.server.remembered import latest
from luntra_serving.server.settings import Settings
from luntra_serving.server.termination import write_termination
from luntra_serving.telemetry.logs import configure_logs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luntra_serving.server.model import ReadyModel
    from luntra_serving.telemetry.traces import Traces

# A laptop has no gateway to tell and nobody to hurry for.
_LAPTOP = {"termination_delay": 0.0, "deadline": 30.0}

_log = logging.getLogger("luntra_serving")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit code 0 after a clean end, 1 or 3 if the model cannot be loaded, 2 for a wrong command line."""
    return serve(parse(arguments))


def serve(settings: Settings) -> int:
    """Serve until told to stop; does not return once it has listened, but ends the process with the exit code."""
    configure_logs(settings.log_format)
    try:
        documents = _documents(settings)
    except LoadError as error:
        _log.error("nothing to serve", extra={"reason": error.reason, "why": error.message})
        write_termination(error)
        return EXIT_PERMANENT
    try:
        traces = _open_traces(settings)
    except ModuleNotFoundError as error:
        print(
            f"luntra-serve: --otlp needs {error.name}, which is not installed here; install luntra-serving[otel]",
            file=sys.stderr,
        )
        return 2
    code = uvloop.run(_listen_and_run(settings, documents, traces))
    if traces is not None:
        traces.close()
    logging.shutdown()
    sys.stdout.flush()
    # A thread inside a vendor library (a load or an inference that was given up) would keep the interpreter from
    # ending, or crash it on the way: everything that had to be written is written.
    os._exit(code)


def _open_traces(settings: Settings) -> Traces | None:
    if settings.otlp is None:
        return None
    # Imported where somebody asks for it: the library is an extra, and takes its time and memory.
    from luntra_serving.telemetry.traces import Traces

    return Traces(settings.otlp)


async def _listen_and_run(settings: Settings, documents: Sequence[Document], traces: Traces | None) -> int:
    try:
        listening = listen(settings)
    except OSError as error:
        print(f"luntra-serve: {error.strerror}", file=sys.stderr)
        return 2
    needed = {document.model for document in documents}
    if settings.documents:
        documents = latest(documents, settings.cache_dir)
    return await run(settings, documents, needed, listening, _greeter(settings, listening), traces)


def parse(arguments: Sequence[str] | None) -> Settings:
    """Return the settings in `arguments`; ends the process with code 2 and a message if they are wrong."""
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    if options["bundles"]:
        options = {**_LAPTOP, **{name: value for name, value in options.items() if value is not None}}
    if options.get("keep_previous") is not None:
        options["keep_previous"] = options["keep_previous"] == "keep"
    if options.get("log_format") is None:
        options["log_format"] = "text" if sys.stderr.isatty() else "json"
    options["pod"] = os.environ.get("HOSTNAME", "")
    options["pod_uid"] = os.environ.get("LUNTRA_POD_UID", "")
    if options.get("keys") is not None and not options["pod_uid"]:
        parser.error("--keys: tokens are signed for one pod; set LUNTRA_POD_UID to this pod's UID (metadata.uid)")
    return Settings(**{name: value for name, value in options.items() if value is not None})


def _documents(settings: Settings) -> list[Document]:
    """Return the documents that the command line names. Raises PermanentLoadError."""
    documents = [document_of(verify_folder(folder)) for folder in settings.bundles]
    documents += [read_document(path) for path in settings.documents]
    names = [document.model for document in documents]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        problem = f"model {repeated[0]!r} is named {names.count(repeated[0])} times; each model has one document"
        raise PermanentLoadError(Reason.INVALID_DOCUMENT, problem)
    return documents


def _greeter(settings: Settings, listening: Listening) -> Any:
    http, management = (f"http://{_address(bound.getsockname())}" for bound in (listening.http, listening.management))
    grpc = {"grpc": listening.grpc.address} if listening.grpc else {}
    _log.info("listening", extra={"inference": http, "management": management, **grpc})

    def greet(model: ReadyModel) -> None:
        if settings.bundles:
            print(greeting(model.manifest, http, management), flush=True)

    return greet


def _address(name: Sequence[Any]) -> str:
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="luntra-serve", description="Serve a verified model bundle with the Open Inference Protocol v2."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "bundles",
        nargs="*",
        type=Path,
        default=(),
        metavar="BUNDLE",
        help="folder that luntra-bundle pack has packed; several are several models",
    )
    what.add_argument(
        "--document",
        dest="documents",
        type=Path,
        action="append",
        metavar="FILE",
        help="workload document that names a model, its uri and digest; once for each model",
    )
    add = parser.add_argument
    defaults = Settings()
    add("--host", help="address of the inference port (default 127.0.0.1)")
    add("--http-port", type=_port, help=f"inference port (default {defaults.http_port}; 0: any free one)")
    add("--grpc-port", type=_port, help="port of the protocol over gRPC, on --host (default: none; 0: any free one)")
    add("--management-host", help="address of the management port (default 127.0.0.1)")
    add("--management-port", type=_port, help=f"management port (default {defaults.management_port}; 0: any free one)")
    add("--keys", type=Path, help="JWK set of who may send documents; without it nobody but this host")
    add(
        "--feedback-token-file",
        type=Path,
        metavar="FILE",
        help="holds the bearer token of who may give feedback; without it nobody may",
    )
    add("--cache-dir", type=Path, help=f"where fetched bundles are kept (default {defaults.cache_dir})")
    add("--termination-delay", type=_duration, help="go on answering for so long after SIGTERM (default 5s, laptop 0)")
    add("--drain-limit", type=_duration, help="then wait at most so long for what is in flight (default 15s)")
    add("--deadline", type=_duration, help="answer within this, unless x-request-deadline says else (default 500ms)")
    add("--max-queue", type=_count, help=f"requests of a version that may wait (default {defaults.max_queue})")
    add("--max-body", type=_count, help=f"largest request body in bytes (default {defaults.max_body})")
    add("--threads", type=_count, help="cores for one inference (default 0: those that the container may use)")
    add(
        "--max-batch",
        type=_count,
        help=f"rows that may run at once, of requests that wait together (default {defaults.max_batch})",
    )
    add("--batch-delay", type=_duration, help="a request may wait so long for others to run with (default 0: never)")
    add(
        "--self-test-limit",
        type=_duration,
        help="longest that a version's warm-up and its self-test may take (default 1m)",
    )
    add(
        "--previous",
        dest="keep_previous",
        choices=["keep", "drop"],
        help="whether the version before stays in memory, so that a rollback needs no load (default keep, if it fits)",
    )
    add("--access-log", type=_share, help="share of the requests to log, with the version that answered (default 0)")
    add("--otlp", type=_collector, metavar="URL", help="send a span of each inference to this OpenTelemetry collector")
    add("--log-format", choices=["json", "text"], help="default: text on a terminal, json elsewhere")
    add("--version", action="version", version=f"luntra-serve {__version__}")
    return parser


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; use 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a count; use a whole number from 0 on")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share; use a number from 0 (none) to 1 (all)")
    return share


def _collector(text: str) -> str:
    address = urlsplit(text)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address; use one such as http://collector:4318")
    if address.path.rstrip("/").endswith("/v1/traces") or address.query or address.fragment:
        raise argparse.ArgumentTypeError(f"{text!r}: leave out what comes after the address; /v1/traces is added")
    return text


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
