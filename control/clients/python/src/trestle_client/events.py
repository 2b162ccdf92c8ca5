"""The event feed: datagrams that Trestle sends to subscribers (`subscribe events`)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Self, cast

from .errors import TrestleError
from .ng import CallEvent

log = logging.getLogger("trestle_client")

EXPIRES_S = 60
"""Duration of a subscription. It is renewed three times in this time."""


class EventFeed:
    """The events of all calls, or of one, in order of arrival. See `Client.subscribe_events`.

        async with await trestle.subscribe_events() as events:
            async for event in events:
                print(event["call-id"], event["event"])

    Datagrams may be lost. An application that needs every event should use `event-webhook`.
    """

    ROOM = 4096
    """Maximum of unread events; beyond it the oldest are dropped."""

    def __init__(self, call_id: str | None, subscribe: Callable[[int], Awaitable[object]], leave: Callable[[EventFeed], bool]) -> None:
        self.call_id = call_id
        self._subscribe = subscribe
        self._leave = leave
        self._events: asyncio.Queue[CallEvent | None] = asyncio.Queue()
        self._renewing = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(EXPIRES_S / 3)
            try:
                await self._subscribe(EXPIRES_S)
            except TrestleError as error:
                log.warning("events may be missing: %s", error)

    async def close(self) -> None:
        """Ends the subscription and the iteration."""
        self.stop()
        if self._leave(self):
            try:
                await self._subscribe(0)
            except TrestleError as error:
                # The subscription expires anyway.
                log.debug("%s", error)

    def stop(self) -> None:
        """Ends the iteration; the subscription expires."""
        self._renewing.cancel()
        self._events.put_nowait(None)

    def take(self, event: CallEvent) -> None:
        """Adds an event to the feed, if it is of its call."""
        if self.call_id is not None and event["call-id"] != self.call_id:
            return
        if self._events.qsize() >= self.ROOM:
            self._events.get_nowait()
        self._events.put_nowait(event)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[CallEvent]:
        while (event := await self._events.get()) is not None:
            yield event


def read_event(datagram: bytes) -> CallEvent | None:
    """Parses a datagram; `None` if it is not an event."""
    try:
        event = json.loads(datagram)
    except ValueError:
        return None
    if isinstance(event, dict) and isinstance(event.get("event"), str) and isinstance(event.get("call-id"), str):
        return cast(CallEvent, event)
    return None
