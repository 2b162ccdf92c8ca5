// Events of calls, as Trestle sends them to whoever has subscribed (`subscribe events`).

import { EventEmitter, on } from "node:events";

// How long a subscription lasts; it is renewed three times in that.
export const EXPIRES_S = 60;

/** Undefined if that is no event. */
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
  #ended = new AbortController();

  constructor(callId, subscribe, leave) {
    super();
    this.#callId = callId;
    this.#subscribe = subscribe;
    this.#leave = leave;
    // A lost renewal is made up for by the next one.
    this.#renewing = setInterval(() => subscribe(EXPIRES_S).catch(() => {}), (EXPIRES_S * 1000) / 3);
    this.#renewing.unref();
  }

  get callId() {
    return this.#callId;
  }

  take(event) {
    if (this.#callId === undefined || event["call-id"] === this.#callId) this.emit("event", event);
  }

  stop() {
    clearInterval(this.#renewing);
    this.#ended.abort();
  }

  async close() {
    this.stop();
    // If that is lost, it expires.
    if (this.#leave(this)) await this.#subscribe(0).catch(() => {});
  }

  async *[Symbol.asyncIterator]() {
    try {
      for await (const [event] of on(this, "event", { signal: this.#ended.signal })) yield event;
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    }
  }
}
