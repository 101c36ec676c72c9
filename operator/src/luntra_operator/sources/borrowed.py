"""Tokens and certificates of an object's own namespace, read through a port and kept for a short time.

Never another namespace's, never in a message or a log. What is missing is told by name.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final

from luntra_operator.api.sources import ConfigKey, SecretKey

from .errors import Misconfigured

Read = Callable[[str, str, str], Awaitable[str]]
"""The text of (namespace, name, key); raises SourceError: Misconfigured where it does not exist or may not be read."""

KEPT: Final = 15.0
"""Seconds: so long a token that was replaced may still be used."""
LONGEST: Final = 1 << 16
"""Characters of a token or of certificates."""
_MOST: Final = 256


class Borrowed:
    """Reads Secrets and ConfigMaps; `clock` is in seconds."""

    def __init__(self, secrets: Read, config_maps: Read, clock: Callable[[], float] = time.monotonic) -> None:
        """Read through these two."""
        self._secrets, self._config_maps, self._clock = secrets, config_maps, clock
        self._kept: dict[tuple[str, str, str, str], tuple[float, str]] = {}

    async def header(self, namespace: str, ref: SecretKey) -> str:
        """A Secret's text, fit to be sent in a header.

        Raises:
            SourceError: it is missing, or not fit.
        """
        text = (await self._text("Secret", namespace, ref)).strip()
        if not text or not text.isascii() or not text.isprintable():
            raise Misconfigured(
                f"key {ref.key} of Secret {ref.name} is empty, or no single line of ASCII: write the token alone into it"
            )
        return text

    async def authority(self, namespace: str, secret: SecretKey | None, config: ConfigKey | None) -> str | None:
        """CA certificates (PEM) from whichever reference is given; None without one.

        Raises:
            SourceError: it is missing.
        """
        if secret is not None:
            return await self._text("Secret", namespace, secret)
        return await self._text("ConfigMap", namespace, config) if config is not None else None

    async def _text(self, kind: str, namespace: str, ref: SecretKey | ConfigKey) -> str:
        key = (kind, namespace, ref.name, ref.key)
        now = self._clock()
        if (kept := self._kept.get(key)) and now < kept[0]:
            return kept[1]
        read = self._secrets if kind == "Secret" else self._config_maps
        text = await read(namespace, ref.name, ref.key)
        if len(text) > LONGEST:
            raise Misconfigured(
                f"key {ref.key} of {kind} {ref.name} is longer than {LONGEST >> 10} KiB: leave out what is not needed"
            )
        if len(self._kept) >= _MOST:
            self._kept.clear()
        self._kept[key] = (now + KEPT, text)
        return text
