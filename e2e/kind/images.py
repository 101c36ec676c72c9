"""Our own images, built from the Dockerfiles that a user builds: operator/Dockerfile and inference-image/Dockerfile.

The dependencies are resolved and downloaded on this machine, exactly as uv.lock says, into a wheelhouse that is handed
in with the build context: inside a build the package index may be out of reach or not trusted. The base is the
published Python image, or one made from Debian packages where that cannot be pulled. Tags are content keys, so an
image that exists is up to date, and a change of our code rebuilds one thin layer. Images are not loaded into any
cluster here; `Cluster.load` does that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.kind import cache, debian, engine, preflight, versions
from e2e.kind.errors import HarnessError
from e2e.kind.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.kind.engine import Engine

REPOSITORY = Path(__file__).parents[2]
PYTHON_PACKAGES = ("python3", "ca-certificates", "libgomp1")
VARIANTS = ("onnx", "torch")


@dataclass(frozen=True)
class Recipe:
    """What one image is made of: workspace folder, package and extras, and how its tag begins."""

    folder: str
    package: str
    extras: tuple[str, ...]
    tag_prefix: str
    arguments: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """A name for caches and logs."""
        return "-".join((self.package, *self.extras))


OPERATOR = Recipe("operator", "luntra-operator", ("checks",), "luntra/operator:")


def inference(variant: str) -> Recipe:
    """Return the recipe of one variant of the inference image.

    Raises:
        HarnessError: there is no such variant.
    """
    if variant not in VARIANTS:
        raise HarnessError(f"variant {variant!r} of the inference image is unknown; there are {', '.join(VARIANTS)}")
    prefix = f"luntra/inference:{variant}-"
    return Recipe("inference-image", "luntra-serving", (variant, "otel"), prefix, (f"EXTRA={variant}",))


def build_operator(progress: Progress | None = None) -> str:
    """Return the tag of the operator's image, built if the engine has not got it."""
    return build(OPERATOR, progress)


def build_inference(variant: str = "onnx", progress: Progress | None = None) -> str:
    """Return the tag of the inference image, built if the engine has not got it; `torch` takes minutes and 5 GB."""
    return build(inference(variant), progress)


def build(recipe: Recipe, progress: Progress | None = None) -> str:
    """Return the tag of an image, built if the engine has not got it.

    Raises:
        HarnessError: no engine, no uv, or the build failed; the message has the end of the log.
    """
    progress = progress or Progress()
    host = engine.start(progress)
    base = python_base(host, progress)
    requirements = locked_requirements(recipe)
    tag = recipe.tag_prefix + image_key(recipe, requirements, base)
    if host.has_image(tag):
        return tag
    wheels = wheelhouse(recipe, requirements, progress)
    with cache.lock(f"image-{recipe.name}", progress), progress.step(f"build {tag}"):
        if not host.has_image(tag):
            _docker_build(host, recipe, base, wheels, tag, progress)
    return tag


def image_key(recipe: Recipe, requirements: str, base: str, repository: Path = REPOSITORY) -> str:
    """Return the content key of an image: locked dependencies, base, Dockerfile and our code."""
    folder = repository / recipe.folder
    code = cache.tree_key(folder / "Dockerfile", folder / "pyproject.toml", folder / "src")
    return cache.content_key(requirements, base, code, *recipe.arguments, *versions.WHEELHOUSE_TOOLS)


def locked_requirements(recipe: Recipe, repository: Path = REPOSITORY) -> str:
    """Return the dependencies of a package as uv.lock has them, with hashes, in pip's format.

    Raises:
        HarnessError: uv is missing or finds the lock file wrong.
    """
    if shutil.which("uv") is None:
        raise HarnessError("uv not found, needed to read uv.lock. Type: python3 -m pip install uv")
    command = ["uv", "export", "--frozen", "--no-emit-workspace", "--no-default-groups", "--no-header", "--no-annotate"]
    command += ["--format=requirements.txt", f"--package={recipe.package}"]
    command += [f"--extra={extra}" for extra in recipe.extras]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HarnessError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def wheelhouse(recipe: Recipe, requirements: str, progress: Progress) -> Path:
    """Return a folder with requirements.txt, every wheel it names, and the tools to install them."""

    def download(target: Path) -> None:
        file = target / "requirements.txt"
        file.write_text(requirements)
        pip = ["uv", "tool", "run", "--quiet", f"--python={versions.PYTHON}", "pip", "download", "--quiet"]
        env = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        log = f"wheels-{recipe.name}"
        into = ["--only-binary=:all:", "--dest", str(target)]
        progress.run([*pip, *into, "--require-hashes", "--no-deps", "--requirement", str(file)], log, env=env)
        progress.run([*pip, *into, "--no-deps", *versions.WHEELHOUSE_TOOLS], log, env=env)

    key = cache.content_key(requirements, versions.PYTHON, *versions.WHEELHOUSE_TOOLS)
    if found := cache.cached("wheelhouses", recipe.name, key):
        return found
    with progress.step(f"download the wheels of {recipe.package}[{','.join(recipe.extras)}]"):
        return cache.ensure("wheelhouses", recipe.name, key, download, progress)


def python_base(host: Engine, progress: Progress) -> str:
    """Return the base image: the published one where images can be pulled, else one made from Debian packages."""
    if preflight.can_pull(host, progress):
        return versions.PUBLISHED_PYTHON
    key = cache.content_key(versions.DEBIAN_SUITE, *PYTHON_PACKAGES)
    tag = f"luntra.local/python:{versions.PYTHON}-{versions.DEBIAN_SUITE}-{key}"
    if not host.has_image(tag):
        root = debian.root_file_system("python", PYTHON_PACKAGES, progress)
        progress.run([host.client, "import", str(root), tag], "python-base", env=host.env)
    return tag


def _docker_build(host: Engine, recipe: Recipe, base: str, wheels: Path, tag: str, progress: Progress) -> None:
    arguments = [word for value in (f"BASE={base}", *recipe.arguments) for word in ("--build-arg", value)]
    with _context(wheels) as context:
        dockerfile = context / recipe.folder / "Dockerfile"
        command = [host.client, "build", "--progress=plain", "--file", str(dockerfile), *arguments, "--tag", tag]
        progress.run([*command, str(context)], f"image-{recipe.name}", env=host.env)


@contextmanager
def _context(wheels: Path) -> Iterator[Path]:
    """A build context with what the Dockerfiles read from the repository, and the wheelhouse beside it.

    The wheelhouse stands in for the lock file, which is left empty: a change of it that does not concern this image
    must not rebuild the layer of dependencies.
    """
    with tempfile.TemporaryDirectory(prefix="context-", dir=cache.folder("tmp")) as name:
        context = Path(name)
        for file in ("uv.lock", "pyproject.toml"):
            (context / file).touch()
        for folder in ("operator", "inference-image"):
            unwanted = shutil.ignore_patterns("__pycache__")
            shutil.copytree(REPOSITORY / folder / "src", context / folder / "src", ignore=unwanted)
            for file in ("pyproject.toml", "Dockerfile"):
                shutil.copy2(REPOSITORY / folder / file, context / folder / file)
        shutil.copytree(wheels, context / "wheelhouse", copy_function=os.link)
        yield context
