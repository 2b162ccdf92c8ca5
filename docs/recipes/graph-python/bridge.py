"""Bridges WhatsApp calls to a PBX: Meta's web hook and Graph API on one side, SIP on the other, media through Trestle.

A call from WhatsApp goes to EXTENSION at the PBX. A call from the PBX to a number goes to that WhatsApp user. See README.md.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections import OrderedDict
from collections.abc import Coroutine
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sip import Agent, Dialog
from trestle_client import Client

log = logging.getLogger("bridge")

STALE_S = 60  # an older `connect` is ignored: WhatsApp ends an unanswered call earlier
REMEMBERED = 10_000  # ids of ended calls that are kept, so that repeated and late deliveries start no call


class Settings:
    """Settings from environment variables."""

    graph = os.environ.get("GRAPH", "https://graph.facebook.com/v23.0")
    phone_number_id = os.environ["PHONE_NUMBER_ID"]
    token = os.environ["TOKEN"]
    app_secret = os.environ["APP_SECRET"].encode()
    verify_token = os.environ["VERIFY_TOKEN"]
    extension = os.environ.get("EXTENSION", "whatsapp")

    @staticmethod
    def address(name: str, default: str) -> tuple[str, int]:
        host, _, port = os.environ.get(name, default).rpartition(":")
        return host, int(port)


class GraphError(Exception):
    """Graph refused the request, or did not answer."""


class Graph:
    """Meta's `calls` endpoint."""

    async def act(self, call_id: str, action: str, answer: str | None = None) -> None:
        body: dict[str, object] = {"call_id": call_id, "action": action}
        if answer:
            body["session"] = {"sdp_type": "answer", "sdp": answer}
        await asyncio.to_thread(self.post, body)

    async def connect(self, to: str, offer: str) -> str:
        """Calls a WhatsApp user; returns the id of the call."""
        body = {"to": to, "action": "connect", "session": {"sdp_type": "offer", "sdp": offer}}
        return (await asyncio.to_thread(self.post, body))["calls"][0]["id"]

    def post(self, body: dict) -> dict:
        request = urllib.request.Request(
            f"{Settings.graph}/{Settings.phone_number_id}/calls",
            json.dumps({"messaging_product": "whatsapp", **body}).encode(),
            {"Authorization": f"Bearer {Settings.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise GraphError(f"{body['action']}: {error.read().decode(errors='replace')}") from error
        except (OSError, ValueError) as error:
            raise GraphError(f"{body['action']}: {error}") from error


class Call:
    """An active call. `id` is Trestle's id; `graph_id` is Meta's id, when Graph has sent it."""

    def __init__(self, id: str, dialog: Dialog | None, graph_id: asyncio.Future[str] | None = None) -> None:
        self.id, self.dialog, self.graph_id = id, dialog, graph_id
        self.from_whatsapp = dialog is None
        self.events: asyncio.Queue[tuple[str, str]] = asyncio.Queue()  # from WhatsApp's side: kind, SDP
        self.terminated = asyncio.Event()  # WhatsApp's side has ended
        self.accepted = False


class Bridge:
    """All calls."""

    def __init__(self, trestle: Client) -> None:
        self.trestle, self.graph = trestle, Graph()
        self.sip: Agent
        self.calls: dict[str, Call] = {}  # by Graph's id
        self.over: OrderedDict[str, None] = OrderedDict()
        self.early: OrderedDict[str, list[tuple[str, str]]] = OrderedDict()  # events of calls whose id Graph has not sent yet
        self.tasks: set[asyncio.Task[None]] = set()

    def web_hook(self, hook: dict) -> None:
        """One delivery. It may be a repeat, and later events may have arrived before it."""
        for value in (change["value"] for entry in hook.get("entry", []) for change in entry.get("changes", [])):
            for event in value.get("calls", []):
                kind, sdp = event["event"], event.get("session", {}).get("sdp", "")
                if kind == "connect" and event["session"]["sdp_type"] == "offer":
                    self.call_from_whatsapp(event, sdp)
                else:
                    self.event(event["id"], kind, sdp)
            for status in value.get("statuses", []):
                if status["status"] in ("RINGING", "ACCEPTED", "REJECTED"):
                    self.event(status["id"], status["status"], "")

    def call_from_whatsapp(self, event: dict, sdp: str) -> None:
        if event["id"] in self.calls or event["id"] in self.over or time.time() - int(event["timestamp"]) > STALE_S:
            return
        known: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        known.set_result(event["id"])
        self.calls[event["id"]] = call = Call(event["id"], None, known)
        self.spawn(self.run(call, self.take(call, event["from"], sdp)))

    def event(self, graph_id: str, kind: str, sdp: str) -> None:
        call = self.calls.get(graph_id)
        if kind == "terminate":
            self.remember(graph_id)
            if call:
                call.terminated.set()
        elif call:
            call.events.put_nowait((kind, sdp))
        elif graph_id not in self.over:
            self.early.setdefault(graph_id, []).append((kind, sdp))
            while len(self.early) > REMEMBERED:
                self.early.popitem(last=False)

    def call_from_pbx(self, dialog: Dialog) -> None:
        call = Call(dialog.call_id, dialog)
        self.spawn(self.run(call, self.place(call, dialog)))

    async def take(self, call: Call, caller: str, sdp: str) -> None:
        """A call from WhatsApp: calls the PBX, and accepts when the PBX answers."""
        ids = {"call_id": call.id, "from_tag": "whatsapp"}
        # No media to WhatsApp before the call is accepted: WhatsApp treats the first packet as acceptance.
        offered = await self.trestle.offer(sdp, **ids, transport_protocol="RTP/AVP", gate="shut")
        call.dialog = dialog = self.sip.call(Settings.extension, caller, offered["sdp"])
        status = 0
        while status < 200:
            status, sdp = await dialog.responses.get()
        if status >= 300:
            return
        answered = await self.trestle.answer(sdp, **ids, to_tag="pbx")
        # ICE and DTLS run after `pre_accept`, so that media flows at once after `accept`.
        await self.graph.act(call.id, "pre_accept", answered["sdp"])
        await self.graph.act(call.id, "accept", answered["sdp"])
        call.accepted = True
        await self.trestle.gate(call.id, "open")  # Trestle first plays the audio of the PBX since its answer
        await dialog.over.wait()

    async def place(self, call: Call, dialog: Dialog) -> None:
        """A call from the PBX: calls the WhatsApp user, and answers the PBX when the user has accepted."""
        ids = {"call_id": call.id, "from_tag": "pbx"}
        # WhatsApp's answer arrives while the user's phone rings. No media is sent before the user accepts.
        offered = await self.trestle.offer(dialog.invite.body, **ids, profile="whatsapp", gate="shut")
        # `leave` needs this id even if the PBX hangs up now: the call at Graph must then be ended.
        call.graph_id = asyncio.ensure_future(self.graph.connect(dialog.callee, offered["sdp"]))
        graph_id = await asyncio.shield(call.graph_id)
        self.calls[graph_id] = call
        for event in self.early.pop(graph_id, []):
            call.events.put_nowait(event)
        if graph_id in self.over:
            call.terminated.set()
        answer = ""
        while not (answer and call.accepted):
            kind, sdp = await call.events.get()
            if kind == "connect":
                answer = (await self.trestle.answer(sdp, **ids, to_tag="whatsapp"))["sdp"]
            elif kind == "RINGING":
                dialog.respond(180)
            elif kind == "ACCEPTED":
                call.accepted = True
            elif kind == "REJECTED":
                call.terminated.set()
                dialog.respond(486)
                return
        await self.trestle.gate(call.id, "open")
        dialog.respond(200, answer)
        await dialog.over.wait()

    def spawn(self, life: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(life)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def run(self, call: Call, life: Coroutine[Any, Any, None]) -> None:
        """Runs a call until `life` returns or one side hangs up, then ends the other side and the call in Trestle."""
        ends = [asyncio.ensure_future(end) for end in (life, call.terminated.wait())]
        if call.dialog:  # a call from the PBX; for a call to the PBX, `life` reads the responses
            ends.append(asyncio.ensure_future(call.dialog.over.wait()))
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if ends[0].done() and (error := ends[0].exception()):
            log.error("%s: %r", call.id, error)
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        # End the sides that have not ended themselves.
        if call.dialog:
            call.dialog.hang_up()
        for error in await asyncio.gather(self.trestle.delete(call.id), self.leave(call), return_exceptions=True):
            if isinstance(error, Exception):
                log.error("%s: %r", call.id, error)

    async def leave(self, call: Call) -> None:
        """Ends WhatsApp's side, if it exists and has not ended itself."""
        try:
            graph_id = await call.graph_id if call.graph_id else ""
        except GraphError:
            return
        if graph_id:
            self.remember(graph_id)
            self.calls.pop(graph_id, None)
            if not call.terminated.is_set():
                await self.graph.act(graph_id, "reject" if call.from_whatsapp and not call.accepted else "terminate")

    def remember(self, graph_id: str) -> None:
        self.over[graph_id] = None
        self.early.pop(graph_id, None)
        while len(self.over) > REMEMBERED:
            self.over.popitem(last=False)


def web_server(bridge: Bridge, loop: asyncio.AbstractEventLoop) -> ThreadingHTTPServer:
    """The web hook. It answers a delivery before it processes it, because Meta repeats unanswered deliveries."""

    class WebHook(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # Meta verifies the web hook once
            query = parse_qs(urlsplit(self.path).query)
            ours = query.get("hub.verify_token") == [Settings.verify_token]
            self.answer(200 if ours else 403, query.get("hub.challenge", [""])[0] if ours else "")

        def do_POST(self) -> None:
            body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), 1 << 20))
            signature = "sha256=" + hmac.new(Settings.app_secret, body, hashlib.sha256).hexdigest()
            if not hmac.compare_digest(signature, self.headers.get("X-Hub-Signature-256", "")):
                return self.answer(403)
            loop.call_soon_threadsafe(bridge.web_hook, json.loads(body))
            self.answer(200)

        def answer(self, status: int, text: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(Settings.address("LISTEN", "127.0.0.1:8080"), WebHook)


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    host, port = Settings.address("TRESTLE_NG", "127.0.0.1:2223")
    bridge = Bridge(await Client.open(host, port))
    await bridge.trestle.ping()
    sip, pbx = Settings.address("SIP_LISTEN", "127.0.0.1:5062"), Settings.address("PBX", "127.0.0.1:5060")
    bridge.sip = await Agent.open(sip, pbx, bridge.call_from_pbx)
    web = web_server(bridge, asyncio.get_running_loop())
    print("ready: web hook {}:{}, SIP {}".format(*web.server_address, bridge.sip.contact), flush=True)
    await asyncio.to_thread(web.serve_forever)


if __name__ == "__main__":
    asyncio.run(main())
