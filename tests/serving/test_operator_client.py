"""The operator's client of the management port against the real server: both sides agree on state, documents and tokens."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from luntra_operator.pods.client import MOST, PodAddress, Pods
from luntra_operator.pods.errors import RefusedError, StaleError, UnreachableError
from luntra_operator.pods.keys import SETTLE, Key, Ring
from luntra_operator.pods.tokens import LIFETIME, sign
from tests.serving.bundles import points_bundle
from tests.serving.processes import Reply, ServerProcess, ask, post

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from luntra_serving.bundle.verify import Bundle

UID, MODEL, PATH = "0b9c-pod-uid", "points", "/v1/models/points"
TOKEN = "who-knows-the-truth"


def now() -> datetime:
    return datetime.now(UTC)


def address(port: str, uid: str = UID) -> PodAddress:
    host, _, number = port.rpartition(":")
    return PodAddress("points-w1-abc", uid, host, int(number))


class Served:
    """A server that trusts the keys of a file, and a client that has a ring of them."""

    def __init__(
        self, server: ServerProcess, file: Path, session: aiohttp.ClientSession, target: dict[str, str]
    ) -> None:
        self.server, self.file, self.target = server, file, target
        self.ring = Ring.new(now() - timedelta(seconds=2 * SETTLE))
        self.file.write_text(self.ring.public)
        self.pods = Pods(session, lambda: self.ring, now)
        self.pod = address(server.management)

    def document(self, generation: int, **changes: Any) -> dict[str, Any]:
        return {"generation": generation, "model": MODEL, "stable": self.target, **changes}

    def send(self, token: str, body: bytes, method: str = "PUT", path: str = PATH) -> Reply:
        """The request as somebody else would send it."""
        return ask(self.server.management, path, method, body, {"Authorization": token})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keyed")


@pytest.fixture(scope="module")
def bundle(files: Path) -> Bundle:
    return points_bundle(files / "points-v1")


@pytest.fixture
def server(bundle: Bundle, document: Callable[..., Path], tmp_path: Path) -> Iterator[ServerProcess]:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    command = ("--document", document(bundle), "--cache-dir", tmp_path / "cache", "--keys", tmp_path / "keys.json")
    with ServerProcess(*command, "--feedback-token-file", token, environment={"LUNTRA_POD_UID": UID}) as running:
        yield running.wait_ready()


@pytest.fixture
async def served(server: ServerProcess, bundle: Bundle, tmp_path: Path) -> AsyncIterator[Served]:
    target = {
        "version": bundle.manifest.version,
        "revision": "3f2a9c1d0b",
        "uri": bundle.folder.as_uri(),
        "digest": bundle.digest,
    }
    async with aiohttp.ClientSession() as session:
        yield Served(server, tmp_path / "keys.json", session, target)


async def test_state_and_document_of_a_real_server(served: Served) -> None:
    """Breaks if the client reads another contract than the server writes."""
    before = await served.pods.state(served.pod, MODEL)
    assert (before.name, before.observed_generation, before.ready, before.draining) == (MODEL, 4, True, False)
    assert before.stable == served.target["version"]
    assert [(one.revision, one.state) for one in before.versions] == [("3f2a9c1d0b", "Ready")]
    after = await served.pods.put(served.pod, MODEL, served.document(9))
    assert after.observed_generation == 9
    assert (await served.pods.state(served.pod, MODEL)).observed_generation == 9


async def test_counters_of_a_real_server(served: Served) -> None:
    """Breaks if what verdicts are made from is read otherwise than the server writes it."""
    before = await served.pods.stats(served.pod, MODEL)
    assert [(one.revision, one.since, one.codes) for one in before.versions] == [("3f2a9c1d0b", None, {})]
    refused = post(served.server.address, f"/v2/models/{MODEL}/infer", b"{}")
    entry = {"id": refused.headers["x-luntra-request-id"], "reward": 0.5}
    path, token = f"/v2/models/{MODEL}/feedback", {"Authorization": f"Bearer {TOKEN}"}
    assert ask(served.server.management, path, "POST", json.dumps(entry).encode(), token).status == 200
    after = await served.pods.stats(served.pod, MODEL)
    assert (after.instance, after.draining) == (before.instance, False)
    [counted] = after.versions
    assert (counted.codes, counted.in_flight, counted.latency.count) == ({400: 1}, 0, 1)
    assert counted.latency.buckets[-1] == (None, 1)
    assert counted.since is not None
    assert before.at < counted.since < after.at
    assert {revision: (one.count, one.reward_sum) for revision, one in after.feedback.items()} == {
        "3f2a9c1d0b": (1, 0.5)
    }
    with pytest.raises(RefusedError, match=r"GET /v1/models/lines/stats of pod points-w1-abc: .*\(404\)"):
        await served.pods.stats(served.pod, "lines")


async def test_older_document_is_stale_and_the_pod_says_which_it_follows(served: Served) -> None:
    await served.pods.put(served.pod, MODEL, served.document(9))
    for document in (served.document(8), served.document(9, session={"header": "x-session"})):
        with pytest.raises(StaleError) as stale:
            await served.pods.put(served.pod, MODEL, document)
        assert stale.value.generation == 9


async def test_wrong_document_and_unknown_model_are_refused_in_the_pods_own_words(served: Served) -> None:
    with pytest.raises(RefusedError, match=r"PUT /v1/models/points of pod points-w1-abc: .*stable.* \(422\)") as wrong:
        await served.pods.put(served.pod, MODEL, {"generation": 9, "model": MODEL})
    assert not wrong.value.forbidden
    with pytest.raises(RefusedError, match=r"\(404\)"):
        await served.pods.state(served.pod, "lines")


async def test_token_is_good_for_one_request_to_one_pod(served: Served) -> None:
    """Breaks if a caught token could do anything else than what it was signed for."""
    (key,) = served.ring.keys
    body = json.dumps(served.document(9)).encode()
    token = sign(key, UID, "PUT", PATH, body, now())
    other = json.dumps(served.document(10)).encode()
    assert served.send(token, other).status == 403
    assert served.send(token, body, path="/v1/models/lines").status == 403
    assert served.send(token, body, method="DELETE").status == 403
    for replayed in (
        sign(key, "another-pod", "PUT", PATH, body, now()),
        sign(key, UID, "PUT", PATH, body, now() - timedelta(seconds=LIFETIME + 10)),
        sign(key, UID, "PUT", PATH, body, now() + timedelta(seconds=60)),
        sign(Key.new(now()), UID, "PUT", PATH, body, now()),
    ):
        assert served.send(replayed, body).status == 403
    assert (await served.pods.state(served.pod, MODEL)).observed_generation == 4
    assert served.send(token, body).status == 200


async def test_exact_replay_changes_nothing(served: Served) -> None:
    """The server keeps no list of tokens: the same document is followed already, and after a newer one it is stale."""
    (key,) = served.ring.keys
    body = json.dumps(served.document(9)).encode()
    token = sign(key, UID, "PUT", PATH, body, now())
    assert served.send(token, body).status == 200
    before = await served.pods.state(served.pod, MODEL)
    assert served.send(token, body).status == 200
    assert await served.pods.state(served.pod, MODEL) == before
    await served.pods.put(served.pod, MODEL, served.document(10))
    assert served.send(token, body).status == 409


async def test_document_for_another_pod_at_the_same_address_is_refused(served: Served) -> None:
    """An address is given to the next pod as soon as one is gone."""
    with pytest.raises(RefusedError, match="Audience") as wrong:
        await served.pods.put(address(served.server.management, "the-pod-before"), MODEL, served.document(9))
    assert wrong.value.forbidden


async def test_document_is_taken_at_every_moment_of_a_rotation(served: Served) -> None:
    """Breaks if any pod, be it ahead of the operator or behind it, meets a key that it does not know and no other."""
    generation = 10
    old, made = served.ring, now()
    for seconds, known in ((0, old), (SETTLE / 2, None), (SETTLE, None), (SETTLE, old), (2 * SETTLE, None)):
        both = Ring((*old.keys, Key.new(made - timedelta(seconds=seconds))), "asked")
        served.ring = both.turned(now(), "asked") if seconds == 2 * SETTLE else both
        served.file.write_text((known or served.ring).public)
        generation += 1
        after = await served.pods.put(served.pod, MODEL, served.document(generation))
        assert after.observed_generation == generation
    served.ring = Ring.new(made)
    with pytest.raises(RefusedError, match="is not known here") as unknown:
        await served.pods.put(served.pod, MODEL, served.document(99))
    assert unknown.value.forbidden


async def test_pod_that_is_gone_or_frozen_is_unreachable(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luntra_operator.pods.client.TIMEOUT", aiohttp.ClientTimeout(total=0.2))
    served.server.process.send_signal(signal.SIGSTOP)
    with pytest.raises(UnreachableError, match="of pod points-w1-abc"):
        await served.pods.put(served.pod, MODEL, served.document(9))
    served.server.process.kill()
    served.server.process.wait()
    with pytest.raises(UnreachableError, match="GET /v1/models/points of pod points-w1-abc"):
        await served.pods.state(served.pod, MODEL)


def _reply(status: int, text: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text, headers={"Location": "/elsewhere"})

    return answer


@pytest.mark.parametrize(
    ("status", "text", "words"),
    [
        (200, "x" * (MOST + 1), "the answer is longer than 1048576 bytes"),
        (200, "<html>", "200, and no answer of a model server: b'<html>'"),
        (200, "{}", "200, and no answer"),
        (302, "", "302, and no answer"),
        (404, "404 page not found", "404, and no answer"),
        (409, '{"error": "no"}', "409, and no answer"),
        (503, '{"error": "starting"}', "starting (503)"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_what_no_model_server_answers_is_unreachable(status: int, text: str, words: str) -> None:
    """Breaks if whoever has the address now could fill the memory, send the client elsewhere or crash it."""
    app = web.Application()
    app.router.add_get(PATH, _reply(status, text))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(10):
            with pytest.raises(UnreachableError, match=re.escape(words)):
                await Pods(session, lambda: Ring.new(now()), now).state(
                    address(f"127.0.0.1:{runner.addresses[0][1]}"), MODEL
                )
    finally:
        await runner.cleanup()


def test_address_of_a_pod_with_an_ipv6_address() -> None:
    assert PodAddress("p", UID, "fd00::7").url("/v1/models") == "http://[fd00::7]:8090/v1/models"
