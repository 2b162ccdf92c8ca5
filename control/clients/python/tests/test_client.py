"""The client against a running Trestle."""

import asyncio
import logging
import os
import struct
import tempfile
import unittest

from server import PROTOCOL, Server, media_port, sdp, udp

from trestle_client.signature import Signer
from trestle_client import Client, DigitFeed, NoCapacity, NoReply, Refused, UnknownCall

logging.getLogger("trestle_client").setLevel(logging.ERROR)


class WithServer(unittest.IsolatedAsyncioTestCase):
    flags = ()

    async def asyncSetUp(self):
        self.server = Server(*self.flags)
        self.addCleanup(self.server.stop)
        self.warnings = []
        self.client = await Client.open(*self.server.address, on_warning=lambda _, warning: self.warnings.append(warning))
        self.addCleanup(self.client.close)

    async def make_call(self, call_id="c1", **options):
        """Returns the ports for the answering and the offering party."""
        offered = await self.client.offer(sdp(4000), call_id=call_id, from_tag="a", **options)
        answered = await self.client.answer(sdp(4002), call_id=call_id, from_tag="a", to_tag="b")
        return media_port(offered["sdp"]), media_port(answered["sdp"])


class Requests(WithServer):
    async def test_a_call_from_offer_to_delete(self):
        await self.client.ping()
        ports = await self.make_call(label="caller", transport_protocol="RTP/AVP", ICE="remove", replace=["origin"])
        self.assertEqual(await self.client.list(), ["c1"])
        report = await self.client.query("c1", flags=["verbose"])
        streams = {tag: party["medias"][0]["streams"][0] for tag, party in report["tags"].items()}
        self.assertEqual((streams["b"]["local port"], streams["a"]["local port"]), ports)
        self.assertEqual(report["tags"]["a"]["label"], "caller")
        self.assertEqual((await self.client.statistics())["currentstatistics"]["sessionsown"], 1)
        self.assertEqual((await self.client.drain(grace=600)), {"calls": 1, "grace": 600, "result": "ok"})
        self.assertEqual((await self.client.drain(stop=True))["calls"], 1)
        deleted = await self.client.delete("c1", from_tag="a", delete_delay=0)
        self.assertEqual(deleted["totals"]["RTP"]["packets"], 0)
        self.assertEqual(await self.client.list(), [])
        self.assertEqual(self.warnings, [])

    async def test_concurrent_requests_each_get_their_own_reply(self):
        await asyncio.gather(*(self.make_call(f"c{n}") for n in range(20)))
        self.assertEqual(sorted(await self.client.list(limit=50)), sorted(f"c{n}" for n in range(20)))

    async def test_a_gate_is_opened_and_each_subscriber_gets_the_event(self):
        others = await self.client.subscribe_events(call_id="c2")
        async with await self.client.subscribe_events(call_id="c1") as events:
            await self.client.offer(sdp(4000), call_id="c1", from_tag="a", profile="whatsapp", gate="shut", pre_roll=1000)
            self.assertEqual((await self.client.gate("c1", "open", pre_roll="drop"))["gate"], "open")
            self.assertEqual((await self.client.gate("c1", "close"))["gate"], "closed")
            with self.assertRaisesRegex(Refused, "Gate is closed: "):
                await self.client.gate("c1", "open")
            await self.client.delete("c1", flags=["fast"])
            names = []
            async for event in events:
                names.append(event["event"])
                self.assertEqual(event["call-id"], "c1")
                if event["event"] == "call.ended":
                    break
        self.assertEqual(names, ["call.opened", "call.gate.opened", "call.gate.closed", "call.ended"])
        await others.close()
        self.assertEqual([event async for event in others], [])

    async def test_refusals_are_typed_and_carry_the_reason(self):
        with self.assertRaises(UnknownCall) as refused:
            await self.client.query("absent")
        self.assertEqual(refused.exception.reason, "Unknown call-id")
        with self.assertRaises(Refused) as refused:
            await self.client.offer("v=0\r\nrubbish\r\n", call_id="c1", from_tag="a")
        self.assertTrue(refused.exception.reason.startswith("Failed to parse SDP: "), refused.exception.reason)
        with self.assertRaises(UnknownCall):
            await self.client.delete("absent", flags=["fatal"])
        self.assertIn("warning", await self.client.delete("absent"))
        with self.assertRaises(Refused) as refused:
            await self.client.request({"command": "dance"})
        self.assertEqual(refused.exception.reason, "Unrecognized command")
        self.assertIn("dance", refused.exception.warnings[0])

    async def test_warnings_are_passed_to_the_callback_and_the_reply(self):
        offered = await self.client.offer(sdp(4000), call_id="c1", from_tag="a", flags=["no-such-flag"])
        self.assertEqual(self.warnings, ["unknown flag `no-such-flag` ignored"])
        self.assertEqual(offered["warnings"], self.warnings)


    async def test_an_existing_call_accepts_digits_blocks_and_connections(self):
        await self.make_call(label="caller")
        await self.client.play_dtmf("c1", "5", from_tag="a", duration=100)
        await self.client.block_dtmf("c1", label="caller")
        await self.client.unblock_dtmf("c1", label="caller")
        await self.client.block_media("c1", from_tag="b")
        await self.client.unblock_media("c1", from_tag="b")
        await self.client.silence_media("c1")
        await self.client.unsilence_media("c1", flags=["all"])
        await self.client.connect("c1", from_tag="a", to_tag="b")
        with self.assertRaises(Refused) as refused:
            await self.client.play_dtmf("c1", "E", from_tag="a")
        self.assertEqual(refused.exception.reason, "Out of range 'code' specified")
        with self.assertRaises(UnknownCall):
            await self.client.block_media("absent")

    async def test_parties_are_created_one_by_one_and_connected(self):
        for n, tag in enumerate("ab"):
            created = await self.client.create(call_id="c1", from_tag=tag, codec={"strip": ["opus"]})
            self.assertTrue(media_port(created["sdp"]))
            await self.client.create_answer(sdp(4000 + 2 * n), call_id="c1", from_tag=tag)
        await self.client.connect("c1", from_tag="a", to_tag="b")


class FullServer(WithServer):
    flags = ("--max-sessions=1",)

    async def test_a_full_trestle_refuses_calls_with_both_texts(self):
        await self.make_call()
        for options in ({}, {"supports": ["load limit"]}):
            with self.assertRaises(NoCapacity) as refused:
                await self.client.offer(sdp(4000), call_id="c2", from_tag="a", **options)
            self.assertEqual(refused.exception.reason, "Parallel session limit reached")


class Digits(unittest.IsolatedAsyncioTestCase):
    async def test_a_pressed_key_arrives_in_the_feed(self):
        feed = await DigitFeed.listen()
        self.addCleanup(feed.close)
        server = Server("--dtmf-log-dest={}:{}".format(*feed.address))
        self.addCleanup(server.stop)
        client = await Client.open(*server.address)
        self.addCleanup(client.close)
        caller, callee = udp(), udp()
        self.addCleanup(caller.close)
        self.addCleanup(callee.close)
        await client.offer(sdp(caller.getsockname()[1]), call_id='say "hi"', from_tag="a", label="caller")
        answered = await client.answer(
            sdp(callee.getsockname()[1]), call_id='say "hi"', from_tag="a", to_tag="b"
        )
        with udp() as stranger:
            stranger.sendto(b'{"type":"DTMF"}', feed.address)
        press(caller, ("127.0.0.1", media_port(answered["sdp"])), event=11, duration_ms=100)
        digit = await asyncio.wait_for(anext(aiter(feed)), 10)
        self.assertEqual((digit.call_id, digit.digit, digit.source_tag, digit.source_label), ('say "hi"', "#", "a", "caller"))
        self.assertEqual((digit.tags, digit.duration_ms, digit.volume_dbm0), (("a", "b"), 100, -10))


def press(phone, to, event, duration_ms):
    """Sends one key as RFC 4733 events: an update every 20 ms, the end three times."""
    ends = [*[False] * (duration_ms // 20 - 1), True, True, True]
    for seq, end in enumerate(ends, 1):
        header = struct.pack("!BBHII", 0x80, 101 | (0x80 if seq == 1 else 0), seq, 1000, 7)
        ticks = min(seq * 20, duration_ms) * 8
        phone.sendto(header + struct.pack("!BBH", event, 10 | (0x80 if end else 0), ticks), to)


class Silence(unittest.IsolatedAsyncioTestCase):
    """A server that does not reply to the first datagrams, or to any."""

    async def asyncSetUp(self):
        self.requests = asyncio.Queue()
        loop = asyncio.get_running_loop()

        class Socket(asyncio.DatagramProtocol):
            def datagram_received(_, data, peer):
                self.requests.put_nowait((data, peer))

        self.socket, _ = await loop.create_datagram_endpoint(Socket, local_addr=("127.0.0.1", 0))
        self.addCleanup(self.socket.close)
        self.client = await Client.open(*self.socket.get_extra_info("sockname"), timeout_s=0.01, tries=3)
        self.addCleanup(self.client.close)

    async def test_a_lost_request_is_repeated_unchanged(self):
        ping = asyncio.create_task(self.client.ping())
        lost, _ = await self.requests.get()
        again, peer = await self.requests.get()
        self.assertEqual(lost, again)
        cookie = again.split(b" ")[0]
        self.socket.sendto(b'some other cookie {"result":"pong"}', peer)
        self.socket.sendto(cookie + b' {"result":"pong"}', peer)
        self.socket.sendto(cookie + b' {"result":"error","error-reason":"late"}', peer)
        await ping

    async def test_a_request_without_a_reply_raises_no_reply_after_the_last_repeat(self):
        with self.assertRaises(NoReply):
            await self.client.ping()
        self.assertEqual(self.requests.qsize(), 3)
        self.assertEqual(len({self.requests.get_nowait()[0] for _ in range(3)}), 1)

    async def test_closing_a_client_ends_its_waiting_requests(self):
        ping = asyncio.create_task(self.client.ping())
        await self.requests.get()
        self.client.close()
        with self.assertRaises(NoReply):
            await ping
        with self.assertRaises(NoReply):
            await self.client.ping()


class Signatures(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        handle, self.path = tempfile.mkstemp()
        self.addCleanup(os.unlink, self.path)
        os.write(handle, b"0123456789abcdef0123456789abcdef\n")
        os.close(handle)
        self.server = Server(f"--ng-secret-file={self.path}")
        self.addCleanup(self.server.stop)

    async def open(self, secret_file=None, **options):
        client = await Client.open(*self.server.address, secret_file=secret_file, **options)
        self.addCleanup(client.close)
        return client

    async def test_signed_requests_and_events_pass_in_both_directions(self):
        client = await self.open(self.path)
        await client.ping()
        async with await client.subscribe_events(call_id="c1") as events:
            await client.offer(sdp(4000), call_id="c1", from_tag="a")
            async for event in events:
                self.assertEqual(event["event"], "call.opened")
                break
        with self.assertRaises(UnknownCall):
            await client.query("absent")

    async def test_the_variable_names_the_file_as_well(self):
        os.environ["TRESTLE_NG_SECRET_FILE"] = self.path
        self.addCleanup(os.environ.pop, "TRESTLE_NG_SECRET_FILE")
        await (await self.open()).ping()

    async def test_a_request_without_the_secret_has_no_reply_and_one_to_a_trestle_without_it_neither(self):
        for secret in (None, b"f" * 32):
            client = await self.open(timeout_s=0.05, tries=2)
            client._signer = Signer(secret) if secret else None
            with self.assertRaises(NoReply):
                await client.ping()
        plain = Server()
        self.addCleanup(plain.stop)
        client = await Client.open(*plain.address, secret_file=self.path, timeout_s=0.05, tries=2)
        self.addCleanup(client.close)
        with self.assertLogs("trestle_client", "WARNING"), self.assertRaises(NoReply):
            await client.ping()

    async def test_a_file_that_others_can_read_is_refused(self):
        os.chmod(self.path, 0o644)
        with self.assertRaisesRegex(ValueError, "chmod 600"):
            await self.open(self.path)
        with self.assertRaisesRegex(ValueError, "shorter than 32"):
            Signer(b"short")


class UnixSocket(unittest.IsolatedAsyncioTestCase):
    async def test_requests_pass_over_a_unix_socket_also_after_a_restart(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = os.path.join(directory.name, "ng.sock")
        client = await Client.open(path=path, timeout_s=0.2, tries=50)
        self.addCleanup(client.close)
        for _ in range(2):
            server = Server(f"--listen-ng-unix={path}", "--ng-udp=no")
            await asyncio.gather(*(client.ping() for _ in range(5)))
            offered = await client.offer(sdp(4000), call_id="c1", from_tag="a")
            self.assertGreater(media_port(offered["sdp"]), 0)
            with self.assertRaisesRegex(Refused, "listen-events"):
                await client.subscribe_events()
            server.stop()


class Vectors(unittest.TestCase):
    def test_the_messages_of_the_document_have_the_right_signatures(self):
        section = PROTOCOL.read_text().split("### Signed messages")[1].split("\n### ")[0]
        lines = [line.encode().split() for line in section.splitlines() if line.startswith("    ")]
        kinds = {}
        for kind, *parts in lines:
            kinds.setdefault(kind, []).append(parts)
        signer = Signer(kinds[b"secret"][0][0])
        for (cookie, signature, body), (same, reply_signature, reply) in zip(kinds[b"request"], kinds[b"reply"], strict=True):
            at = signature.split(b":")[1]
            self.assertEqual(signer.request(cookie, body, int(at)), (signature, at))
            self.assertEqual(signer.reply(same, at, reply_signature + b" " + reply), reply)
            self.assertIsNone(signer.reply(b"other", at, reply_signature + b" " + reply))
            self.assertIsNone(signer.reply(same, b"1", reply_signature + b" " + reply))
            self.assertIsNone(signer.reply(same, at, reply))
        ((signature, body),) = kinds[b"event"]
        now_ms = int(signature.split(b":")[1])
        self.assertEqual(signer.event(signature + b" " + body, now_ms), body)
        for late in (now_ms + 30_001, now_ms - 30_001):
            self.assertIsNone(signer.event(signature + b" " + body, late))
        self.assertIsNone(signer.event(signature + b" " + body + b" ", now_ms))
        self.assertIsNone(signer.event(body, now_ms))

if __name__ == "__main__":
    unittest.main()
