#!/usr/bin/env python3
"""Measures Opus at 8 kHz by complexity, bit rate and loss: CPU time, bit rate, and quality (PESQ, narrow-band, against the reference).

    pip install numpy pesq
    bench/opus/table.py [DIR]

DIR contains the voices: *.wav, mono, 8 kHz, 16 bits, ten seconds or more each. Without them, espeak-ng makes some, which are
harder to encode than recordings. Prints tables for docs/decisions/0010.
"""

import collections
import csv
import io
import pathlib
import subprocess
import sys
import tempfile
import wave

import numpy
from pesq import pesq

HZ = 8000
SEGMENT = 10 * HZ
TEXT = (
    "The quick brown fox was not in a hurry. Please hold the line while I look up your order number. It was sent on the "
    "twenty third of June, and it should have arrived by now. Would you like me to send it once more, or shall I give you "
    "your money back? Thank you for calling, and have a very nice day."
)
VOICES = {"espeak-en-m": "en-us+m3", "espeak-de-m": "de+m7", "espeak-pt-f": "pt-br+f2"}


def make_voices(folder):
    for name, voice in VOICES.items():
        made = folder / (name + ".full.wav")
        subprocess.run(["espeak-ng", "-v", voice, "-w", made, TEXT], check=True)
        subprocess.run(["sox", made, "-r", str(HZ), "-b", "16", "-c", "1", folder / (name + ".wav")], check=True)
        made.unlink()


def read(path):
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (HZ, 1, 2), path
        return numpy.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)


def at_level(pcm, dbov=-26.0):
    """Scales speech to the level that PESQ requires; pauses are excluded from the level."""
    energy = (pcm[: len(pcm) // 160 * 160].reshape(-1, 160) ** 2).mean(1)
    active = energy[energy > energy.max() * 10**-3.5].mean()
    return numpy.clip(pcm * 32768 * 10 ** (dbov / 20) / active**0.5, -32767, 32767).astype("<i2")


def score(reference, degraded):
    parts = range(0, max(1, len(reference) - SEGMENT // 2), SEGMENT)
    return numpy.mean([pesq(HZ, reference[at : at + SEGMENT], degraded[at : at + SEGMENT], "nb") for at in parts])


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    if not list(folder.glob("*.wav")):
        make_voices(folder)
    reference = {}
    for path in folder.glob("*.wav"):
        pcm = at_level(read(path))
        pcm.tofile(folder / (path.stem + ".s16"))
        reference[path.stem] = pcm.astype(float)
    run = "cargo run --release --quiet -p trestle-bench --example opus_table --".split()
    lines = subprocess.run(run + [folder], check=True, text=True, capture_output=True).stdout
    cells = collections.defaultdict(list)
    for row in csv.DictReader(io.StringIO(lines)):
        degraded = numpy.fromfile(folder / row["file"], "<i2").astype(float)
        key = (int(row["loss_percent"]), int(row["complexity"]), int(row["bit_rate_bps"]))
        quality = score(reference[row["voice"]], degraded)
        cells[key].append((quality, float(row["encode_us"]), float(row["decode_us"]), float(row["kbps"])))
    print(f"{len(reference)} voices: {', '.join(sorted(reference))}")
    for loss in sorted({loss for loss, _, _ in cells}):
        print(f"\n{loss} % loss, in-band FEC asked for; PESQ mean (worst voice), encode + decode us a frame, kbit/s\n")
        rates = sorted({rate for at, _, rate in cells if at == loss})
        print("| complexity |", " | ".join(f"{rate // 1000} kbit/s" for rate in rates), "|")
        print("|---|" + "---|" * len(rates))
        for complexity in sorted({complexity for at, complexity, _ in cells if at == loss}):
            row = []
            for rate in rates:
                quality, encode, decode, kbps = zip(*cells[loss, complexity, rate])
                mean = numpy.mean
                row.append(
                    f"**{mean(quality):.2f}** ({min(quality):.2f}), {mean(encode):.0f} + {mean(decode):.0f} us, {mean(kbps):.1f}"
                )
            print(f"| {complexity} |", " | ".join(row), "|")


main()
