"""Starts `trestle serve` for one test, and makes the SDP of a phone."""

import os
import socket
import subprocess
import sys
from pathlib import Path

CONTROL = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(CONTROL / "clients/python/src"))

SCHEMA = CONTROL / "ng/schema/ng.schema.json"
EVENTS = CONTROL / "ng/schema/events.schema.json"
PROTOCOL = CONTROL.parent / "docs/PROTOCOL.md"


class Server:
    """A server on a free port; `stop` ends it."""

    def __init__(self, *flags: str) -> None:
        program = Path(os.environ.get("TRESTLE", CONTROL.parent / "target/debug/trestle"))
        if not program.exists():
            raise SystemExit(f"there is no {program}: run cargo build, or set TRESTLE")
        self.process = subprocess.Popen(
            [
                program,
                "serve",
                "--interface=127.0.0.1",
                "--listen-ng=127.0.0.1:0",
                "--num-threads=1",
                "--port-max=32766",
                "--max-lateness-ms=0",
                *flags,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        ready = self.process.stdout.readline()
        if not ready.startswith("ready: ng "):
            self.stop()
            raise AssertionError(f"trestle did not start: {ready!r}")
        ng = ready.removeprefix("ready: ng ").replace(",", " ").split()[0]
        host, _, port = ng.rpartition(":")
        self.address = (host, int(port)) if ng != "off" else None

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()


def udp() -> socket.socket:
    """A socket on the loopback. Receiving times out after ten seconds."""
    socket_ = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    socket_.bind(("127.0.0.1", 0))
    socket_.settimeout(10)
    return socket_


def sdp(port: int) -> str:
    """The SDP of a phone with PCMU and telephone-events."""
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", f"m=audio {port} RTP/AVP 0 101"]
    lines += ["a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=ptime:20"]
    return "".join(line + "\r\n" for line in lines)


def media_port(sdp: str) -> int:
    """The port of the audio."""
    return int(sdp.split("m=audio ")[1].split(" ")[0])
