"""Requests over UDP: one socket, any number of requests at a time."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypedDict, Unpack, cast

from .errors import NoReply, TrestleError, refusal
from .events import EXPIRES_S, EventFeed, read_event
from .ng import CallReply, Counters, DeleteReply, GateReply, Options, SdpReply, Word

log = logging.getLogger("trestle_client")

Request = Mapping[str, object]


class Whom(TypedDict, total=False):
    """The party that a request means, by one of these; with the flag `all`, or without a party, everybody."""

    from_tag: str
    label: str
    address: str
    """The media address in its SDP."""
    flags: Sequence[Word | str]


def _log_warning(request: Request, warning: str) -> None:
    log.warning("%s %s: %s", request.get("command"), request.get("call-id", ""), warning)


class Client:
    """A client of one Trestle.

        async with await Client.open("127.0.0.1", 2223) as trestle:
            await trestle.ping()

    A request is sent again after `timeout_s` without a reply, `tries` times in all, with the same cookie, so that it is
    carried out once. What Trestle did not understand or does not do goes to `on_warning(request, warning)`, which logs it
    if not given, and stays in the reply's `warnings`. All methods raise `Refused` (or `UnknownCall`, `NoCapacity`) if
    Trestle says no, and `NoReply` if it says nothing.
    """

    def __init__(self, timeout_s: float, tries: int, on_warning: Callable[[Request, str], None]) -> None:
        self._timeout_s = timeout_s
        self._tries = tries
        self._on_warning = on_warning
        # Unlike those of any other client on the same address and port in the minute that Trestle remembers them.
        self._prefix = secrets.token_hex(6)
        self._requests = 0
        self._pending: dict[bytes, asyncio.Future[bytes]] = {}
        self._feeds: list[EventFeed] = []
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    async def open(
        cls,
        host: str = "127.0.0.1",
        port: int = 2223,
        *,
        timeout_s: float = 1.0,
        tries: int = 5,
        on_warning: Callable[[Request, str], None] = _log_warning,
    ) -> Self:
        """A client of the Trestle at `host` and `port`. Sends nothing yet."""
        client = cls(timeout_s, tries, on_warning)
        loop = asyncio.get_running_loop()
        client._transport, _ = await loop.create_datagram_endpoint(lambda: _Socket(client), remote_addr=(host, port))
        return client

    def close(self) -> None:
        """Ends all requests that still wait, with `NoReply`."""
        if self._transport:
            self._transport.close()
            self._transport = None
        for reply in self._pending.values():
            if not reply.done():
                reply.set_exception(NoReply("the client was closed"))
        for feed in self._feeds:
            feed.stop()
        self._feeds.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    async def ping(self) -> None:
        """Whether Trestle is there."""
        await self.request({"command": "ping"})

    async def offer(
        self, sdp: str, *, call_id: str, from_tag: str, to_tag: str | None = None, **options: Unpack[Options]
    ) -> SdpReply:
        """Hands in the offer of the party `from_tag`; the reply's `sdp` is the offer for the other party."""
        keys = {"call-id": call_id, "from-tag": from_tag, "to-tag": to_tag, "sdp": sdp}
        return cast(SdpReply, await self.request(_request("offer", keys, options)))

    async def answer(
        self, sdp: str, *, call_id: str, from_tag: str, to_tag: str, **options: Unpack[Options]
    ) -> SdpReply:
        """Hands in the answer of the party `to_tag`; the reply's `sdp` is the answer for `from_tag`, which offered."""
        keys = {"call-id": call_id, "from-tag": from_tag, "to-tag": to_tag, "sdp": sdp}
        return cast(SdpReply, await self.request(_request("answer", keys, options)))

    async def create(self, *, call_id: str, from_tag: str, **options: Unpack[Options]) -> SdpReply:
        """Makes an offer for the party `from_tag`; whom it talks to is said later by `connect`."""
        return cast(SdpReply, await self.request(_request("create", {"call-id": call_id, "from-tag": from_tag}, options)))

    async def create_answer(self, sdp: str, *, call_id: str, from_tag: str, **options: Unpack[Options]) -> None:
        """Hands in the answer to what `create` gave."""
        keys = {"call-id": call_id, "from-tag": from_tag, "sdp": sdp}
        await self.request(_request("create answer", keys, options))

    async def delete(
        self,
        call_id: str,
        *,
        from_tag: str | None = None,
        to_tag: str | None = None,
        via_branch: str | None = None,
        delete_delay: int | None = None,
        flags: Sequence[Word | str] | None = None,
    ) -> DeleteReply:
        """Ends a call. That there was none is no error, but a `warning` in the reply, unless `flags` has `fatal`."""
        keys = {"call-id": call_id, "from-tag": from_tag, "to-tag": to_tag, "via-branch": via_branch}
        request = _request("delete", keys, {"delete_delay": delete_delay, "flags": flags})
        return cast(DeleteReply, await self.request(request))

    async def query(
        self,
        call_id: str,
        *,
        from_tag: str | None = None,
        to_tag: str | None = None,
        flags: Sequence[Word | str] | None = None,
    ) -> CallReply:
        """What is known of a call; with the flag `verbose` everything."""
        keys = {"call-id": call_id, "from-tag": from_tag, "to-tag": to_tag}
        return cast(CallReply, await self.request(_request("query", keys, {"flags": flags})))

    async def list(self, limit: int | None = None) -> list[str]:
        """Call-ids, the oldest first; 32 if not said how many."""
        reply = await self.request(_request("list", {}, {"limit": limit}))
        return cast("list[str]", reply["calls"])

    async def statistics(self) -> Counters:
        """Counters since Trestle's start."""
        reply = await self.request({"command": "statistics"})
        return cast(Counters, reply["statistics"])

    async def play_dtmf(
        self,
        call_id: str,
        code: str | int,
        *,
        from_tag: str | None = None,
        label: str | None = None,
        address: str | None = None,
        to_tag: str | None = None,
        duration: int | None = None,
        volume: int | None = None,
    ) -> None:
        """Presses a key, for `duration` ms, for the party of `from_tag`, `label` or `address`; the other side hears it."""
        keys = {"call-id": call_id, "from-tag": from_tag, "label": label, "address": address, "to-tag": to_tag}
        await self.request(_request("play DTMF", keys, {"code": code, "duration": duration, "volume": volume}))

    async def block_dtmf(self, call_id: str, **whom: Unpack[Whom]) -> None:
        """Keeps a party's digits from the others; everybody's, if nobody is named."""
        await self.request(_request("block DTMF", {"call-id": call_id}, whom))

    async def unblock_dtmf(self, call_id: str, **whom: Unpack[Whom]) -> None:
        """Undoes `block_dtmf`."""
        await self.request(_request("unblock DTMF", {"call-id": call_id}, whom))

    async def block_media(self, call_id: str, **whom: Unpack[Whom]) -> None:
        """Keeps a party's audio and digits from the others; everybody's, if nobody is named."""
        await self.request(_request("block media", {"call-id": call_id}, whom))

    async def unblock_media(self, call_id: str, **whom: Unpack[Whom]) -> None:
        """Undoes `block_media`."""
        await self.request(_request("unblock media", {"call-id": call_id}, whom))

    async def silence_media(self, call_id: str, **whom: Unpack[Whom]) -> None:
        """Puts silence in the place of a party's audio; everybody's, if nobody is named."""
        await self.request(_request("silence media", {"call-id": call_id}, whom))

    async def unsilence_media(self, call_id: str, **whom: Unpack[Whom]) -> None:
        """Undoes `silence_media`."""
        await self.request(_request("unsilence media", {"call-id": call_id}, whom))

    async def connect(self, call_id: str, *, from_tag: str, to_tag: str, to_call_id: str | None = None) -> None:
        """Two parties hear each other, and nobody else; without a new SDP. `to_call_id` if `to_tag` is of another call."""
        keys = {"call-id": call_id, "from-tag": from_tag, "to-tag": to_tag}
        if to_call_id is not None:
            keys["to-call-id"] = to_call_id
        await self.request(_request("connect", keys, {}))

    async def gate(
        self,
        call_id: str,
        op: Literal["open", "close"],
        *,
        pre_roll: Literal["keep", "drop"] | None = None,
        **whom: Unpack[Whom],
    ) -> GateReply:
        """Lets media leave towards WhatsApp (once the call is accepted), or nothing any more (once it is over)."""
        request = _request("gate", {"call-id": call_id, "op": op, "pre-roll": pre_roll}, whom)
        return cast(GateReply, await self.request(request))

    async def subscribe_events(self, *, call_id: str | None = None) -> EventFeed:
        """The events of all calls, or of one, from now on; renewed until the feed is closed."""

        async def subscribe(expires: int) -> None:
            await self.request(_request("subscribe events", {"call-id": call_id, "expires": expires}, {}))

        def leave(feed: EventFeed) -> bool:
            if feed not in self._feeds:
                return False
            self._feeds.remove(feed)
            return all(other.call_id != feed.call_id for other in self._feeds)

        await subscribe(EXPIRES_S)
        feed = EventFeed(call_id, subscribe, leave)
        self._feeds.append(feed)
        return feed

    async def request(self, request: Request) -> dict[str, Any]:
        """Sends any request, written with the protocol's own keys, and gives the reply if it is `ok` or `pong`."""
        reply = await self._exchange(json.dumps(request, ensure_ascii=False).encode())
        warnings = reply.get("warnings", [])
        for warning in warnings:
            self._on_warning(request, warning)
        result = reply.get("result")
        if result in ("ok", "pong"):
            return reply
        reason = reply.get("error-reason") or reply.get("message") or f"unknown result {result!r}"
        raise refusal(str(request.get("command")), str(reason), warnings, result == "load limit")

    async def _exchange(self, body: bytes) -> dict[str, Any]:
        self._requests += 1
        cookie = f"{self._prefix}_{self._requests}".encode()
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._pending[cookie] = reply
        try:
            for _ in range(self._tries):
                if self._transport is None:
                    raise NoReply("the client is closed")
                self._transport.sendto(cookie + b" " + body)
                done, _ = await asyncio.wait([reply], timeout=self._timeout_s)
                if done:
                    return _read(reply.result())
        finally:
            del self._pending[cookie]
        raise NoReply(f"no reply to {self._tries} tries in {self._tries * self._timeout_s:g} s")

    def _received(self, datagram: bytes) -> None:
        if datagram.startswith(b"{"):
            if event := read_event(datagram):
                for feed in self._feeds:
                    feed.take(event)
            return
        cookie, _, body = datagram.partition(b" ")
        reply = self._pending.get(cookie)
        # A second reply, to a request that was sent again, has no taker.
        if reply and not reply.done():
            reply.set_result(body)


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, client: Client) -> None:
        self._client = client

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._client._received(data)

    def error_received(self, exc: Exception) -> None:
        # A closed port: Trestle may be starting, and the request will be sent again.
        log.debug("%s", exc)


def _request(command: str, keys: Mapping[str, object], options: Mapping[str, object]) -> dict[str, object]:
    """`None` is what was not said."""
    dashed = {name.replace("_", "-"): value for name, value in options.items()}
    return {"command": command} | {key: value for key, value in {**keys, **dashed}.items() if value is not None}


def _read(body: bytes) -> dict[str, Any]:
    try:
        reply = json.loads(body)
    except ValueError as error:
        raise TrestleError(f"the reply is not JSON: {body[:80]!r}") from error
    if not isinstance(reply, dict):
        raise TrestleError(f"the reply is no object: {body[:80]!r}")
    return reply
