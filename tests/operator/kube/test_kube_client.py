"""The client against a small HTTP server: what is sent, what comes back, and that every failure is typed."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from luntra_operator.kube import client as client_module
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import ConflictError, KubeError, NotFoundError, RefusedError, UnavailableError

Object = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CONFIG_MAP: Object = {"metadata": {"name": "digits", "namespace": "team-a", "resourceVersion": "7"}, "data": {"a": "b"}}
PATH = "/api/v1/namespaces/team-a/configmaps"


class Server:
    """Answers every request with `answer` and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], str, Any]] = []
        self.answer: Handler = self.reply(200, CONFIG_MAP)

    @staticmethod
    def reply(status: int, body: Object | str) -> Handler:
        async def respond(request: web.Request) -> web.StreamResponse:
            text = body if isinstance(body, str) else json.dumps(body)
            return web.Response(status=status, text=text, content_type="application/json")

        return respond

    def refuse(self, status: int, reason: str, **rest: Any) -> None:
        self.answer = self.reply(status, {"kind": "Status", "reason": reason, "message": "words", **rest})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        body = json.loads(text) if text else None
        self.asked.append((request.method, request.path, dict(request.query), request.content_type, body))
        return await self.answer(request)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def kube(server: Server) -> AsyncIterator[Kube]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with ApiClient(configuration=Configuration(host=f"http://127.0.0.1:{port}")) as api:
        yield Kube(api)
    await runner.cleanup()


async def test_get_answers_the_object_or_none(kube: Kube, server: Server) -> None:
    assert await kube.get(kinds.CONFIG_MAP, "team-a", "digits") == CONFIG_MAP
    assert server.asked[-1][:2] == ("GET", f"{PATH}/digits")
    server.refuse(404, "NotFound")
    assert await kube.get(kinds.CONFIG_MAP, "team-a", "digits") is None


async def test_items_of_a_list_get_their_type(kube: Kube, server: Server) -> None:
    server.answer = server.reply(200, {"items": [CONFIG_MAP]})
    (found,) = await kube.list(kinds.CONFIG_MAP, "team-a", "luntra.io/model-deployment=digits")
    assert (found["apiVersion"], found["kind"], found["data"]) == ("v1", "ConfigMap", {"a": "b"})
    assert server.asked[-1][:3] == ("GET", PATH, {"labelSelector": "luntra.io/model-deployment=digits"})
    await kube.list(kinds.CONFIG_MAP, None)
    assert server.asked[-1][:3] == ("GET", "/api/v1/configmaps", {})


async def test_every_write_says_who_writes_and_in_which_form(kube: Kube, server: Server) -> None:
    manager = {"fieldManager": "luntra"}
    change = [{"op": "test", "path": "/a", "value": 1}]
    await kube.create(kinds.CONFIG_MAP, CONFIG_MAP)
    await kube.apply(kinds.CONFIG_MAP, CONFIG_MAP)
    await kube.patch(kinds.CONFIG_MAP, "team-a", "digits", change)
    await kube.merge(kinds.CONFIG_MAP, "team-a", "digits", {"data": None})
    await kube.replace(kinds.CONFIG_MAP, CONFIG_MAP)
    await kube.replace_status(kinds.CONFIG_MAP, CONFIG_MAP)
    await kube.delete(kinds.CONFIG_MAP, "team-a", "digits")
    one = f"{PATH}/digits"
    assert server.asked == [
        ("POST", PATH, manager, "application/json", CONFIG_MAP),
        ("PATCH", one, {**manager, "force": "true"}, "application/apply-patch+yaml", CONFIG_MAP),
        ("PATCH", one, manager, "application/json-patch+json", change),
        ("PATCH", one, manager, "application/merge-patch+json", {"data": None}),
        ("PUT", one, manager, "application/json", CONFIG_MAP),
        ("PUT", f"{one}/status", manager, "application/json", CONFIG_MAP),
        ("DELETE", one, {}, "application/json", {"propagationPolicy": "Background"}),
    ]


async def test_deleting_what_is_gone_is_no_error(kube: Kube, server: Server) -> None:
    server.refuse(404, "NotFound")
    await kube.delete(kinds.CONFIG_MAP, "team-a", "digits")


@pytest.mark.parametrize(
    ("status", "reason", "rest", "expected"),
    [
        (409, "Conflict", {}, ConflictError),
        (422, "Invalid", {}, ConflictError),
        (422, "Invalid", {"details": {"causes": [{"field": "spec"}]}}, RefusedError),
        (403, "Forbidden", {}, RefusedError),
        (404, "NotFound", {}, NotFoundError),
        (500, "InternalError", {}, UnavailableError),
    ],
)
async def test_refusal_is_typed_and_names_the_request(
    kube: Kube, server: Server, status: int, reason: str, rest: Object, expected: type[KubeError]
) -> None:
    server.refuse(status, reason, **rest)
    with pytest.raises(expected) as raised:
        await kube.replace(kinds.CONFIG_MAP, CONFIG_MAP)
    assert str(raised.value) == f"PUT {PATH}/digits: words ({status})"


async def test_server_that_does_not_answer_in_time_is_unavailable(
    kube: Kube, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await gone.wait()
        return web.Response()

    server.answer = hang
    monkeypatch.setattr(client_module, "REQUEST_TIMEOUT", 0.03)
    with pytest.raises(UnavailableError, match="no answer from the API server"):
        await kube.get(kinds.CONFIG_MAP, "team-a", "digits")
    gone.set()


async def test_connection_that_breaks_in_the_middle_is_unavailable(kube: Kube, server: Server) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport
        request.transport.close()
        return response

    server.answer = cut
    with pytest.raises(UnavailableError):
        await kube.get(kinds.CONFIG_MAP, "team-a", "digits")


async def test_answer_that_is_no_json_is_unavailable(kube: Kube, server: Server) -> None:
    server.answer = server.reply(200, "<html>a proxy says hello</html>")
    with pytest.raises(UnavailableError, match="a proxy says hello"):
        await kube.get(kinds.CONFIG_MAP, "team-a", "digits")


async def test_refused_connection_is_unavailable() -> None:
    async with ApiClient(configuration=Configuration(host="http://127.0.0.1:1")) as api:
        with pytest.raises(UnavailableError, match=r"GET /api/v1/pods: no answer from the API server"):
            await Kube(api).list(kinds.POD, None)


async def test_witness_hears_of_every_request_and_how_it_ended(server: Server, kube: Kube) -> None:
    heard: list[tuple[str, str, str]] = []
    watched = Kube(kube._client, witness=lambda verb, kind, code, _: heard.append((verb, kind, code)))
    await watched.get(kinds.CONFIG_MAP, "team-a", "digits")
    await watched.apply(kinds.CONFIG_MAP, CONFIG_MAP)
    server.answer = server.reply(200, {"items": []})
    await watched.list(kinds.POD, None)
    server.refuse(404, "NotFound")
    await watched.delete(kinds.CONFIG_MAP, "team-a", "digits")
    server.refuse(422, "Invalid")
    with pytest.raises(ConflictError):
        await watched.replace_status(kinds.MODEL_DEPLOYMENT, CONFIG_MAP)
    server.answer = server.reply(200, "no JSON")
    with pytest.raises(UnavailableError):
        await watched.create(kinds.EVENT, CONFIG_MAP)
    assert heard == [
        ("get", "configmaps", "200"),
        ("patch", "configmaps", "200"),
        ("list", "pods", "200"),
        ("delete", "configmaps", "404"),
        ("update", "modeldeployments", "conflict"),
        ("create", "events", "200"),
    ]


async def test_witness_hears_of_a_request_without_an_answer() -> None:
    heard: list[str] = []
    async with ApiClient(configuration=Configuration(host="http://127.0.0.1:1")) as api:
        with pytest.raises(UnavailableError):
            await Kube(api, witness=lambda *told: heard.append(told[2])).list(kinds.POD, None)
    assert heard == ["none"]


async def test_missing_kubeconfig_is_told_with_the_fix(tmp_path: Any) -> None:
    with pytest.raises(KubeError, match=r"no usable kubeconfig.*pass --kubeconfig and --context"):
        async with Kube.connect(kubeconfig=str(tmp_path / "missing")):
            pass


async def test_metadata_alone_come_in_pages(kube: Kube, server: Server) -> None:
    """Breaks if whole objects are asked for, or the list ends with its first page."""
    accepted = []

    async def answer(request: web.Request) -> web.StreamResponse:
        accepted.append(request.headers["Accept"])
        second = "continue" in request.query
        meta: Object = {"name": "b" if second else "a", "managedFields": [{}]}
        return web.json_response({"metadata": {} if second else {"continue": "more"}, "items": [{"metadata": meta}]})

    server.answer = answer
    assert await kube.versions(kinds.CONFIG_MAP, "team-a", "ours") == [{"name": "a"}, {"name": "b"}]
    server.answer = server.reply(200, {"metadata": {}, "items": None})
    assert await kube.versions(kinds.CONFIG_MAP, "team-a") == []
    del server.asked[2:]
    assert all("PartialObjectMetadataList" in one for one in accepted)
    assert [asked[2] for asked in server.asked] == [
        {"limit": "500", "labelSelector": "ours"},
        {"limit": "500", "labelSelector": "ours", "continue": "more"},
    ]


def kubeconfig(tmp_path: Path, url: str) -> str:
    path = tmp_path / "kubeconfig"
    context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
    clusters = [{"name": "test", "cluster": {"server": url}}]
    users = [{"name": "test", "user": {"token": "secret"}}]
    config = {"current-context": "test", "contexts": [context], "clusters": clusters, "users": users}
    path.write_text(json.dumps(config))
    return str(path)


async def test_the_environments_proxy_is_used(
    kube: Kube, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", kube._client.configuration.host)
    monkeypatch.delenv("no_proxy", raising=False)
    async with Kube.connect(kubeconfig=kubeconfig(tmp_path, "http://api.invalid")) as behind:
        assert await behind.get(kinds.CONFIG_MAP, "team-a", "digits") == CONFIG_MAP
    assert server.asked[-1][:2] == ("GET", f"{PATH}/digits")


async def test_a_host_without_a_proxy_is_asked_itself(
    kube: Kube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with Kube.connect(kubeconfig=kubeconfig(tmp_path, kube._client.configuration.host)) as direct:
        assert await direct.get(kinds.CONFIG_MAP, "team-a", "digits") == CONFIG_MAP


async def test_a_password_for_the_host_in_netrc_does_not_replace_the_token(
    kube: Kube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password other")
    monkeypatch.setenv("NETRC", str(netrc))
    async with Kube.connect(kubeconfig=kubeconfig(tmp_path, kube._client.configuration.host)) as client:
        assert await client.get(kinds.CONFIG_MAP, "team-a", "digits") == CONFIG_MAP


async def test_fenced_access_reads_but_sends_no_write_when_it_is_over(kube: Kube, server: Server) -> None:
    """Breaks if work of a leader that is none any more can still reach the API server."""
    permitted = True
    fenced = kube.fenced(lambda: permitted)
    await fenced.replace(kinds.CONFIG_MAP, CONFIG_MAP)
    permitted = False
    server.asked.clear()
    for write in (
        fenced.replace(kinds.CONFIG_MAP, CONFIG_MAP),
        fenced.replace_status(kinds.CONFIG_MAP, CONFIG_MAP),
        fenced.create(kinds.CONFIG_MAP, CONFIG_MAP),
        fenced.apply(kinds.CONFIG_MAP, CONFIG_MAP),
        fenced.patch(kinds.CONFIG_MAP, "team-a", "digits", []),
        fenced.merge(kinds.CONFIG_MAP, "team-a", "digits", {}),
        fenced.delete(kinds.CONFIG_MAP, "team-a", "digits"),
    ):
        with pytest.raises(UnavailableError, match="not sent, for this process is not the leader any more"):
            await write
    assert server.asked == []
    assert await fenced.get(kinds.CONFIG_MAP, "team-a", "digits") == CONFIG_MAP
    await kube.replace(kinds.CONFIG_MAP, CONFIG_MAP)
