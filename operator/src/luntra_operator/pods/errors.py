"""What can go wrong at a pod's management port, as far as a caller does something different about it.

PodError
├── UnreachableError    no answer in time, or none that makes sense: the pod may be starting, leaving or cut off; ask again
├── RefusedError        the pod does not take this: a wrong document, a token that it does not accept, no such model
└── StaleError          the pod follows a document of the same or a higher generation, which it names
"""


class PodError(Exception):
    """Any failure at a pod; the message says of which request."""


class UnreachableError(PodError):
    """The pod did not answer, or not in a way that can be read."""


class RefusedError(PodError):
    """The pod refused; asking again with the same cannot help. `forbidden`: it is about the token."""

    def __init__(self, message: str, *, forbidden: bool = False) -> None:
        """Refused with these words."""
        super().__init__(message)
        self.forbidden = forbidden


class StaleError(PodError):
    """The pod follows another document; `generation` is that one's."""

    def __init__(self, message: str, generation: int) -> None:
        """Refused in favour of the document of this generation."""
        super().__init__(message)
        self.generation = generation
