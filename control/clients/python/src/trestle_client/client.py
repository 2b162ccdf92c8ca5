"""`Client`: requests over UDP or a Unix socket, any number at a time."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypedDict, Unpack, cast

from .errors import NoReply, Refused, TrestleError, refusal
from .events import EXPIRES_S, EventFeed, read_event
from .ng import CallReply, Counters, DeleteReply, DrainReply, GateReply, Options, SdpReply, Word
from .signature import Signer

log = logging.getLogger("trestle_client")

SECRET_FILE = "TRESTLE_NG_SECRET_FILE"
"""The environment variable that names the file with the shared secret."""

Request = Mapping[str, object]


class Target(TypedDict, total=False):
    """Selects a party by one of these keys. Without any of them, or with the flag `all`, the request applies to all parties."""

    from_tag: str
    label: str
    address: str
    """The IP address in the SDP of the party."""
    flags: Sequence[Word | str]


def _log_warning(request: Request, warning: str) -> None:
    log.warning("%s %s: %s", request.get("command"), request.get("call-id", ""), warning)


class Client:
    """A client of one Trestle.

        async with await Client.open("127.0.0.1", 2223) as trestle:
            await trestle.ping()

    The client repeats a request after `timeout_s` without a reply, `tries` times in all, with the same cookie: Trestle
    executes it once. For each option that Trestle did not understand or apply, the client calls `on_warning(request,
    warning)`; the default logs it. `warnings` in the reply has them too. All methods raise `Refused` (or `UnknownCall`,
    `NoCapacity`) if Trestle replies with an error, and `NoReply` if there is no reply.

    With a secret, the client signs its requests, and drops replies and events without a good signature.
    """

    def __init__(
        self, timeout_s: float, tries: int, on_warning: Callable[[Request, str], None], signer: Signer | None = None
    ) -> None:
        self._timeout_s = timeout_s
        self._tries = tries
        self._on_warning = on_warning
        # Random: another client may use the same address and port within the minute in which Trestle remembers cookies.
        self._prefix = secrets.token_hex(6)
        self._requests = 0
        self._signer = signer
        # By cookie: the reply, and the TIME of the request if it is signed.
        self._pending: dict[bytes, tuple[asyncio.Future[bytes], bytes]] = {}
        self._feeds: list[EventFeed] = []
        self._transport: _Datagrams | _Stream | None = None

    @classmethod
    async def open(
        cls,
        host: str = "127.0.0.1",
        port: int = 2223,
        *,
        path: str | None = None,
        secret_file: str | os.PathLike[str] | None = None,
        timeout_s: float = 1.0,
        tries: int = 5,
        on_warning: Callable[[Request, str], None] = _log_warning,
    ) -> Self:
        """Creates a client of the Trestle at `host` and `port`, or at the Unix socket `path`. Sends nothing yet.

        `secret_file` is the file of the shared secret (`ng-secret-file`); the variable TRESTLE_NG_SECRET_FILE names it as well.
        """
        secret_file = secret_file or os.environ.get(SECRET_FILE) or None
        client = cls(timeout_s, tries, on_warning, Signer.read(secret_file) if secret_file else None)
        if path is not None:
            client._transport = _Stream(client._received, path)
            return client
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Socket(client._received), remote_addr=(host, port))
        client._transport = _Datagrams(transport)
        return client

    def close(self) -> None:
        """Ends all waiting requests with `NoReply`."""
        if self._transport:
            self._transport.close()
            self._transport = None
        for reply, _ in self._pending.values():
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
        """Checks that Trestle is reachable."""
        await self.request({"command": "ping"})

    async def offer(
        self, sdp: str, *, call_id: str, from_tag: str, to_tag: str | None = None, **options: Unpack[Options]
    ) -> SdpReply:
        """Sends the offer of the party `from_tag`; `sdp` of the reply is the offer for the other party."""
        keys = {"call-id": call_id, "from-tag": from_tag, "to-tag": to_tag, "sdp": sdp}
        return cast(SdpReply, await self.request(_request("offer", keys, options)))

    async def answer(
        self, sdp: str, *, call_id: str, from_tag: str, to_tag: str, **options: Unpack[Options]
    ) -> SdpReply:
        """Sends the answer of the party `to_tag`; `sdp` of the reply is the answer for `from_tag`."""
        keys = {"call-id": call_id, "from-tag": from_tag, "to-tag": to_tag, "sdp": sdp}
        return cast(SdpReply, await self.request(_request("answer", keys, options)))

    async def create(self, *, call_id: str, from_tag: str, **options: Unpack[Options]) -> SdpReply:
        """Returns an offer for the party `from_tag`; `connect` later connects it to another party."""
        return cast(SdpReply, await self.request(_request("create", {"call-id": call_id, "from-tag": from_tag}, options)))

    async def create_answer(self, sdp: str, *, call_id: str, from_tag: str, **options: Unpack[Options]) -> None:
        """Sends the answer to the offer of `create`."""
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
        """Ends a call. An unknown call is a `warning` in the reply, or an error if `flags` has `fatal`."""
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
        """Returns the state of a call; with the flag `verbose` in full."""
        keys = {"call-id": call_id, "from-tag": from_tag, "to-tag": to_tag}
        return cast(CallReply, await self.request(_request("query", keys, {"flags": flags})))

    async def list(self, limit: int | None = None) -> list[str]:
        """Returns call-ids, the oldest first; 32, or `limit` of them."""
        reply = await self.request(_request("list", {}, {"limit": limit}))
        return cast("list[str]", reply["calls"])

    async def statistics(self) -> Counters:
        """Returns counters since the start of Trestle."""
        reply = await self.request({"command": "statistics"})
        return cast(Counters, reply["statistics"])

    async def drain(self, *, grace: int | None = None, stop: bool = False) -> DrainReply:
        """Refuses new calls, waits for the others, and then ends Trestle; with `stop`, new calls are accepted again."""
        keys = {"op": "stop" if stop else None, "grace": grace}
        return cast(DrainReply, await self.request(_request("drain", {}, keys)))

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
        """Sends a digit of `duration` ms to the other side, as if the party of `from_tag`, `label` or `address` had pressed it."""
        keys = {"call-id": call_id, "from-tag": from_tag, "label": label, "address": address, "to-tag": to_tag}
        await self.request(_request("play DTMF", keys, {"code": code, "duration": duration, "volume": volume}))

    async def block_dtmf(self, call_id: str, **target: Unpack[Target]) -> None:
        """Stops the digits of a party, or of all parties."""
        await self.request(_request("block DTMF", {"call-id": call_id}, target))

    async def unblock_dtmf(self, call_id: str, **target: Unpack[Target]) -> None:
        """Undoes `block_dtmf`."""
        await self.request(_request("unblock DTMF", {"call-id": call_id}, target))

    async def block_media(self, call_id: str, **target: Unpack[Target]) -> None:
        """Stops audio and digits of a party, or of all parties."""
        await self.request(_request("block media", {"call-id": call_id}, target))

    async def unblock_media(self, call_id: str, **target: Unpack[Target]) -> None:
        """Undoes `block_media`."""
        await self.request(_request("unblock media", {"call-id": call_id}, target))

    async def silence_media(self, call_id: str, **target: Unpack[Target]) -> None:
        """Replaces the audio of a party, or of all parties, by silence."""
        await self.request(_request("silence media", {"call-id": call_id}, target))

    async def unsilence_media(self, call_id: str, **target: Unpack[Target]) -> None:
        """Undoes `silence_media`."""
        await self.request(_request("unsilence media", {"call-id": call_id}, target))

    async def connect(self, call_id: str, *, from_tag: str, to_tag: str, to_call_id: str | None = None) -> None:
        """Connects two parties to each other, and to no other party, without a new SDP. `to_call_id`: `to_tag` is in that call."""
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
        **target: Unpack[Target],
    ) -> GateReply:
        """`open` lets media out to WhatsApp, when the call is accepted. `close` stops it for good, when the call has ended."""
        request = _request("gate", {"call-id": call_id, "op": op, "pre-roll": pre_roll}, target)
        return cast(GateReply, await self.request(request))

    async def subscribe_events(self, *, call_id: str | None = None) -> EventFeed:
        """Subscribes to the events of all calls, or of one. Renewed until the feed is closed. Not over a Unix socket."""

        async def subscribe(expires: int) -> None:
            keys = {"call-id": call_id, "expires": expires}
            try:
                await self.request(_request("subscribe events", keys, {}))
            except Refused as refused:
                if refused.token is None:
                    raise
                # Trestle has sent the token to this address, and so learns that the request came from here.
                await self.request(_request("subscribe events", {**keys, "token": refused.token}, {}))

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
        """Sends any request, with the keys of the protocol, and returns the reply if it is `ok` or `pong`."""
        reply = await self._exchange(json.dumps(request, ensure_ascii=False).encode())
        warnings = reply.get("warnings", [])
        for warning in warnings:
            self._on_warning(request, warning)
        result = reply.get("result")
        if result in ("ok", "pong"):
            return reply
        reason = reply.get("error-reason") or reply.get("message") or f"unknown result {result!r}"
        refused = refusal(str(request.get("command")), str(reason), warnings, result == "load limit")
        refused.token = reply.get("token")
        raise refused

    async def _exchange(self, body: bytes) -> dict[str, Any]:
        self._requests += 1
        cookie = f"{self._prefix}_{self._requests}".encode()
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        # Signed once: a repetition has the same bytes.
        signature, at = self._signer.request(cookie, body) if self._signer else (b"", b"")
        message = b" ".join(part for part in (cookie, signature, body) if part)
        self._pending[cookie] = (reply, at)
        try:
            for _ in range(self._tries):
                if self._transport is None:
                    raise NoReply("the client is closed")
                await self._transport.send(message)
                done, _ = await asyncio.wait([reply], timeout=self._timeout_s)
                if done:
                    return _read(reply.result())
        finally:
            del self._pending[cookie]
        raise NoReply(f"no reply to {self._tries} tries in {self._tries * self._timeout_s:g} s")

    def _received(self, message: bytes) -> None:
        if message.startswith((b"{", b"hmac1:")):
            text = self._signer.event(message) if self._signer else message
            if text is not None and (event := read_event(text)):
                for feed in self._feeds:
                    feed.take(event)
            return
        cookie, _, signed = message.partition(b" ")
        reply, at = self._pending.get(cookie, (None, b""))
        # The second reply to a repeated request is dropped.
        if reply is None or reply.done():
            return
        body = self._signer.reply(cookie, at, signed) if self._signer else signed
        if body is None:
            log.warning("a reply without a good signature is dropped")
        else:
            reply.set_result(body)


class _Datagrams:
    """The sending side of a UDP socket."""

    def __init__(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    async def send(self, message: bytes) -> None:
        self._transport.sendto(message)

    def close(self) -> None:
        self._transport.close()


class _Stream:
    """A connection to a Unix socket. It is opened for a request, and again if it has ended."""

    def __init__(self, received: Callable[[bytes], None], path: str) -> None:
        self._received = received
        self._path = path
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    async def send(self, message: bytes) -> None:
        try:
            async with self._opening:
                if self._writer is None or self._writer.is_closing():
                    reader, self._writer = await asyncio.open_unix_connection(self._path)
                    self._reading = asyncio.create_task(self._read(reader, self._writer))
            self._writer.write(message + b"\n")
            await self._writer.drain()
        except OSError as error:
            # Trestle may be starting; the request will be repeated.
            log.debug("%s: %s", self._path, error)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rest = b""
        try:
            while data := await reader.read(65_536):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._received(line)
        except OSError as error:
            log.debug("%s: %s", self._path, error)
        finally:
            writer.close()

    def close(self) -> None:
        if self._reading:
            self._reading.cancel()
        if self._writer:
            self._writer.close()


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes], None]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._received(data)

    def error_received(self, exc: Exception) -> None:
        # A closed port: Trestle may be starting; the request will be repeated.
        log.debug("%s", exc)


def _request(command: str, keys: Mapping[str, object], options: Mapping[str, object]) -> dict[str, object]:
    """Builds a request. Values that are `None` are left out."""
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
