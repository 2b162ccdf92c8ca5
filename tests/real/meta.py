"""WhatsApp's media relay, played by stacks that Trestle does not use: DTLS by OpenSSL, SRTP by libsrtp (both through
aiortc), ICE-lite, RTP and telephone-events of this folder's own.

    python meta.py IP TONE_HZ

One JSON object a line: a command on stdin, its reply on stdout; {"error": ...} when it failed.

    {"do": "offer"}                    -> {"sdp"}      a user calls
    {"do": "accept", "sdp"}            -> {}           the answer to that
    {"do": "answer", "sdp"}            -> {"sdp"}      a business calls
    {"do": "connect"}                  -> {"ice_ms", "dtls_ms", "dtls_role", "srtp"}, when keys are there
    {"do": "talk"}                     -> {}           sends RTP from now on
    {"do": "press", "digits"}          -> {}           500 ms each, 100 ms between
    {"do": "listen", "digits", "audio_ms"} -> {}       when so much was received and all own digits are sent
    {"do": "report"}                   -> what it thinks of the other side
End of stdin ends it.
"""

import asyncio
import json
import re
import secrets
import sys
import time

from aiortc import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport

from ice_lite import IceLite
from media import Listener, Talker

CONNECT_S = 10
LISTEN_S = 60

# As Meta's live offers: ice-lite at session level, the address at media level, dummy rtcp line, an IPv6 candidate of
# higher priority, no fmtp for the events. Answers say the user fragment in candidates and announce trickling.
SDP = """v=0
o=- {session} 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE {mid}
a=msid-semantic: WMS {stream}
a=ice-lite
m=audio {port} UDP/TLS/RTP/SAVPF {opus} {event}
c=IN IP4 {ip}
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:2275956755 1 udp 2122260223 {ip} {port} typ host generation 0 network-cost 50{extra}
a=candidate:2684782176 1 udp 2122262783 2001:db8:f312:131:face:b00c:0:699c {port} typ host generation 0 network-cost 50{extra}
a=ice-ufrag:{ufrag}
a=ice-pwd:{pwd}
{trickle}a=fingerprint:sha-256 {fingerprint}
a=setup:{setup}
a=mid:{mid}
a=sendrecv
a=msid:{stream} WhatsAppTrack1
a=rtcp-mux
a=rtpmap:{opus} opus/48000/2
a=rtcp-fb:{opus} transport-cc
a=fmtp:{opus} maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1
a=rtpmap:{event} telephone-event/8000
a=maxptime:20
a=ptime:20
a=ssrc:{ssrc} cname:WhatsAppAudioStream1
"""


class Dtls(RTCDtlsTransport):
    """aiortc's, with the decrypted packets handed to `listener` instead of aiortc's own receivers."""

    listener = None
    authenticated = 0

    async def _handle_rtp_data(self, data, arrival_time_ms):
        self.authenticated += 1
        self.listener.rtp(self.transport.arrived, data)

    async def _handle_rtcp_data(self, data):
        self.authenticated += 1
        self.listener.rtcp(self.transport.arrived, data)


class CountingIce(IceLite):
    """Counts SRTP and SRTCP datagrams, to know how many of them did not authenticate."""

    secured = 0

    async def _recv(self):
        datagram = await super()._recv()
        self.secured += 128 <= datagram[0] < 192
        return datagram


def attributes(sdp, name):
    return [value.strip() for value in re.findall(rf"^a={name}:(.*)$", sdp, re.M)]


class Meta:
    def __init__(self, ip, hz):
        self.ice = CountingIce(ip)
        self.certificate = RTCCertificate.generateCertificate()
        self.dtls = Dtls(self.ice, [self.certificate])
        self.talker = Talker(hz, 111, 126)
        self.role = "server"
        self.remote = None
        self.faults = []
        self.talking = None
        self.stall_s = 0.0  # how late a frame was sent, at worst
        self.remote_at = None

    def describe(self, setup, mid="audio", extra="", trickle=""):
        digests = {digest.algorithm: digest.value for digest in self.certificate.getFingerprints()}
        text = SDP.format(
            session=int(time.time() * 1000), stream=secrets.token_hex(16), ip=self.ice.ip, port=self.ice.port,
            ufrag=self.ice.ufrag, pwd=self.ice.pwd, fingerprint=digests["sha-256"], setup=setup, mid=mid, extra=extra,
            trickle=trickle, opus=self.talker.opus_pt, event=self.talker.event_pt, ssrc=self.talker.ssrc,
        )
        return text.replace("\n", "\r\n")

    offered = None

    async def offer(self):
        self.offered = self.offered or self.describe("actpass")
        return {"sdp": self.offered}

    async def accept(self, sdp):
        self.understand(sdp, {"setup": "active", "mid": "audio", "group": "BUNDLE audio"})
        return {}

    async def answer(self, sdp):
        self.role = "client"
        formats = {name.lower(): int(pt) for pt, name in (line.split(" ", 1) for line in attributes(sdp, "rtpmap"))}
        self.talker.opus_pt = formats["opus/48000/2"]
        self.talker.event_pt = formats.get("telephone-event/8000", 126)
        mid = (attributes(sdp, "mid") or ["audio"])[0]
        self.understand(sdp, {"setup": "actpass", "group": f"BUNDLE {mid}"})
        extra, trickle = f" ufrag {self.ice.ufrag}", "a=ice-options:trickle\n"
        return {"sdp": self.describe("active", mid, extra, trickle)}

    def understand(self, sdp, expected):
        """Takes the other side's description, and notes what Meta's documents or its own texts would have otherwise."""

        def rule(kept, fault):
            if not kept:
                self.faults.append(fault)

        for name, value in expected.items():
            rule(attributes(sdp, name) == [value], f"a={name} should be {value}: {attributes(sdp, name)}")
        for name in "ice-ufrag", "ice-pwd", "fingerprint", "mid":
            rule(len(attributes(sdp, name)) == 1, f"exactly one a={name}")
        rule(sdp.count("\nm=") == 1, "exactly one m= line")
        rule(f"UDP/TLS/RTP/SAVPF {self.talker.opus_pt}" in sdp, "the profile, and Opus first")
        rule("\na=rtcp-mux\r\n" in sdp, "a=rtcp-mux")
        rule("\na=ice-lite" not in sdp, "two ICE-lite agents never connect")
        rule("\na=crypto" not in sdp, "a=crypto beside a=fingerprint")
        rule(f"a=rtpmap:{self.talker.event_pt} telephone-event/8000\r\n" in sdp, "telephone-event/8000")
        rule(len({line.split()[0] for line in attributes(sdp, "ssrc")}) == 1, "exactly one SSRC")
        rule(attributes(sdp, "fingerprint")[0].startswith("sha-256 "), "the fingerprint is sha-256")
        rule(len(attributes(sdp, "candidate")) == 1, "one candidate for one address")
        self.remote = sdp
        self.remote_at = time.time()
        self.ice.remote_ufrag = attributes(sdp, "ice-ufrag")[0]
        self.dtls.listener = Listener(self.talker.opus_pt, self.talker.event_pt)

    async def connect(self):
        algorithm, value = attributes(self.remote, "fingerprint")[0].split()
        async with asyncio.timeout(CONNECT_S):
            await self.ice.nominated.wait()
            self.dtls._set_role(self.role)
            await self.dtls.start(RTCDtlsParameters([RTCDtlsFingerprint(algorithm, value)]))
        if self.dtls.state != "connected":
            raise ConnectionError(f"DTLS {self.dtls.state}")
        return {
            "ice_ms": (self.ice.nominated_at - self.remote_at) * 1000,
            "dtls_ms": (time.time() - self.remote_at) * 1000,
            "dtls_role": self.role,
            "srtp": self.dtls._ssl.get_selected_srtp_profile().decode(),
        }

    async def talk(self):
        self.talking = asyncio.create_task(self.keep_talking())
        return {}

    async def keep_talking(self):
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self.stall_s = max(self.stall_s, loop.time() - due)
            for packet in self.talker.frame():
                await self.dtls._send_rtp(packet)
            due += 0.02
            await asyncio.sleep(due - loop.time())

    async def press(self, digits):
        self.talker.press(digits)
        return {}

    async def listen(self, digits, audio_ms):
        listener = self.dtls.listener
        async with asyncio.timeout(LISTEN_S):
            while listener.digits_ended() < digits or listener.audio_ms() < audio_ms or self.talker.is_pressing():
                if self.talking and self.talking.done():
                    self.talking.result()
                await asyncio.sleep(0.02)
        return {}

    async def report(self):
        ice = self.ice
        return {
            "sdp_faults": self.faults,
            "ice": ice.verdict(),
            "stall_s": self.stall_s,
            "secured": ice.secured,
            "unauthenticated": ice.secured - self.dtls.authenticated,
            "ssrc_signalled": int(attributes(self.remote, "ssrc")[0].split()[0]) if attributes(self.remote, "ssrc") else None,
            "stream": self.dtls.listener.report(),
        }

    async def close(self):
        if self.talking:
            self.talking.cancel()
        await self.dtls.stop()
        self.ice.close()


async def main(ip, hz):
    meta = Meta(ip, hz)
    lines = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        command = json.loads(line)
        verb = command.pop("do")
        try:
            reply = await getattr(meta, verb)(**command)
        except TimeoutError:
            received = meta.dtls.listener and meta.dtls.listener.report()
            reply = {"error": f"{verb}: timed out", "ice": meta.ice.verdict(), "dtls": meta.dtls.state, "received": received}
        except Exception as error:  # whatever it is, the test gets it
            reply = {"error": f"{verb}: {error!r}", "ice": meta.ice.verdict(), "dtls": meta.dtls.state}
        print(json.dumps(reply), flush=True)
    await meta.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
