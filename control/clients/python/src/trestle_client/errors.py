"""Errors of requests."""

from __future__ import annotations

from collections.abc import Sequence


class TrestleError(Exception):
    """Base class of all errors of requests."""


class NoReply(TrestleError):
    """No reply to any of the repeats. It is unknown whether the request was executed."""


class Refused(TrestleError):
    """Trestle replied with an error. The request changed nothing."""

    def __init__(self, command: str, reason: str, warnings: Sequence[str] = ()) -> None:
        super().__init__(f"{command}: {reason}")
        self.command = command
        self.reason = reason
        """The text of Trestle. The part before a colon never changes."""
        self.warnings = list(warnings)
        self.token: str | None = None
        """Of `subscribe events`: what the request must contain to be confirmed."""


class UnknownCall(Refused):
    """There is no such call, or it has ended."""


class NoCapacity(Refused):
    """No room for this call; another Trestle may have some."""


# The texts at which SIP proxies try their next node.
_NO_CAPACITY = ("Parallel session limit reached", "Ran out of ports", "Load limit exceeded")


def refusal(command: str, reason: str, warnings: Sequence[str], load_limit: bool) -> Refused:
    """The error for a reply whose `result` is `error` or `load limit`."""
    kind = Refused
    if load_limit or reason in _NO_CAPACITY:
        kind = NoCapacity
    elif reason.lower() == "unknown call-id" or reason.startswith("Call-ID not found"):
        kind = UnknownCall
    return kind(command, reason, warnings)
