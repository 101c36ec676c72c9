"""Who may send a document: only whoever has the key, for this pod, this request, and not for long."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from luntra_serving.server.main import parse
from luntra_serving.server.tokens import Keys, NotAllowedError, SharedToken
from tests.serving.processes import Reply, ServerProcess, ask, get

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from luntra_serving.bundle.verify import Bundle

POD, PATH, BODY = "6f1c9a52-pod", "/v1/models/points", b'{"generation": 5}'
KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


def jwks(**keys: Ed25519PrivateKey) -> str:
    """The public half of keys by id, as a JWK set."""
    public = {kid: json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key())) for kid, key in keys.items()}
    return json.dumps({"keys": [{**jwk, "kid": kid, "alg": "EdDSA", "use": "sig"} for kid, jwk in public.items()]})


def token(key: Any = KEY, kid: str = "a", algorithm: str = "EdDSA", body: bytes = BODY, **changes: Any) -> str:
    """A header `Authorization` with a good token, but for the changes; a claim that is None is left out."""
    now = int(time.time())
    claims = {"aud": POD, "iat": now, "exp": now + 30, "htm": "PUT", "htu": PATH, **changes}
    claims.setdefault("body", hashlib.sha256(body).hexdigest())
    present = {name: value for name, value in claims.items() if value is not None}
    return "Bearer " + jwt.encode(present, key, algorithm=algorithm, headers={"kid": kid})


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    file = tmp_path / "keys.json"
    file.write_text(jwks(a=KEY))
    return Keys(file, POD)


def test_signed_request_is_allowed(keys: Keys) -> None:
    keys.check(token(), "PUT", PATH, BODY)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (lambda: None, "there is no token"),
        (lambda: "Basic abc", "there is no token"),
        (lambda: "Bearer abc", "the token is refused"),
        (lambda: token(OTHER), "Signature verification failed"),
        (lambda: token(kid="b"), "key 'b' is not known here"),
        (lambda: token(aud="another-pod"), "Audience doesn't match"),
        (lambda: token(aud=None), 'missing the "aud" claim'),
        (lambda: token(exp=None), 'missing the "exp" claim'),
        (lambda: token(iat=None), 'missing the "iat" claim'),
        (lambda: token(iat=int(time.time()) - 60, exp=int(time.time()) - 31), "expired"),
        (lambda: token(iat=int(time.time()) + 60, exp=int(time.time()) + 90), "not yet valid"),
        (lambda: token(exp=int(time.time()) + 3600), "good for more than 30 s"),
        (lambda: token(htm="GET"), "for another request"),
        (lambda: token(htu="/v1/models/lines"), "for another request"),
        (lambda: token(body=b"another"), "for another request"),
        (lambda: token("x" * 64, algorithm="HS256"), "the token is refused"),
        (lambda: token(None, algorithm="none"), "the token is refused"),
    ],
)
def test_any_other_request_is_refused_with_the_reason(keys: Keys, header: Callable[[], str | None], words: str) -> None:
    with pytest.raises(NotAllowedError, match=words):
        keys.check(header(), "PUT", PATH, BODY)


def test_keys_can_be_rotated_without_a_restart(keys: Keys) -> None:
    keys.file.write_text(jwks(a=KEY, b=OTHER))
    keys.check(token(), "PUT", PATH, BODY)
    keys.check(token(OTHER, kid="b"), "PUT", PATH, BODY)
    keys.file.write_text(jwks(b=OTHER))
    with pytest.raises(NotAllowedError, match="key 'a' is not known here"):
        keys.check(token(), "PUT", PATH, BODY)


@pytest.mark.parametrize("content", [None, "", "{}", '{"keys": []}', '{"keys": [{"kty": "OKP"}]}'])
def test_keys_that_cannot_be_read_allow_nobody(keys: Keys, content: str | None) -> None:
    keys.file.unlink()
    if content is not None:
        keys.file.write_text(content)
    with pytest.raises(NotAllowedError):
        keys.check(token(), "PUT", PATH, BODY)


@pytest.fixture
def shared(tmp_path: Path) -> SharedToken:
    file = tmp_path / "token"
    file.write_text(" secret\n")
    return SharedToken(file)


def test_shared_token_is_what_the_file_says_now_but_for_white_space(shared: SharedToken) -> None:
    shared.check("Bearer secret")
    shared.file.write_text("süß")
    shared.check("Bearer süß".encode().decode("latin-1"))  # as a header comes
    with pytest.raises(NotAllowedError, match="another one"):
        shared.check("Bearer secret")


@pytest.mark.parametrize(
    "header", ["Bearer ", "Bearer secre", "Bearer secrets", "Bearer Secret", "Bearer ☃", "Bearer \x00"]
)
def test_any_other_shared_token_is_refused(shared: SharedToken, header: str) -> None:
    with pytest.raises(NotAllowedError, match="the token is another one than the server's"):
        shared.check(header)


@pytest.mark.parametrize("header", [None, "", "secret", "Basic secret", "Bearersecret"])
def test_header_without_a_token_is_refused(shared: SharedToken, header: str | None) -> None:
    with pytest.raises(NotAllowedError, match="there is no token"):
        shared.check(header)


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read: No such file"), ("", "is empty"), (" \n", "is empty")]
)
def test_shared_token_that_is_not_there_allows_nobody(shared: SharedToken, content: str | None, words: str) -> None:
    shared.file.unlink()
    if content is not None:
        shared.file.write_text(content)
    for header in ("Bearer ", "Bearer secret"):
        with pytest.raises(NotAllowedError, match=words):
            shared.check(header)


def test_keys_need_to_know_the_pod(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("LUNTRA_POD_UID", raising=False)
    with pytest.raises(SystemExit):
        parse(["--document", "d", "--keys", "k"])
    assert "set LUNTRA_POD_UID" in capsys.readouterr().err


def test_server_with_keys_takes_documents_from_whoever_signs_them_and_shows_its_state_to_all(
    points: Bundle, document: Callable[..., Path], tmp_path: Path
) -> None:
    file = tmp_path / "keys.json"
    file.write_text(jwks(a=KEY))
    stable = {"version": "v2", "uri": points.folder.as_uri(), "digest": points.digest}
    body = json.dumps({"generation": 9, "model": "points", "stable": stable}).encode()
    command = ("--document", document(points), "--cache-dir", tmp_path / "cache", "--keys", file)
    with ServerProcess(*command, environment={"LUNTRA_POD_UID": POD}) as server:
        server.wait_ready()

        def put(headers: dict[str, str]) -> Reply:
            return ask(server.management, PATH, "PUT", body, headers)

        assert put({}).status == 403
        assert put({"Authorization": token(OTHER, body=body)}).status == 403
        assert server.state("points")["observedGeneration"] == 4
        assert put({"Authorization": token(body=body)}).status == 200
        assert server.state("points")["observedGeneration"] == 9
        assert get(server.management, "/metrics").status == 200
