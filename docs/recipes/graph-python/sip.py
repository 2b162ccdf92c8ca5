"""The part of SIP (RFC 3261) that a bridge beside one PBX needs: calls in both directions, CANCEL and BYE, over UDP. The PBX is
identified by its address, without registration and password."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

T1_S, T2_S = 0.5, 4.0  # first and longest interval between retransmissions
TIMEOUT_S = 32.0  # 64 * T1: the transaction times out

COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length", "c": "content-type"}
REASONS = {100: "Trying", 180: "Ringing", 200: "OK", 480: "Temporarily Unavailable", 481: "Call Does Not Exist",
           486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 503: "Service Unavailable"}


@dataclass
class Message:
    """A request or a response."""

    start: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: str = ""

    @classmethod
    def read(cls, datagram: bytes) -> Message:
        head, _, body = datagram.decode().partition("\r\n\r\n")
        start, *lines = head.split("\r\n")
        headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        return cls(start, [(COMPACT.get(name, name), value) for name, value in headers], body)

    def write(self) -> bytes:
        headers = [*self.headers, *([("content-type", "application/sdp")] if self.body else [])]
        lines = [self.start, *(f"{name}: {value}" for name, value in headers), f"content-length: {len(self.body.encode())}"]
        return ("\r\n".join(lines) + "\r\n\r\n" + self.body).encode()

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.headers if known == name]

    def get(self, name: str) -> str:
        return next(iter(self.all(name)), "")

    @property
    def status(self) -> int:
        return int(self.start.split(" ")[1]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        return self.get("cseq").split(" ")[-1]


class Agent(asyncio.DatagramProtocol):
    """The SIP user agent beside the PBX. It calls `on_call` with each call from the PBX."""

    def __init__(self, pbx: tuple[str, int], on_call: Callable[[Dialog], None]) -> None:
        self.pbx, self.on_call = pbx, on_call
        self.dialogs: dict[str, Dialog] = {}
        self.contact = ""
        self.transport: asyncio.DatagramTransport

    @classmethod
    async def open(cls, local: tuple[str, int], pbx: tuple[str, int], on_call: Callable[[Dialog], None]) -> Agent:
        agent = cls(pbx, on_call)
        loop = asyncio.get_running_loop()
        agent.transport, _ = await loop.create_datagram_endpoint(lambda: agent, local_addr=local)
        agent.contact = "{}:{}".format(*agent.transport.get_extra_info("sockname"))
        return agent

    def call(self, user: str, caller: str, sdp: str) -> Dialog:
        """Calls `user` at the PBX."""
        target = "sip:{}@{}:{}".format(user, *self.pbx)
        local = f"<sip:{caller}@{self.contact}>;tag={secrets.token_hex(6)}"
        dialog = Dialog(self, secrets.token_hex(12), local, f"<{target}>", target, outgoing=True)
        dialog.invite = dialog.request("INVITE", sdp)
        dialog.repeat(dialog.invite, dialog.answered, lambda: dialog.final(408))
        return dialog

    def datagram_received(self, datagram: bytes, source: tuple[str, int]) -> None:
        if source[0] != self.pbx[0]:
            return
        try:
            message = Message.read(datagram)
            status, method = message.status, message.method
        except (ValueError, IndexError):
            return
        dialog = self.dialogs.get(message.get("call-id"))
        if status:
            if dialog:
                dialog.response(message, status)
        elif dialog:
            dialog.received(message)
        elif method == "INVITE":
            local = f"{message.get('to')};tag={secrets.token_hex(6)}"
            target = message.get("contact").partition("<")[2].partition(">")[0] or "sip:{}:{}".format(*self.pbx)
            dialog = Dialog(self, message.get("call-id"), local, message.get("from"), target, outgoing=False)
            dialog.invite, dialog.routes = message, message.all("record-route")
            dialog.respond(100)
            self.on_call(dialog)
        elif method != "ACK":
            self.reply(message, 200 if method == "OPTIONS" else 481)

    def send(self, message: Message) -> None:
        self.transport.sendto(message.write(), self.pbx)

    def reply(self, request: Message, status: int, to: str = "", sdp: str = "") -> Message:
        kept = [(name, value) for name, value in request.headers if name in ("via", "from", "call-id", "cseq", "record-route")]
        headers = [*kept, ("to", to or request.get("to")), ("contact", f"<sip:{self.contact}>")]
        response = Message(f"SIP/2.0 {status} {REASONS.get(status, 'Failed')}", headers, sdp)
        self.send(response)
        return response


class Dialog:
    """One call. For a call to the PBX, `responses` has status and SDP of each response. `over` is set at its end."""

    def __init__(self, agent: Agent, call_id: str, local: str, remote: str, target: str, *, outgoing: bool) -> None:
        self.agent, self.call_id, self.local, self.remote, self.target = agent, call_id, local, remote, target
        self.outgoing, self.cseq = outgoing, 0
        self.routes: list[str] = []
        self.invite = Message("")
        self.last_response: Message | None = None
        self.responses: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        self.answered, self.acknowledged, self.bye_answered, self.over = (asyncio.Event() for _ in range(4))
        self.established = self.ringing = self.cancelled = False
        self.repeats: set[asyncio.Task[None]] = set()
        agent.dialogs[call_id] = self

    @property
    def callee(self) -> str:
        """The user part of the called URI."""
        return self.invite.start.split(" ")[1].removeprefix("sip:").partition("@")[0]

    def respond(self, status: int, sdp: str = "") -> None:
        """Responds to a call from the PBX. A final response is repeated until the PBX has acknowledged it."""
        if self.established or self.over.is_set():
            return
        self.last_response = self.agent.reply(self.invite, status, self.local if status > 100 else "", sdp)
        if status >= 200:
            self.established = status < 300
            self.repeat(self.last_response, self.acknowledged, lambda: None, send_first=False)
            if not self.established:
                self.end()

    def hang_up(self) -> None:
        """Ends the call, in any state."""
        if self.over.is_set() or self.cancelled:
            return
        if self.established:
            self.repeat(self.request("BYE"), self.bye_answered, lambda: None)
            self.end()
        elif self.outgoing:
            self.cancelled = True
            if self.ringing:
                self.cancel()
        else:
            self.respond(480)

    def cancel(self) -> None:
        cancel = Message(f"CANCEL {self.invite.start.split(' ')[1]} SIP/2.0", self.same_transaction("CANCEL"))
        self.repeat(cancel, self.answered, lambda: None)

    def response(self, message: Message, status: int) -> None:
        if message.method == "BYE":
            self.bye_answered.set()
        if message.method != "INVITE":
            return
        if status < 200:
            self.answered.set()  # stops the retransmission of the INVITE
            first, self.ringing = not self.ringing, True
            if self.cancelled and first:
                self.answered = asyncio.Event()
                self.cancel()
            elif not self.cancelled:
                self.responses.put_nowait((status, message.body))
            return
        self.answered.set()
        self.remote = message.get("to")
        if status < 300:
            self.target = message.get("contact").partition("<")[2].partition(">")[0] or self.target
            self.routes = message.all("record-route")[::-1]
            self.agent.send(self.request("ACK", cseq=self.invite.get("cseq").split(" ")[0]))
            if not self.established:
                self.established = True
                if self.cancelled:  # the PBX answered while the bridge hung up
                    self.cancelled = False
                    self.hang_up()
                else:
                    self.responses.put_nowait((status, message.body))
        else:
            self.agent.send(Message(f"ACK {self.invite.start.split(' ')[1]} SIP/2.0", self.same_transaction("ACK")))
            self.final(status)

    def received(self, request: Message) -> None:
        match request.start.split(" ")[0]:
            case "INVITE" if request.get("via") == self.invite.get("via"):
                if self.last_response:
                    self.agent.send(self.last_response)
            case "INVITE":  # a re-INVITE: not supported
                self.agent.reply(request, 488, self.local)
            case "ACK":
                self.acknowledged.set()
            case "CANCEL":
                self.agent.reply(request, 200, self.local)
                self.respond(487)
            case "BYE":
                self.agent.reply(request, 200, self.local)
                self.end()
            case _:
                self.agent.reply(request, 200, self.local)

    def final(self, status: int) -> None:
        self.responses.put_nowait((status, ""))
        self.end()

    def end(self) -> None:
        if not self.over.is_set():
            self.over.set()
            # Until then, retransmissions of the PBX still get a response.
            asyncio.get_running_loop().call_later(TIMEOUT_S, self.agent.dialogs.pop, self.call_id, None)

    def request(self, method: str, sdp: str = "", cseq: str = "") -> Message:
        self.cseq += not cseq
        branch = "z9hG4bK" + secrets.token_hex(8)
        headers = [("via", f"SIP/2.0/UDP {self.agent.contact};branch={branch};rport"), ("max-forwards", "70")]
        headers += [("route", route) for route in self.routes]
        headers += [("from", self.local), ("to", self.remote), ("call-id", self.call_id)]
        headers += [("cseq", f"{cseq or self.cseq} {method}"), ("contact", f"<sip:{self.agent.contact}>")]
        return Message(f"{method} {self.target} SIP/2.0", headers, sdp)

    def same_transaction(self, method: str) -> list[tuple[str, str]]:
        """Headers of a CANCEL, or of the ACK for a failure (RFC 3261 sections 9.1, 17.1.1.3)."""
        number = self.invite.get("cseq").split(" ")[0]
        kept = [(name, value) for name, value in self.invite.headers if name in ("via", "max-forwards", "from", "call-id")]
        return [*kept, ("to", self.remote), ("cseq", f"{number} {method}")]

    def repeat(self, message: Message, until: asyncio.Event, on_timeout: Callable[[], None], *, send_first: bool = True) -> None:
        """Repeats a message until `until` is set; calls `on_timeout` after 32 s without it."""

        async def run() -> None:
            pause_s, passed_s = T1_S, 0.0
            while passed_s < TIMEOUT_S:
                if send_first or passed_s:
                    self.agent.send(message)
                try:
                    await asyncio.wait_for(until.wait(), pause_s)
                    return
                except TimeoutError:
                    passed_s, pause_s = passed_s + pause_s, min(2 * pause_s, T2_S)
            on_timeout()

        task = asyncio.get_running_loop().create_task(run())
        self.repeats.add(task)
        task.add_done_callback(self.repeats.discard)

