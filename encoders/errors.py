"""The one family of errors that a user can mend. Raised where the fault is known, caught at the two edges.

Each carries `code`, a word of the contract's list, and `text`: what, found, expected, remedy, on one line.
"""

from __future__ import annotations


def one_line(text: str) -> str:
    """`text` with line breaks, control characters and undecodable bytes made visible: safe in a log or a reply."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class SamplefitError(Exception):
    """Something that the user can mend. Every other exception is a bug of ours.

    Args:
        what: the thing at fault, by name.
        found: what it is.
        expected: what it should have been.
        remedy: what to do about it.
    """

    code = "internal"

    def __init__(self, what: str, *, found: str = "", expected: str = "", remedy: str = "") -> None:
        parts = [f"found {found}" if found else "", f"expected {expected}" if expected else "", remedy]
        self.text = one_line(": ".join([what, "; ".join(part for part in parts if part)]).rstrip(": "))
        super().__init__(self.text)


class BadRequest(SamplefitError):
    """An argument, option, preset or message of the wrong form."""

    code = "bad-request"


class NotFound(SamplefitError):
    """A file, folder, preset, model or id that is not there."""

    code = "not-found"


class UnreadableAudio(SamplefitError):
    """A file or buffer that no decoder of ours understands."""

    code = "unreadable-audio"


class NoSignal(SamplefitError):
    """Audio in which nothing sounds: empty, silent, constant or non-finite."""

    code = "no-signal"


class TooLong(SamplefitError):
    """Audio longer than the limit for its purpose."""

    code = "too-long"


class NoSamples(SamplefitError):
    """A library, or the part of it that was asked for, without one-shots."""

    code = "no-samples"


class NoModel(SamplefitError):
    """A model package that is missing, damaged or of the wrong form."""

    code = "no-model"


class Busy(SamplefitError):
    """The one who could do it is doing something else: another daemon, a full queue."""

    code = "busy"


class TooBig(SamplefitError):
    """More bytes than the set limit."""

    code = "too-big"


class Refused(SamplefitError):
    """Understood, and not allowed."""

    code = "refused"
