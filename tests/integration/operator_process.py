"""The operator as the program that users run, in a process of its own."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from e2e.kind.control_plane import free_ports


@asynccontextmanager
async def operator_process(
    kubeconfig: Path, namespaces: list[str], log: Path, **settings: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """The process and its port; `settings` are LUNTRA_* variables without that prefix. It is killed at the end if it still runs."""
    (port,) = free_ports(1)
    environment = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "LUNTRA_SERVING_IMAGE": "luntra/inference:1",
        "LUNTRA_CHECK_IMAGE": "luntra/operator:1",
        "LUNTRA_WATCH_NAMESPACES": ",".join(namespaces),
        "LUNTRA_NAMESPACE": namespaces[0],
        "LUNTRA_PORT": str(port),
        **{f"LUNTRA_{name}": value for name, value in settings.items()},
    }
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "luntra_operator.runtime.main", env=environment, stderr=errors
        )
    try:
        yield process, port
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()
