"""Read files below a bundle's URI as bounded streams: `file://` and `https://`. The only importer of fsspec.

A private certificate authority is trusted when SSL_CERT_FILE names its PEM file, as everywhere with OpenSSL. Redirects
are followed as long as they stay on https. Nothing here knows what the bytes mean.
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

import aiohttp
import fsspec
from fsspec.exceptions import FSTimeoutError

from luntra_serving.bundle.verify import refuse_symlinks
from luntra_serving.errors import PermanentLoadError, Reason, TransientLoadError

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMES = ("https", "file")
CHUNK = 1 << 20
CONNECT_SECONDS = 10.0
STALL_SECONDS = 30.0


class _InsecureRedirectError(Exception):
    """The source sent us on to an address that is not https."""


class Source:
    """The folder that a URI names."""

    def __init__(
        self, uri: str, *, connect_seconds: float = CONNECT_SECONDS, stall_seconds: float = STALL_SECONDS
    ) -> None:
        """Accept `uri`; raises PermanentLoadError (UnsupportedScheme, InvalidDocument) for what can never be read."""
        parts = urlsplit(uri)
        if parts.scheme not in SCHEMES:
            raise PermanentLoadError(
                Reason.UNSUPPORTED_SCHEME,
                f"uri {without_password(uri)!r} has the scheme {parts.scheme or '(none)'!r}; "
                "supported are https://host/path and file:///path",
            )
        if parts.query or parts.fragment:
            problem = f"uri {without_password(uri)!r} has a query or fragment; it must name a folder"
            raise PermanentLoadError(Reason.INVALID_DOCUMENT, problem)
        self.uri = without_password(uri).rstrip("/")
        self._base = uri.rstrip("/")
        self._local = parts.scheme == "file"
        if self._local:
            self._folder = Path(_local_path(uri, parts.netloc, parts.path))
            self._files: Any = fsspec.filesystem("file")
        else:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds, sock_read=stall_seconds)
            tracing = aiohttp.TraceConfig()
            tracing.on_request_redirect.append(_only_https)
            # skip_instance_cache: time-outs and sessions belong to this fetch, not to an earlier one's.
            self._files = fsspec.filesystem(
                "https",
                skip_instance_cache=True,
                get_client=_client,
                client_kwargs={"timeout": timeout, "trace_configs": [tracing]},
            )

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of the file `path` below the URI, at most `CHUNK` at a time.

        Raises TransientLoadError (SourceUnavailable) if it cannot be read, PermanentLoadError (InvalidBundle) if it
        lies behind a symbolic link. The caller bounds how much it takes.
        """
        try:
            with self._open(path) as file:
                while chunk := file.read(CHUNK):
                    yield chunk
        except _InsecureRedirectError as error:
            raise PermanentLoadError(Reason.UNSUPPORTED_SCHEME, str(error)) from error
        except (OSError, aiohttp.ClientError, FSTimeoutError) as error:
            raise TransientLoadError(Reason.SOURCE_UNAVAILABLE, f"{self.uri}/{path}: {_explain(error)}") from error

    def _open(self, path: str) -> Any:
        if self._local:
            refuse_symlinks(self._folder, path)
            return self._files.open(str(self._folder / path), "rb")
        # A size that is not None spares a HEAD request, and block size 0 asks for one stream instead of ranges.
        return self._files.open(f"{self._base}/{quote(path)}", "rb", block_size=0, size=1)


def without_password(uri: str) -> str:
    """Return `uri` with any user and password replaced, for logs and messages."""
    return re.sub(r"//[^/@]*@", "//…@", uri)


async def _client(**options: Any) -> aiohttp.ClientSession:
    # A context of our own: aiohttp makes its default one when it is imported, before SSL_CERT_FILE may be set.
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context())
    return aiohttp.ClientSession(connector=connector, **options)


async def _only_https(_session: Any, _context: Any, parameters: Any) -> None:
    target = parameters.response.headers.get("Location", "")
    if urlsplit(target).scheme not in {"", "https"}:
        problem = (
            f"{parameters.url} redirects to {target!r}, which is not https; publish the bundle at an https address"
        )
        raise _InsecureRedirectError(problem)


def _local_path(uri: str, host: str, path: str) -> str:
    if host not in {"", "localhost"} or not path.startswith("/"):
        problem = f"uri {uri!r} names the host {host!r}; a file uri has three slashes: file:///path/to/bundle"
        raise PermanentLoadError(Reason.INVALID_DOCUMENT, problem)
    return unquote(path)


def _explain(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file; check spec.model.uri and that the upload is complete"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return f"{error}; if the server's certificate comes from a private authority, name its PEM in SSL_CERT_FILE"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"the server answered {error.status} {error.message}; check the address and who may read it"
    if isinstance(error, FSTimeoutError | TimeoutError):
        return "no answer in time; check that the source is up and reachable from the pod"
    return f"{error or type(error).__name__}; check that the source is up and reachable from the pod"
