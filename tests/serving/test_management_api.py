"""What the management port says is what its description says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from luntra_serving.server import openapi
from tests.serving.processes import ServerProcess, ask, get, post

if TYPE_CHECKING:
    from collections.abc import Callable

    from luntra_serving.bundle.verify import Bundle

COMMITTED = Path(openapi.__file__).parents[3] / "openapi" / "management.json"


def test_committed_description_is_the_generated_one() -> None:
    assert json.loads(COMMITTED.read_text()) == openapi.openapi(), "run: make crds"


def test_every_reference_in_the_description_leads_somewhere() -> None:
    text = json.dumps(openapi.openapi())
    names = {part.split('"', 1)[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(openapi.openapi()["components"]["schemas"])


@pytest.fixture
def server(points: Bundle, document: Callable[..., Path], tmp_path: Path) -> ServerProcess:
    token = tmp_path / "token"
    token.write_text("secret")
    arguments = ("--document", document(points), "--cache-dir", tmp_path / "cache", "--feedback-token-file", token)
    return ServerProcess(*arguments, impatient=True)


def test_every_answer_is_as_described(server: ServerProcess, points: Bundle) -> None:
    with server:
        server.wait_ready()
        post(server.address, "/v2/models/points/infer", b"{}")
        stable = {"version": "v2", "uri": "file:///nowhere", "digest": points.digest}
        path = "/v1/models/points"

        def put(generation: int) -> bytes:
            document = {"generation": generation, "model": "points", "stable": stable}
            return ask(server.management, path, "PUT", json.dumps(document).encode()).body

        openapi.ModelState.model_validate_json(put(9))
        openapi.Stale.model_validate_json(put(1))
        openapi.Refusal.model_validate_json(ask(server.management, path, "PUT", b"{").body)
        openapi.ModelState.model_validate_json(get(server.management, path).body)
        for header, answer in (("Bearer secret", openapi.FeedbackTaken), ("", openapi.Refusal)):
            entry = b'{"id": "3f2a9c1d0b.00c0ffee00c0ffee", "correct": true}'
            reply = ask(server.management, "/v2/models/points/feedback", "POST", entry, {"Authorization": header})
            answer.model_validate_json(reply.body)
        openapi.ModelStatistics.model_validate_json(get(server.management, f"{path}/stats").body)
        events = openapi.Transitions.model_validate_json(get(server.management, "/v1/events").body)
        assert [event.event for event in events.events if event.version == "v1"][-1] == "Promoted"
        openapi.Refusal.model_validate_json(get(server.management, "/v1/events?since=x").body)
        openapi.Refusal.model_validate_json(get(server.management, "/v1/models/lines").body)
        openapi.Refusal.model_validate_json(get(server.management, "/nothing").body)
