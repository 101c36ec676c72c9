"""`luntra status` from the command line to the exit code, with objects in memory in place of a cluster."""

from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from luntra_operator.cli.kubeconfig import namespace_of
from luntra_operator.cli.main import main
from luntra_operator.cli.objects import AccessError, ClusterObjects
from luntra_operator.cli.status import MissingError, Query, watch
from luntra_operator.kube.errors import KindMissingError, KubeError, NotPermittedError, UnavailableError
from tests.operator.cli.in_memory import InMemory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def run(objects: InMemory, *arguments: str) -> tuple[int, str]:
    console = Console(width=120, file=io.StringIO())

    code = main(["status", *arguments], objects.opening, console)
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue()


def test_a_named_object_is_shown_in_full(shifting: dict[str, Any]) -> None:
    code, text = run(InMemory(shifting), "digits", "-n", "shop")
    assert code == 0
    assert "[25 %]" in text


def test_without_a_name_all_of_the_namespace_are_listed(shifting: dict[str, Any]) -> None:
    code, text = run(InMemory(shifting), "-n", "shop")
    assert code == 0
    assert "digits" in text
    assert "NAMESPACE" not in text


def test_all_namespaces_are_listed_with_theirs(shifting: dict[str, Any]) -> None:
    other = {"metadata": {"name": "prices", "namespace": "other"}}
    code, text = run(InMemory(shifting, other), "-A")
    assert code == 0
    assert "NAMESPACE" in text
    assert text.index("prices") < text.index("digits"), "sorted by namespace"


def test_an_empty_namespace_is_no_error(shifting: dict[str, Any]) -> None:
    assert run(InMemory(shifting), "-n", "empty") == (0, "no ModelDeployments in namespace empty\n")


def test_a_missing_object_exits_1_and_names_those_there_are(
    shifting: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = run(InMemory(shifting), "digit", "-n", "shop")
    assert (code, text) == (1, "")
    assert capsys.readouterr().err == "luntra: no ModelDeployment 'digit' in namespace 'shop'; there are: digits\n"


def test_the_object_is_given_as_json_unchanged(shifting: dict[str, Any]) -> None:
    code, text = run(InMemory(shifting), "digits", "-n", "shop", "-o", "json")
    assert code == 0
    assert json.loads(text) == shifting
    assert json.loads(run(InMemory(shifting), "-A", "-o", "json")[1]) == [shifting]


@pytest.mark.parametrize("arguments", [["digits", "-A"], ["-n", "x", "-A"], ["-o", "yaml"], ["--wat"]])
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(InMemory(), *arguments)
    assert caught.value.code == 2


def test_context_and_kubeconfig_are_handed_on() -> None:
    objects = InMemory()
    run(objects, "-A", "--context", "kind-luntra", "--kubeconfig", "/tmp/k")
    assert objects.asked == [("kind-luntra", "/tmp/k")]


def test_an_unusable_kubeconfig_is_an_error_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "-A", "--kubeconfig", str(tmp_path / "missing")]) == 1
    told = capsys.readouterr().err
    assert "kubeconfig" in told
    assert "Traceback" not in told


def test_an_unreachable_cluster_is_an_error_that_says_what_to_try(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unused_tcp_port: int
) -> None:
    path = tmp_path / "config"
    path.write_text(
        json.dumps(
            {
                "current-context": "gone",
                "contexts": [{"name": "gone", "context": {"cluster": "gone", "user": "me"}}],
                "clusters": [{"name": "gone", "cluster": {"server": f"http://127.0.0.1:{unused_tcp_port}"}}],
                "users": [{"name": "me", "user": {}}],
            }
        )
    )
    assert main(["status", "--kubeconfig", str(path)]) == 1
    told = capsys.readouterr().err
    assert "kubectl cluster-info" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (KindMissingError("404"), "install Luntra first"),
        (UnavailableError("no answer"), "Is the cluster up"),
        (NotPermittedError("forbidden"), "Ask for the rights to get, list and update"),
        (KubeError("something else"), "something else"),
    ],
)
async def test_each_refusal_of_the_api_server_says_what_to_do(error: KubeError, fix: str) -> None:
    class Refusing:
        async def get(self, *_: object) -> None:
            raise error

        list = get

    objects = ClusterObjects(Refusing())  # type: ignore[arg-type]
    for asking in (objects.get("n", "x"), objects.list(None)):
        with pytest.raises(AccessError, match=fix):
            await asking


def looks(count: int, between: Callable[[int], None] = lambda look: None) -> Callable[[], Any]:
    """A pause that takes no time, and ends the watch after so many looks."""
    seen = 0

    async def pause() -> None:
        nonlocal seen
        seen += 1
        between(seen)
        if seen == count:
            raise asyncio.CancelledError

    return pause


async def watched(objects: InMemory, pause: Any, output: Any = "table", name: str | None = "digits") -> str:
    console = Console(width=120, file=io.StringIO(), force_terminal=False)
    with pytest.raises(asyncio.CancelledError):
        await watch(Query(name, "shop", output), objects, console, pause)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


async def test_watching_follows_the_object(shifting: dict[str, Any]) -> None:
    def later(look: int) -> None:
        shifting["status"]["phase"] = "Soaking"

    assert "Soaking" in await watched(InMemory(shifting), looks(2, later))


async def test_watching_as_json_gives_a_line_per_change(shifting: dict[str, Any]) -> None:
    def later(look: int) -> None:
        if look == 3:
            shifting["status"]["phase"] = "Soaking"

    lines = (await watched(InMemory(shifting), looks(5, later), "json")).splitlines()
    assert [json.loads(line)["status"]["phase"] for line in lines] == ["Shifting", "Soaking"]


async def test_watching_outlives_a_cluster_that_is_away_for_a_while(shifting: dict[str, Any]) -> None:
    objects = InMemory(shifting)
    objects.trouble = [None, AccessError("gone fishing"), None]
    assert "not up to date" not in await watched(objects, looks(3))
    objects.trouble = [None, AccessError("gone fishing")]
    assert "not up to date: gone fishing" in await watched(objects, looks(2))


async def test_watching_ends_when_the_object_is_deleted(shifting: dict[str, Any]) -> None:
    objects = InMemory(shifting)
    with pytest.raises(MissingError):
        await watch(
            Query("digits", "shop"),
            objects,
            Console(file=io.StringIO()),
            looks(3, lambda look: objects.documents.clear()),
        )


CONFIG = """
current-context: one
contexts:
- {name: one, context: {namespace: shop}}
- {name: two, context: {cluster: x}}
"""


@pytest.mark.parametrize(
    ("context", "expected"), [(None, "shop"), ("one", "shop"), ("two", "default"), ("x", "default")]
)
def test_the_namespace_is_that_of_the_context(tmp_path: Path, context: str | None, expected: str) -> None:
    path = tmp_path / "config"
    path.write_text(CONFIG)
    assert namespace_of(context, str(path), {}) == expected
    assert namespace_of(context, None, {"KUBECONFIG": f"{tmp_path}/missing:{path}"}) == expected


@pytest.mark.parametrize("content", ["", "[]", ":\n:", "\x00"])
def test_a_kubeconfig_that_cannot_be_read_names_no_namespace(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    assert namespace_of(None, str(path), {}) == "default"
