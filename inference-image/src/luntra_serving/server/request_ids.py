"""The server's id of an inference, by which somebody says later what became of its answer: `<revision>.<16 hexadecimal digits>`.

It names the revision, so that any pod of the model can count what is said of it; the digest's first digits stand for a revision
that the deployer did not give. The other digits are random, so pods need not agree on them: two of a hundred million ids
are the same with a probability of 0.03 %. They are no secret: a token decides who may give feedback.

It travels in `x-luntra-request-id`, a header or metadata. Not in `x-request-id`: that is the client's or the gateway's (Envoy makes
one, and keeps it when it tries again), so it may be missing, repeated, or somebody else's. Nor in the protocol's `id`, which is
echoed as the client sent it.
"""

from __future__ import annotations

import re
from random import getrandbits
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luntra_serving.swap.version import Identity

HEADER = "x-luntra-request-id"
_ID = re.compile(r"([\x21-\x7e]{1,128})\.[0-9a-f]{16}")


def new_id(identity: Identity) -> str:
    """Return the id of an inference by this version."""
    return "%s.%016x" % (identity.tag, getrandbits(64))  # noqa: UP031 - for each answer, and it takes half as long


def revision_of(text: str) -> str:
    """Return the revision in an id. Raises ValueError."""
    found = _ID.fullmatch(text)
    if found is None:
        raise ValueError(f"it must be the {HEADER} of an answer, such as 3f2a9c1d0b.00c0ffee00c0ffee")
    return found[1]
