"""What the ICE-lite peer sends and receives: Opus by libopus, RTP, telephone-event (RFC 4733) on the audio's own line."""

import ctypes
import os
import struct

import numpy as np

CLOCK_HZ = 48000
FRAME = CLOCK_HZ // 50  # 20 ms
EVENT_HZ = 8000
DIGITS = "0123456789*#ABCD"
DIGIT_FRAMES = 25  # 500 ms,
PAUSE_FRAMES = 5  # and 100 ms to the next: Meta's customs

LIBOPUS = ctypes.CDLL("libopus.so.0")
LIBOPUS.opus_encoder_create.restype = LIBOPUS.opus_decoder_create.restype = ctypes.c_void_p
OPUS_APPLICATION_VOIP, OPUS_SET_BITRATE, OPUS_SET_INBAND_FEC = 2048, 4002, 4012


class OpusEncoder:
    def __init__(self, bitrate):
        error = ctypes.c_int()
        self.state = ctypes.c_void_p(
            LIBOPUS.opus_encoder_create(CLOCK_HZ, 1, OPUS_APPLICATION_VOIP, ctypes.byref(error))
        )
        for request, value in (OPUS_SET_BITRATE, bitrate), (OPUS_SET_INBAND_FEC, 1):
            LIBOPUS.opus_encoder_ctl(self.state, ctypes.c_int(request), ctypes.c_int(value))
        self.packet = ctypes.create_string_buffer(1275)

    def encode(self, pcm):
        length = LIBOPUS.opus_encode(self.state, pcm.ctypes.data_as(ctypes.c_void_p), len(pcm), self.packet, 1275)
        if length < 0:
            raise ValueError(f"opus_encode: {length}")
        return self.packet.raw[:length]


class OpusDecoder:
    def __init__(self):
        error = ctypes.c_int()
        self.state = ctypes.c_void_p(LIBOPUS.opus_decoder_create(CLOCK_HZ, 1, ctypes.byref(error)))
        self.pcm = np.zeros(5760, np.int16)

    def decode(self, packet):
        count = LIBOPUS.opus_decode(
            self.state, packet, len(packet), self.pcm.ctypes.data_as(ctypes.c_void_p), len(self.pcm), 0
        )
        if count < 0:
            raise ValueError(f"opus_decode: {count}")
        return self.pcm[:count].copy()


class Talker:
    """A sine, and digits in its place, as RTP packets: one SSRC, one sequence, one timestamp line."""

    def __init__(self, hz, opus_pt, event_pt):
        self.opus_pt, self.event_pt = opus_pt, event_pt
        self.step = 2 * np.pi * hz / CLOCK_HZ
        self.encoder = OpusEncoder(20000)
        self.ssrc, self.first_time = struct.unpack("!II", os.urandom(8))
        self.seq = int.from_bytes(os.urandom(2), "big")
        self.frames = 0
        self.waiting = []
        self.pressing = None  # [digit, timestamp, frames sent]
        self.pause = 0

    def press(self, digits):
        self.waiting += digits

    def is_pressing(self):
        return bool(self.waiting or self.pressing)

    def frame(self):
        """The packets of the next 20 ms."""
        time = (self.first_time + self.frames * FRAME) & 0xFFFFFFFF
        samples = np.arange(self.frames * FRAME, (self.frames + 1) * FRAME)
        self.frames += 1
        self.pause = max(self.pause - 1, 0)
        if self.waiting and not self.pressing and not self.pause:
            self.pressing = [self.waiting.pop(0), time, 0]
        if self.pressing:
            return self.event_packets()
        pcm = (10000 * np.sin(self.step * samples)).astype(np.int16)
        return [self.packet(self.opus_pt, time, self.frames == 1, self.encoder.encode(pcm))]

    def event_packets(self):
        digit, time, sent = self.pressing
        sent += 1
        end = sent == DIGIT_FRAMES
        volume = 10
        body = struct.pack("!BBH", DIGITS.index(digit), end << 7 | volume, sent * EVENT_HZ // 50)
        self.pressing = None if end else [digit, time, sent]
        if end:
            self.pause = PAUSE_FRAMES + 1
        # The end is sent three times (RFC 4733 2.5.1.4).
        return [self.packet(self.event_pt, time, sent == 1, body) for _ in range(3 if end else 1)]

    def packet(self, pt, time, marker, payload):
        header = struct.pack("!BBHII", 0x80, marker << 7 | pt, self.seq, time, self.ssrc)
        self.seq = (self.seq + 1) & 0xFFFF
        return header + payload


def signed(difference, bits):
    half = 1 << bits - 1
    return (difference + half) % (2 * half) - half


class Listener:
    """Judges one received stream."""

    def __init__(self, opus_pt, event_pt):
        self.opus_pt, self.event_pt = opus_pt, event_pt
        self.decoder = OpusDecoder()
        self.ssrcs = []
        self.seqs = []  # extended
        self.reordered = self.unknown_pt = self.undecodable = self.malformed = self.ptime_violations = 0
        self.first = None  # arrival and extended timestamp of the first packet
        self.time = None  # the last extended timestamp
        self.late_ms = []  # of each audio packet against the first, by its timestamp
        self.stretches = []  # uninterrupted audio: [timestamp that comes next, frames]
        self.digits = []
        self.sender_reports = self.report_blocks = 0
        self.sr_off_line_ms = None
        self.reported_lost = None

    def rtp(self, arrived, packet):
        if len(packet) < 12 or packet[0] >> 6 != 2:
            self.malformed += 1
            return
        flags, pt, seq, time, ssrc = struct.unpack("!BBHII", packet[:12])
        start = 12 + 4 * (flags & 15)
        if flags & 16:
            start += 4 + 4 * struct.unpack("!H", packet[start + 2 : start + 4])[0]
        payload = packet[start : len(packet) - (packet[-1] if flags & 32 else 0)]
        marker, pt = pt >> 7, pt & 127
        if ssrc not in self.ssrcs:
            self.ssrcs.append(ssrc)
        if len(self.ssrcs) > 1:
            return  # already wrong; one line is enough to judge
        if self.seqs:
            ahead = signed(seq - self.seqs[-1], 16)
            self.reordered += ahead < 0
            seq = self.seqs[-1] + ahead
        self.seqs.append(seq)
        self.time = time if self.time is None else self.time + signed(time - self.time, 32)
        self.first = self.first or (arrived, self.time)
        if pt == self.opus_pt:
            self.audio(arrived, payload)
        elif pt == self.event_pt and len(payload) == 4:
            self.event(arrived, marker, payload)
        else:
            self.unknown_pt += 1

    def late(self, arrived, time):
        first_arrived, first_time = self.first
        return (arrived - first_arrived) * 1000 - (time - first_time) * 1000 / CLOCK_HZ

    def audio(self, arrived, payload):
        self.late_ms.append(self.late(arrived, self.time))
        try:
            pcm = self.decoder.decode(payload)
        except ValueError:
            self.undecodable += 1
            return
        self.ptime_violations += len(pcm) != FRAME
        if not self.stretches or self.stretches[-1][0] != self.time:
            self.stretches.append([self.time, []])
        self.stretches[-1][0] = self.time + len(pcm)
        self.stretches[-1][1].append(pcm)

    def event(self, arrived, marker, payload):
        code, flags, duration = struct.unpack("!BBH", payload)
        digit = DIGITS[code] if code < len(DIGITS) else "?"
        if not self.digits or (self.digits[-1]["time"], self.digits[-1]["digit"]) != (self.time, digit):
            fresh = {"time": self.time, "digit": digit, "duration_ms": 0, "updates": 0, "ends": 0, "markers": 0}
            fresh["late_ms"] = self.late(arrived, self.time)
            self.digits.append(fresh)
        received = self.digits[-1]
        received["duration_ms"] = max(received["duration_ms"], duration * 1000 / EVENT_HZ)
        received["ends" if flags & 0x80 else "updates"] += 1
        received["markers"] += marker

    def rtcp(self, arrived, compound):
        while len(compound) >= 8:
            flags, kind, words = struct.unpack("!BBH", compound[:4])
            packet, compound = compound[: 4 * words + 4], compound[4 * words + 4 :]
            blocks = {200: 28, 201: 8}.get(kind)
            if kind == 200 and len(packet) >= 28 and self.first:
                self.sender_reports += 1
                time = struct.unpack("!I", packet[16:20])[0]
                time = self.first[1] + signed(time - self.first[1], 32)
                self.sr_off_line_ms = self.late(arrived, time)
            for n in range(flags & 31 if blocks else 0):
                block = packet[blocks + 24 * n : blocks + 24 * n + 24]
                if len(block) == 24:
                    self.report_blocks += 1
                    self.reported_lost = int.from_bytes(block[5:8], "big", signed=True)

    def digits_ended(self):
        return sum(digit["ends"] >= 3 for digit in self.digits)

    def audio_ms(self):
        return 20 * len(self.late_ms)

    def report(self):
        distinct = set(self.seqs)
        stretch = np.concatenate(max((frames for _, frames in self.stretches), key=len, default=[[]]))
        return {
            "packets": len(self.seqs),
            "ssrcs": self.ssrcs,
            "lost": max(distinct) - min(distinct) + 1 - len(distinct) if distinct else 0,
            "duplicates": len(self.seqs) - len(distinct),
            "reordered": self.reordered,
            "unknown_pt": self.unknown_pt,
            "undecodable": self.undecodable,
            "malformed": self.malformed,
            "ptime_violations": self.ptime_violations,
            "audio_ms": self.audio_ms(),
            "drift_ms": drift_ms(self.late_ms),
            "worst_late_ms": max(self.late_ms, default=None),
            "longest_stretch_ms": len(stretch) * 1000 // CLOCK_HZ,
            "tone": tone(stretch[CLOCK_HZ // 5 :]),
            "quiet_ms": sum(quiet_ms(np.concatenate(frames)) for _, frames in self.stretches),
            "digits": [{k: v for k, v in digit.items() if k != "time"} for digit in self.digits],
            "sender_reports": self.sender_reports,
            "sr_off_line_ms": self.sr_off_line_ms,
            "report_blocks": self.report_blocks,
            "reported_lost": self.reported_lost,
        }


def drift_ms(late_ms):
    """How far the stream fell behind the wall clock from its first second to its last: the least late packet of each,
    as a packet can be held up by the machine, but never sent before its time."""
    return min(late_ms[-50:]) - min(late_ms[:50]) if len(late_ms) >= 100 else None


def tone(pcm):
    """The strongest tone: frequency, level, and how far it is above all the rest. None for under half a second."""
    if len(pcm) < CLOCK_HZ // 2:
        return None
    spectrum = np.abs(np.fft.rfft(pcm.astype(np.float64) * np.hanning(len(pcm)))) ** 2
    hz = np.fft.rfftfreq(len(pcm), 1 / CLOCK_HZ)
    peak = hz[np.argmax(spectrum)]
    near = np.abs(hz - peak) < 20
    rest = max(spectrum[~near].sum(), 1e-9)
    power = max(np.mean((pcm / 32768.0) ** 2), 1e-12)
    return {
        "hz": float(peak),
        "snr_db": float(10 * np.log10(max(spectrum[near].sum(), 1e-9) / rest)),
        "dbov": float(10 * np.log10(power)),
    }


def quiet_ms(pcm):
    """Time under -40 dBov in steps of 10 ms; the first 100 ms of a stretch are the decoder's to settle."""
    windows = pcm[CLOCK_HZ // 10 :].astype(np.float64) / 32768.0
    windows = windows[: len(windows) // 480 * 480].reshape(-1, 480)
    return int(10 * np.count_nonzero((windows**2).mean(axis=1) < 1e-4))
