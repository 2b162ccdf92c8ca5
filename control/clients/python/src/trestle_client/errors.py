"""What can go wrong with a request."""

from __future__ import annotations

from collections.abc import Sequence


class TrestleError(Exception):
    """Any failure of a request."""


class NoReply(TrestleError):
    """Nobody answered, however often the request was sent. Whether it was carried out is not known."""


class Refused(TrestleError):
    """Trestle answered with an error. Nothing was changed by the request."""

    def __init__(self, command: str, reason: str, warnings: Sequence[str] = ()) -> None:
        super().__init__(f"{command}: {reason}")
        self.command = command
        self.reason = reason
        """As Trestle says it. The part before a colon never changes."""
        self.warnings = list(warnings)


class UnknownCall(Refused):
    """There is no such call, or it is over."""


class NoCapacity(Refused):
    """No room for this call; another Trestle may have some."""


# The words at which SIP proxies go to their next node.
_NO_CAPACITY = ("Parallel session limit reached", "Ran out of ports", "Load limit exceeded")


def refusal(command: str, reason: str, warnings: Sequence[str], load_limit: bool) -> Refused:
    """The error for a reply whose `result` is `error` or `load limit`."""
    kind = Refused
    if load_limit or reason in _NO_CAPACITY:
        kind = NoCapacity
    elif reason.lower() == "unknown call-id" or reason.startswith("Call-ID not found"):
        kind = UnknownCall
    return kind(command, reason, warnings)
