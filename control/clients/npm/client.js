// `Client`: requests over UDP or a Unix socket, any number at a time.

import { randomBytes } from "node:crypto";

import { NoReply, TrestleError, refusal } from "./errors.js";
import { EXPIRES_S, EventFeed, readEvent } from "./events.js";
import { Signer } from "./signature.js";
import { Datagrams, Stream } from "./transport.js";

const EVENT_SIGNATURE = Buffer.from("hmac1:");

function logWarning(request, warning) {
  console.warn(`trestle: ${request.command} ${request["call-id"] ?? ""}: ${warning}`);
}

export class Client {
  // Random: another client may use the same address and port within the minute in which Trestle remembers cookies.
  #prefix = randomBytes(6).toString("hex");
  #requests = 0;
  #pending = new Map();
  #feeds = new Set();
  #transport;
  #signer;
  #timeoutMs;
  #tries;
  #onWarning;
  #closed = false;

  constructor(transport, { signer, timeoutMs, tries, onWarning }) {
    this.#transport = transport;
    this.#signer = signer;
    this.#timeoutMs = timeoutMs;
    this.#tries = tries;
    this.#onWarning = onWarning;
    transport.received = (message) => this.#received(message);
  }

  static async open({
    host = "127.0.0.1",
    port = 2223,
    path,
    secretFile = process.env.TRESTLE_NG_SECRET_FILE,
    timeoutMs = 1000,
    tries = 5,
    onWarning = logWarning,
  } = {}) {
    const signer = secretFile ? Signer.read(secretFile) : undefined;
    const transport = path === undefined ? await Datagrams.open(host, port) : new Stream(path);
    return new Client(transport, { signer, timeoutMs, tries, onWarning });
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#transport.close();
    for (const { fail } of this.#pending.values()) fail(new NoReply("the client was closed"));
    for (const feed of this.#feeds) feed.stop();
    this.#feeds.clear();
  }

  async ping() {
    await this.request({ command: "ping" });
  }

  offer(keys) {
    return this.request({ command: "offer", ...keys });
  }

  answer(keys) {
    return this.request({ command: "answer", ...keys });
  }

  create(keys) {
    return this.request({ command: "create", ...keys });
  }

  async createAnswer(keys) {
    await this.request({ command: "create answer", ...keys });
  }

  delete(callId, keys = {}) {
    return this.request({ command: "delete", "call-id": callId, ...keys });
  }

  query(callId, keys = {}) {
    return this.request({ command: "query", "call-id": callId, ...keys });
  }

  async list(limit) {
    return (await this.request({ command: "list", limit })).calls;
  }

  async statistics() {
    return (await this.request({ command: "statistics" })).statistics;
  }

  drain(keys = {}) {
    return this.request({ command: "drain", ...keys });
  }

  async playDtmf(callId, keys) {
    await this.request({ command: "play DTMF", "call-id": callId, ...keys });
  }

  async blockDtmf(callId, target = {}) {
    await this.request({ command: "block DTMF", "call-id": callId, ...target });
  }

  async unblockDtmf(callId, target = {}) {
    await this.request({ command: "unblock DTMF", "call-id": callId, ...target });
  }

  async blockMedia(callId, target = {}) {
    await this.request({ command: "block media", "call-id": callId, ...target });
  }

  async unblockMedia(callId, target = {}) {
    await this.request({ command: "unblock media", "call-id": callId, ...target });
  }

  async silenceMedia(callId, target = {}) {
    await this.request({ command: "silence media", "call-id": callId, ...target });
  }

  async unsilenceMedia(callId, target = {}) {
    await this.request({ command: "unsilence media", "call-id": callId, ...target });
  }

  async connect(callId, tags) {
    await this.request({ command: "connect", "call-id": callId, ...tags });
  }

  gate(callId, op, keys = {}) {
    return this.request({ command: "gate", "call-id": callId, op, ...keys });
  }

  async subscribeEvents({ callId } = {}) {
    const subscribe = async (expires) => {
      const request = { command: "subscribe events", "call-id": callId, expires };
      try {
        await this.request(request);
      } catch (error) {
        if (error.token === undefined) throw error;
        // Trestle has sent the token to this address, and so learns that the request came from here.
        await this.request({ ...request, token: error.token });
      }
    };
    const leave = (feed) =>
      this.#feeds.delete(feed) && [...this.#feeds].every((other) => other.callId !== feed.callId);
    await subscribe(EXPIRES_S);
    const feed = new EventFeed(callId, subscribe, leave);
    this.#feeds.add(feed);
    return feed;
  }

  async request(request) {
    const reply = await this.#exchange(JSON.stringify(request));
    for (const warning of reply.warnings ?? []) this.#onWarning(request, warning);
    if (reply.result === "ok" || reply.result === "pong") return reply;
    throw refusal(request.command, reply);
  }

  #exchange(body) {
    if (this.#closed) return Promise.reject(new NoReply("the client is closed"));
    const cookie = `${this.#prefix}_${++this.#requests}`;
    // Signed once: a repetition has the same bytes.
    const { signature, time } = this.#signer?.request(cookie, body) ?? {};
    const message = signature === undefined ? `${cookie} ${body}` : `${cookie} ${signature} ${body}`;
    let timer;
    return new Promise((done, fail) => {
      this.#pending.set(cookie, { done, fail, time });
      const send = (triesLeft) => {
        if (triesLeft === 0) {
          fail(new NoReply(`no reply to ${this.#tries} tries in ${(this.#tries * this.#timeoutMs) / 1000} s`));
          return;
        }
        this.#transport.send(message, (error) => fail(new TrestleError(`${error}`)));
        timer = setTimeout(send, this.#timeoutMs, triesLeft - 1);
      };
      send(this.#tries);
    }).finally(() => {
      clearTimeout(timer);
      this.#pending.delete(cookie);
    });
  }

  #received(message) {
    if (message[0] === 0x7b || message.subarray(0, 6).equals(EVENT_SIGNATURE)) {
      const text = this.#signer ? this.#signer.event(message) : message;
      const event = text && readEvent(text);
      if (event) for (const feed of this.#feeds) feed.take(event);
      return;
    }
    const space = message.indexOf(0x20);
    const cookie = message.subarray(0, space).toString();
    // The second reply to a repeated request is dropped.
    const waiting = this.#pending.get(cookie);
    if (!waiting) return;
    const signed = message.subarray(space + 1);
    const body = this.#signer ? this.#signer.reply(cookie, waiting.time, signed) : signed;
    // A reply without a good signature is dropped.
    if (body === undefined) return;
    try {
      const reply = JSON.parse(body.toString());
      if (reply === null || typeof reply !== "object") throw new SyntaxError("no object");
      waiting.done(reply);
    } catch (error) {
      waiting.fail(new TrestleError(`the reply is not JSON: ${error.message}`));
    }
  }
}
