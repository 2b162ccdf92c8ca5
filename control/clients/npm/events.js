// The event feed: datagrams that Trestle sends to subscribers (`subscribe events`).

import { EventEmitter } from "node:events";

// Duration of a subscription. It is renewed three times in this time.
export const EXPIRES_S = 60;

// Maximum of unread events; beyond it the oldest are dropped.
const ROOM = 4096;

/** Parses a datagram; undefined if it is not an event. */
export function readEvent(datagram) {
  try {
    const event = JSON.parse(datagram.toString());
    return typeof event.event === "string" && typeof event["call-id"] === "string" ? event : undefined;
  } catch {
    return undefined;
  }
}

export class EventFeed extends EventEmitter {
  #callId;
  #subscribe;
  #leave;
  #renewing;
  #waiting = [];
  #wake = () => {};
  #ended = false;

  constructor(callId, subscribe, leave) {
    super();
    this.#callId = callId;
    this.#subscribe = subscribe;
    this.#leave = leave;
    // The next renewal replaces a lost one.
    this.#renewing = setInterval(() => subscribe(EXPIRES_S).catch(() => {}), (EXPIRES_S * 1000) / 3);
    this.#renewing.unref();
  }

  get callId() {
    return this.#callId;
  }

  take(event) {
    if (this.#callId !== undefined && event["call-id"] !== this.#callId) return;
    if (this.#waiting.length === ROOM) this.#waiting.shift();
    this.#waiting.push(event);
    this.#wake();
    this.emit("event", event);
  }

  stop() {
    clearInterval(this.#renewing);
    this.#ended = true;
    this.#wake();
  }

  async close() {
    this.stop();
    // If this request is lost, the subscription expires.
    if (this.#leave(this)) await this.#subscribe(0).catch(() => {});
  }

  async *[Symbol.asyncIterator]() {
    while (true) {
      while (this.#waiting.length > 0) yield this.#waiting.shift();
      if (this.#ended) return;
      await new Promise((wake) => {
        this.#wake = wake;
      });
    }
  }
}
