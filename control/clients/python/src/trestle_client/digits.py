"""The digit feed: Trestle sends one datagram for each key that was pressed and released (`dtmf-log-dest`)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

from .ng import DigitLine

log = logging.getLogger("trestle_client")

# RFC 4733 section 3.2.
_KEYS = "0123456789*#ABCD"


@dataclass(frozen=True)
class Digit:
    """A key that a party pressed and released."""

    call_id: str
    digit: str
    """One of `0123456789*#ABCD`."""
    source_tag: str
    """Tag of the party that pressed it."""
    source_label: str
    """Label of that party, or empty."""
    tags: tuple[str, ...]
    """All parties of the call."""
    duration_ms: int
    volume_dbm0: int
    timestamp: int
    """Unix time, s."""
    source_ip: str

    @classmethod
    def read(cls, datagram: bytes) -> Self:
        """Parses a datagram. Raises `ValueError` or `LookupError` if it is not from the feed."""
        line: DigitLine = json.loads(datagram)
        return cls(
            call_id=line["callid"],
            digit=_KEYS[line["event"]],
            source_tag=line["source_tag"],
            source_label=line.get("source_label", ""),
            tags=tuple(line["tags"]),
            duration_ms=line["duration"],
            volume_dbm0=-line["volume"],
            timestamp=line["timestamp"],
            source_ip=line["source_ip"],
        )


class DigitFeed(asyncio.DatagramProtocol):
    """The digits of all calls, in order of arrival.

        async with await DigitFeed.listen(port=9999) as digits:     # trestle serve --dtmf-log-dest=127.0.0.1:9999
            async for digit in digits:
                print(digit.call_id, digit.digit)
    """

    ROOM = 1024
    """Maximum of unread digits; beyond it the oldest are dropped."""

    def __init__(self) -> None:
        self._digits: asyncio.Queue[Digit | None] = asyncio.Queue()
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    async def listen(cls, host: str = "127.0.0.1", port: int = 0) -> Self:
        """Opens the socket. Port 0 selects a free port: see `address`."""
        loop = asyncio.get_running_loop()
        feed = cls()
        feed._transport, _ = await loop.create_datagram_endpoint(lambda: feed, local_addr=(host, port))
        return feed

    @property
    def address(self) -> tuple[str, int]:
        """The value for `dtmf-log-dest` of Trestle."""
        assert self._transport, "listens"
        host, port = self._transport.get_extra_info("sockname")[:2]
        return host, port

    def close(self) -> None:
        """Ends the iteration."""
        if self._transport:
            self._transport.close()
        self._digits.put_nowait(None)

    def datagram_received(self, data: bytes, addr: object) -> None:
        try:
            digit = Digit.read(data)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            log.warning("not a line of the digit feed, from %s: %r", addr, error)
            return
        if self._digits.qsize() >= self.ROOM:
            self._digits.get_nowait()
        self._digits.put_nowait(digit)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def __aiter__(self) -> AsyncIterator[Digit]:
        while (digit := await self._digits.get()) is not None:
            yield digit
