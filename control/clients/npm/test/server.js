// Starts `trestle serve` for one test, and makes the SDP of a phone.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { createSocket } from "node:dgram";
import { fileURLToPath } from "node:url";

/** Starts a server on a free port; it ends with the test `t`. */
export async function start(t, ...flags) {
  const program = process.env.TRESTLE ?? fileURLToPath(new URL("../../../../target/debug/trestle", import.meta.url));
  if (!existsSync(program)) throw new Error(`there is no ${program}: run cargo build, or set TRESTLE`);
  const child = spawn(
    program,
    ["serve", "--interface=127.0.0.1", "--listen-ng=127.0.0.1:0", "--num-threads=1", "--port-max=32766", ...flags],
    { stdio: ["ignore", "pipe", "ignore"] },
  );
  t.after(async () => {
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  const [ready] = await once(createInterface(child.stdout), "line");
  const [, host, port] = ready.match(/^ready: ng (.*?):(\d+)/);
  return { host, port: Number(port) };
}

export async function udp(t) {
  const socket = createSocket("udp4");
  t.after(() => socket.close());
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return socket;
}

/** The SDP of a phone with PCMU and telephone-events. */
export function sdp(port) {
  const lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", `m=audio ${port} RTP/AVP 0 101`];
  lines.push("a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=ptime:20");
  return lines.map((line) => `${line}\r\n`).join("");
}

/** The port of the audio medium. */
export function mediaPort(sdp) {
  return Number(sdp.match(/^m=audio (\d+)/m)[1]);
}
