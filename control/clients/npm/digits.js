// The digit feed: Trestle sends one datagram for each key that was pressed and released (`dtmf-log-dest`).

import { createSocket } from "node:dgram";
import { EventEmitter, on } from "node:events";

// RFC 4733 section 3.2.
const KEYS = "0123456789*#ABCD";

/** Parses a datagram. Throws if it is not from the feed. */
export function readDigit(datagram) {
  const line = JSON.parse(datagram.toString());
  const digit = KEYS[line.event];
  if (line.type !== "DTMF" || typeof line.callid !== "string" || digit === undefined) {
    throw new SyntaxError("not a line of the digit feed");
  }
  return {
    callId: line.callid,
    digit,
    sourceTag: line.source_tag,
    sourceLabel: line.source_label ?? "",
    tags: line.tags,
    durationMs: line.duration,
    volumeDbm0: -line.volume,
    timestamp: line.timestamp,
    sourceIp: line.source_ip,
  };
}

export class DigitFeed extends EventEmitter {
  #socket;
  #ended = new AbortController();

  constructor(socket) {
    super();
    this.#socket = socket;
    socket.on("message", (datagram) => {
      try {
        this.emit("digit", readDigit(datagram));
      } catch {
        // Not from Trestle.
      }
    });
  }

  static async listen({ host = "127.0.0.1", port = 0 } = {}) {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    await new Promise((done, failed) => {
      socket.once("error", failed);
      socket.bind(port, host, () => {
        socket.off("error", failed);
        done();
      });
    });
    return new DigitFeed(socket);
  }

  get address() {
    const { address, port } = this.#socket.address();
    return { host: address, port };
  }

  close() {
    this.#ended.abort();
    this.#socket.close();
  }

  async *[Symbol.asyncIterator]() {
    try {
      for await (const [digit] of on(this, "digit", { signal: this.#ended.signal })) yield digit;
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    }
  }
}
