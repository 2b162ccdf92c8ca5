"""A strict ICE-lite agent (RFC 8445 2.5) on one UDP socket, in the shape of the transport that aiortc's DTLS expects.

It never sends a check. It answers checks only once it has the other side's description, takes a pair only by
USE-CANDIDATE, and hands nothing up before that. What it thinks of the agent on the other side is in `verdict()`.
"""

import asyncio
import base64
import os
import socket
import struct
import time

from aioice import stun

SO_TIMESTAMPNS = 35  # Linux; the socket module has no name for it
CONTROL_BYTES = socket.CMSG_SPACE(16)


class IceLite:
    # What RTCDtlsTransport reads of its transport, beside _recv and _send.
    role = "controlled"
    state = "completed"

    def __init__(self, ip):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ip, 0))
        self.socket.setblocking(False)
        # The kernel's receive time: how late this process wakes up must not look like the sender's jitter.
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.ip, self.port = self.socket.getsockname()
        # As Meta's: 16 characters, and 24 with base64 padding.
        self.ufrag = base64.b64encode(os.urandom(12)).decode()
        self.pwd = base64.b64encode(os.urandom(16)).decode()
        self.remote_ufrag = None
        self.pair = None
        self.nominated = asyncio.Event()
        self.arrived = 0.0  # of the datagram that _recv returned last
        self.first_check = self.nominated_at = None
        self.received = asyncio.Queue()
        self.checked = {}  # remote address -> checks answered before its nomination
        self.check_times = []
        self.checks = self.unanswered_early = self.not_controlling = self.switches = 0
        self.bad_integrity = self.bad_username = self.no_fingerprint = self.no_priority = 0
        self.media_before_nomination = self.strays = 0
        self.regular_nomination = None
        asyncio.get_running_loop().add_reader(self.socket, self.read)

    def close(self):
        asyncio.get_running_loop().remove_reader(self.socket)
        self.socket.close()

    async def _recv(self):
        self.arrived, datagram = await self.received.get()
        return datagram

    async def _send(self, datagram):
        if self.pair:
            self.socket.sendto(datagram, self.pair)

    def read(self):
        while True:
            try:
                datagram, control, _, remote = self.socket.recvmsg(4096, CONTROL_BYTES)
            except BlockingIOError:
                return
            arrived = time.time()
            for _, kind, value in control:
                if kind == SO_TIMESTAMPNS:
                    seconds, nanoseconds = struct.unpack("qq", value)
                    arrived = seconds + nanoseconds / 1e9
            if datagram and datagram[0] < 4:
                self.on_stun(arrived, remote, datagram)
            elif not self.nominated.is_set():
                self.media_before_nomination += 1
            elif remote != self.pair or not datagram:
                self.strays += 1
            else:
                self.received.put_nowait((arrived, datagram))

    def on_stun(self, arrived, remote, datagram):
        try:
            request = stun.parse_message(datagram)
        except ValueError:
            self.strays += 1
            return
        if request.message_class != stun.Class.REQUEST or request.message_method != stun.Method.BINDING:
            return  # indications keep a mapping alive, no more
        if self.remote_ufrag is None:
            self.unanswered_early += 1  # Meta answers once it has the description
            return
        attributes = request.attributes
        if not request.check_message_integrity(self.pwd.encode()):
            self.bad_integrity += 1
            return
        if attributes.get("USERNAME") != f"{self.ufrag}:{self.remote_ufrag}":
            self.bad_username += 1
            return
        self.no_fingerprint += "FINGERPRINT" not in attributes
        self.no_priority += "PRIORITY" not in attributes
        self.checks += 1
        self.check_times.append(arrived)
        self.first_check = self.first_check or arrived
        if "ICE-CONTROLLING" not in attributes:
            # Two controlled agents would wait for each other for ever (RFC 8445 7.3.1.1).
            self.not_controlling += 1
            self.respond(stun.Class.ERROR, request, remote, "ERROR-CODE", (487, "Role Conflict"))
            return
        self.respond(stun.Class.RESPONSE, request, remote, "XOR-MAPPED-ADDRESS", remote)
        if "USE-CANDIDATE" not in attributes:
            self.checked[remote] = self.checked.get(remote, 0) + 1
        elif self.pair != remote:
            self.switches += self.pair is not None
            self.pair = remote
            if not self.nominated.is_set():
                self.regular_nomination = remote in self.checked
                self.nominated_at = arrived
                self.nominated.set()

    def respond(self, kind, request, remote, name, value):
        response = stun.Message(stun.Method.BINDING, kind, request.transaction_id)
        response.attributes[name] = value
        response.add_message_integrity(self.pwd.encode())  # and FINGERPRINT
        self.socket.sendto(bytes(response), remote)

    def verdict(self):
        gaps = [after - before for before, after in zip(self.check_times, self.check_times[1:])]
        return {
            "checks": self.checks,
            "checks_before_sdp": self.unanswered_early,
            "not_controlling": self.not_controlling,
            "regular_nomination": self.regular_nomination,
            "switches": self.switches,
            "bad_integrity": self.bad_integrity,
            "bad_username": self.bad_username,
            "no_fingerprint": self.no_fingerprint,
            "no_priority": self.no_priority,
            "media_before_nomination": self.media_before_nomination,
            "strays": self.strays,
            "longest_check_gap_ms": max(gaps, default=0.0) * 1000,
        }
