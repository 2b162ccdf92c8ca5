"""Client of Trestle, the media bridge between WhatsApp and SIP. See `Client` and `DigitFeed`."""

from .client import Client
from .digits import Digit, DigitFeed
from .errors import NoCapacity, NoReply, Refused, TrestleError, UnknownCall
from .ng import CallReply, Counters, DeleteReply, Options, SdpReply

__all__ = [
    "CallReply",
    "Client",
    "Counters",
    "DeleteReply",
    "Digit",
    "DigitFeed",
    "NoCapacity",
    "NoReply",
    "Options",
    "Refused",
    "SdpReply",
    "TrestleError",
    "UnknownCall",
]
