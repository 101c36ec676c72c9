"""What can go wrong with a source of metrics, as far as a caller does something different about it.

SourceError
├── Unavailable         no answer now: ask again later; only this kind has the source left alone for a while
└── Misconfigured       no answer can come until a person changes something; the message says what
    └── TemplateError   a template names a placeholder that does not exist, or has no value

None of the messages has anything in it that a source said: an address that somebody else chose must not be a way to read with the
operator's eyes.
"""


class SourceError(Exception):
    """A source gave no number."""


class Unavailable(SourceError):  # noqa: N818 - a state of the source, which may pass
    """The source cannot be reached, or cannot answer now."""


class Misconfigured(SourceError):  # noqa: N818 - a state of the query, which stays
    """What was declared cannot give a number."""


class TemplateError(Misconfigured):
    """A template cannot be filled."""
