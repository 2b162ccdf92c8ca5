"""Client for Trestle, the media bridge between WhatsApp and SIP: `Client`, `DigitFeed`, `EventFeed`."""

from .client import Client
from .digits import Digit, DigitFeed
from .errors import NoCapacity, NoReply, Refused, TrestleError, UnknownCall
from .events import EventFeed
from .ng import CallEvent, CallReply, Counters, DeleteReply, DrainReply, GateReply, Options, SdpReply

__all__ = [
    "CallEvent",
    "CallReply",
    "Client",
    "Counters",
    "DeleteReply",
    "DrainReply",
    "Digit",
    "DigitFeed",
    "EventFeed",
    "GateReply",
    "NoCapacity",
    "NoReply",
    "Options",
    "Refused",
    "SdpReply",
    "TrestleError",
    "UnknownCall",
]
