"""The container engine that holds the cluster: the user's docker if it answers, else a dockerd of our own.

Our own has its data, socket, log and process id in the cache folder, runs only for as long as one of our clusters
does, and is told apart from any other by the path of its data root. It is not the user's docker and never touches it.
Starting it is safe at any time: after a killed run the remains (a stale process id, orphaned containerd, mounts) are
cleared first. The user's own docker is only ever asked for things that we name ourselves.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.kind import cache, debian, host_state, preflight
from e2e.kind.errors import HarnessError
from e2e.kind.progress import tail

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.kind.progress import Progress

STARTS_WITHIN = 40.0
STOPS_WITHIN = 40.0
REAPED_WITHIN = 5.0
NEEDS = {"dockerd": "docker.io", "docker": "docker.io", "runc": "runc", "iptables": "iptables", "nft": "nftables"}
LONGEST_SOCKET_PATH = 100
RUNC_WRAPPER = """\
#!/bin/sh
# `--privileged` asks for all capabilities, but this machine has no CAP_SYS_RESOURCE to give: take it out of the spec
# that runc is handed (`run` and `create` have a bundle, `exec` a process file) and let runc do the rest.
previous=
for word in "$@"; do
  case "$previous" in
    --bundle|-b) spec="$word/config.json" ;;
    --process|-p) spec="$word" ;;
    *) spec= ;;
  esac
  if [ -n "$spec" ] && [ -f "$spec" ]; then
    sed -i 's/"CAP_SYS_RESOURCE",//g; s/,"CAP_SYS_RESOURCE"//g' "$spec"
  fi
  previous=$word
done
exec {runc} "$@"
"""


@dataclass(frozen=True)
class Engine:
    """A docker daemon that answers. `own` tells whether we started it; `host` is its DOCKER_HOST if it needs one."""

    own: bool
    host: str | None
    client: str

    @property
    def env(self) -> dict[str, str]:
        """The environment in which `docker` and `kind` talk to this daemon."""
        env = {**os.environ, "DOCKER_BUILDKIT": "1", "KIND_EXPERIMENTAL_PROVIDER": "docker"}
        env["PATH"] = (
            f"{Path(self.client).parent}{os.pathsep}{env.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
        )
        if self.host:
            env["DOCKER_HOST"] = self.host
            env.pop("DOCKER_CONTEXT", None)
        return env

    def docker(self, *arguments: str) -> str:
        """Run one short docker command and return what it printed.

        Raises:
            HarnessError: docker said no; the message is docker's.
        """
        done = subprocess.run(
            [self.client, *arguments],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise HarnessError(f"docker {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def succeeds(self, *arguments: str) -> bool:
        """Tell whether a short docker command ends well."""
        return (
            subprocess.run(
                [self.client, *arguments], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, check=False
            ).returncode
            == 0
        )

    def has_image(self, tag: str) -> bool:
        """Tell whether the engine holds an image of that name."""
        return self.succeeds("image", "inspect", tag)


def home() -> Path:
    """Return the folder of our own dockerd."""
    return cache.root() / "engine"


def running() -> Engine | None:
    """Return the engine that our clusters live in, if it runs: our own first, else the user's."""
    socket = f"unix://{home() / 'docker.sock'}"
    if (home() / "docker.sock").exists() and preflight.docker_answers(socket):
        return Engine(own=True, host=socket, client=_client())
    if preflight.docker_answers(None):
        return Engine(own=False, host=None, client=shutil.which("docker") or "docker")
    return None


def start(progress: Progress) -> Engine:
    """Return a running engine, starting our own dockerd if nobody's answers.

    Raises:
        HarnessError: programs are missing that we may not install, we are not root, or dockerd does not start.
    """
    if found := running():
        return found
    debian.require(NEEDS, "to run containers", progress)
    if os.geteuid() != 0:
        raise HarnessError(
            "no docker daemon answers, and starting one needs root. Start docker (sudo systemctl start docker; your "
            "user must be in the group docker), or run this as root"
        )
    with cache.lock("engine", progress):
        if found := running():
            return found
        with progress.step("start dockerd"):
            _clear()
            cache.folder("engine")
            host_state.snapshot(home() / "machine.json")
            return _launch()


def was_left() -> bool:
    """Tell whether a dockerd of ours was started and has not been stopped by us: it runs, or was killed."""
    return (home() / "machine.json").exists()


def stop() -> list[str]:
    """Stop our own dockerd and take back what it changed on the machine; return what could not be taken back."""
    _clear()
    return host_state.restore(home() / "machine.json")


def _client() -> str:
    """Return the docker command that came with our dockerd, whose builder fits it; else the one on PATH."""
    dockerd = debian.on_path("dockerd")
    if dockerd:
        beside = Path(dockerd).parent
        for folder in (beside, beside.parent / "bin"):
            if os.access(folder / "docker", os.X_OK):
                return str(folder / "docker")
    return shutil.which("docker") or "docker"


def _launch() -> Engine:
    own = home()
    socket = own / "docker.sock"
    if len(str(socket)) > LONGEST_SOCKET_PATH:
        raise HarnessError(f"{socket} is too long for a socket: set LUNTRA_CACHE to a folder with a shorter path")
    command = [
        debian.on_path("dockerd") or "dockerd",
        f"--data-root={own / 'data'}",
        f"--exec-root={own / 'exec'}",
        f"--pidfile={own / 'dockerd.pid'}",
        f"--host=unix://{socket}",
        "--storage-driver=overlay2",
        "--config-file=" + str(_empty_config(own)),
    ]
    if preflight.lacks_sys_resource():
        wrapper = own / "runc-without-sys-resource"
        wrapper.write_text(RUNC_WRAPPER.replace("{runc}", debian.on_path("runc") or "runc"))
        wrapper.chmod(0o755)
        command += [f"--add-runtime=limited={wrapper}", "--default-runtime=limited"]
    log = cache.folder("logs") / "dockerd.log"
    env = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    deadline = time.monotonic() + STARTS_WITHIN
    while not preflight.docker_answers(f"unix://{socket}"):
        if child.poll() is not None or time.monotonic() > deadline:
            raise HarnessError(f"dockerd did not start; the end of {log}:\n{tail(log)}")
        time.sleep(0.2)
    child.returncode = 0  # it outlives us on purpose: nobody waits for it, and Popen need not warn of that
    return Engine(own=True, host=f"unix://{socket}", client=_client())


def _empty_config(own: Path) -> Path:
    """Return a configuration file of our own, so that the user's /etc/docker/daemon.json plays no part."""
    config = own / "daemon.json"
    config.write_text("{}\n")
    return config


def _clear() -> None:
    """End every process of our own engine, unmount what it mounted and remove what it keeps only while running."""
    mark = str(home())
    _end(lambda words: "dockerd" in Path(words[0]).name and f"--data-root={mark}/data" in words)
    _end(lambda words: "containerd" in Path(words[0]).name and any(mark in word for word in words))
    _end_containers()
    if home().exists():
        cache.unmount_below(home())
    shutil.rmtree(home() / "exec", ignore_errors=True)
    for name in ("docker.sock", "dockerd.pid"):
        (home() / name).unlink(missing_ok=True)


def _end_containers() -> None:
    """Kill what still runs in containers of ours: it does where dockerd and containerd were killed before it."""
    ids = [path.name for path in (home() / "data" / "containers").glob("*")]
    deadline = time.monotonic() + STOPS_WITHIN
    while left := [pid for pid, group in _control_groups() if any(name in group for name in ids)]:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.2)
        if time.monotonic() > deadline:
            raise HarnessError(f"processes {left} of a former cluster do not end; end them and try again")
    for name in ids:
        for group in Path("/sys/fs/cgroup").glob(f"**/docker/{name}"):
            _remove_group(group)


def _remove_group(group: Path) -> None:
    """Remove an empty control group; the kernel calls it busy until the last process in it has been reaped."""
    deadline = time.monotonic() + REAPED_WITHIN
    while group.exists() and time.monotonic() < deadline:
        try:
            for folder in sorted(group.glob("**/"), reverse=True):
                folder.rmdir()
        except OSError:
            time.sleep(0.2)


def _control_groups() -> list[tuple[int, str]]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # A process that has ended but was not reaped yet has no memory, and nothing can be done about it.
            if (entry / "statm").read_text().split()[0] != "0":
                found.append((int(entry.name), (entry / "cgroup").read_text()))
        except OSError:
            continue
    return found


def _end(ours: Callable[[list[str]], bool]) -> None:
    """Ask the processes with such a command line to end, and make them after a while."""
    deadline = time.monotonic() + STOPS_WITHIN
    sign = signal.SIGTERM
    while left := [pid for pid, words in _processes() if ours(words)]:
        for pid in left:
            try:
                os.kill(pid, sign)
            except ProcessLookupError:
                continue
        time.sleep(0.3)
        if time.monotonic() > deadline:
            sign = signal.SIGKILL


def _processes() -> list[tuple[int, list[str]]]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if words[0]:
            found.append((int(entry.name), words))
    return found
