// The part of SIP (RFC 3261) that a bridge beside one PBX needs: calls in both directions, CANCEL and BYE, over UDP. The PBX is
// identified by its address, without registration and password.

import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";

const [T1_MS, T2_MS] = [500, 4000]; // first and longest interval between retransmissions
const TIMEOUT_MS = 32_000; // 64 * T1: the transaction times out

const COMPACT = { v: "via", f: "from", t: "to", i: "call-id", m: "contact", l: "content-length", c: "content-type" };
const REASONS = { 100: "Trying", 180: "Ringing", 200: "OK", 480: "Temporarily Unavailable", 481: "Call Does Not Exist",
  486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here" };

const draw = () => randomBytes(8).toString("hex");
const uri = (contact) => contact.match(/<([^>]*)>/)?.[1];

/** A promise with the function that fulfils it, and whether that was called. */
export function happening() {
  const made = { happened: false };
  made.promise = new Promise((keep) => {
    made.happen = (value) => {
      made.happened = true;
      keep(value);
    };
  });
  return made;
}

/** A request or a response. */
class Message {
  constructor(start, headers = [], body = "") {
    Object.assign(this, { start, headers, body });
  }

  static read(datagram) {
    const [head, ...body] = datagram.toString().split("\r\n\r\n");
    const [start, ...lines] = head.split("\r\n");
    const headers = lines.map((line) => {
      const [, name, value] = line.match(/^([^:]*):\s*(.*)$/);
      const long = name.trim().toLowerCase();
      return [COMPACT[long] ?? long, value.trim()];
    });
    return new Message(start, headers, body.join("\r\n\r\n"));
  }

  write() {
    const headers = this.body ? [...this.headers, ["content-type", "application/sdp"]] : this.headers;
    const lines = [this.start, ...headers.map((header) => header.join(": "))];
    return `${lines.join("\r\n")}\r\ncontent-length: ${Buffer.byteLength(this.body)}\r\n\r\n${this.body}`;
  }

  all = (name) => this.headers.filter(([known]) => known === name).map(([, value]) => value);
  get = (name) => this.all(name)[0] ?? "";
  keep = (...names) => this.headers.filter(([name]) => names.includes(name));
  status = () => Number(this.start.match(/^SIP\/2\.0 (\d+)/)?.[1] ?? 0);
  method = () => this.get("cseq").split(" ").at(-1);
  target = () => this.start.split(" ")[1];
}

/** The SIP user agent beside the PBX. It calls `onCall` with each call from the PBX. */
export class Agent {
  dialogs = new Map();

  static async open(local, pbx, onCall) {
    const agent = Object.assign(new Agent(), { pbx, onCall, socket: createSocket("udp4") });
    agent.socket.on("message", (datagram, source) => agent.#received(datagram, source));
    agent.socket.bind(local.port, local.host);
    await once(agent.socket, "listening");
    const { address, port } = agent.socket.address();
    agent.contact = `${address}:${port}`;
    return agent;
  }

  /** Calls `user` at the PBX. */
  call(user, caller, sdp) {
    const target = `sip:${user}@${this.pbx.host}:${this.pbx.port}`;
    const local = `<sip:${caller}@${this.contact}>;tag=${draw()}`;
    const dialog = new Dialog(this, { callId: draw(), local, remote: `<${target}>`, target, outgoing: true });
    dialog.invite = dialog.request("INVITE", sdp);
    dialog.repeat(dialog.invite, dialog.answered, () => dialog.final(408));
    return dialog;
  }

  #received(datagram, source) {
    if (source.address !== this.pbx.host) return;
    let message;
    try {
      message = Message.read(datagram);
    } catch {
      return; // not SIP
    }
    const dialog = this.dialogs.get(message.get("call-id"));
    if (message.status()) dialog?.response(message, message.status());
    else if (dialog) dialog.received(message);
    else if (message.method() === "INVITE") {
      const dialog = new Dialog(this, {
        callId: message.get("call-id"), local: `${message.get("to")};tag=${draw()}`, remote: message.get("from"),
        target: uri(message.get("contact")) ?? `sip:${this.pbx.host}:${this.pbx.port}`, outgoing: false,
      });
      dialog.invite = message;
      dialog.routes = message.all("record-route");
      dialog.respond(100);
      this.onCall(dialog);
    } else if (message.method() !== "ACK") this.reply(message, message.method() === "OPTIONS" ? 200 : 481);
  }

  send(message) {
    this.socket.send(message.write(), this.pbx.port, this.pbx.host);
  }

  reply(request, status, to = request.get("to"), sdp = "") {
    const kept = request.keep("via", "from", "call-id", "cseq", "record-route");
    const headers = [...kept, ["to", to], ["contact", `<sip:${this.contact}>`]];
    const response = new Message(`SIP/2.0 ${status} ${REASONS[status] ?? "Failed"}`, headers, sdp);
    this.send(response);
    return response;
  }
}

/** One call. For a call to the PBX, `nextResponse` returns status and SDP of each response. `over` happens at its end. */
class Dialog {
  routes = [];
  answered = happening();
  acknowledged = happening();
  byeAnswered = happening();
  over = happening();
  #cseq = 0;
  #lastResponse;
  #responses = [];
  #waiting = happening();
  #established = false;
  #ringing = false;
  #cancelled = false;

  constructor(agent, properties) {
    Object.assign(this, { agent, ...properties });
    agent.dialogs.set(this.callId, this);
  }

  /** The user part of the called URI. */
  get callee() {
    return this.invite.target().replace(/^sip:/, "").split("@")[0];
  }

  async nextResponse() {
    while (this.#responses.length === 0) {
      this.#waiting = happening();
      await this.#waiting.promise;
    }
    return this.#responses.shift();
  }

  #queueResponse(status, sdp) {
    this.#responses.push({ status, sdp });
    this.#waiting.happen();
  }

  /** Responds to a call from the PBX. A final response is repeated until the PBX has acknowledged it. */
  respond(status, sdp = "") {
    if (this.#established || this.over.happened) return;
    this.#lastResponse = this.agent.reply(this.invite, status, status > 100 ? this.local : undefined, sdp);
    if (status < 200) return;
    this.#established = status < 300;
    this.repeat(this.#lastResponse, this.acknowledged, () => {}, { sent: true });
    if (!this.#established) this.#end();
  }

  /** Ends the call, in any state. */
  hangUp() {
    if (this.over.happened || this.#cancelled) return;
    if (this.#established) {
      this.repeat(this.request("BYE"), this.byeAnswered, () => {});
      this.#end();
    } else if (this.outgoing) {
      this.#cancelled = true;
      if (this.#ringing) this.#cancel();
    } else this.respond(480);
  }

  #cancel() {
    this.answered = happening();
    const cancel = new Message(`CANCEL ${this.invite.target()} SIP/2.0`, this.#sameTransaction("CANCEL"));
    this.repeat(cancel, this.answered, () => {});
  }

  response(message, status) {
    if (message.method() === "BYE") this.byeAnswered.happen();
    if (message.method() !== "INVITE") return;
    this.answered.happen(); // stops the retransmission of the INVITE
    if (status < 200) {
      const first = !this.#ringing;
      this.#ringing = true;
      if (!this.#cancelled) this.#queueResponse(status, message.body);
      else if (first) this.#cancel();
      return;
    }
    this.remote = message.get("to");
    if (status >= 300) {
      this.agent.send(new Message(`ACK ${this.invite.target()} SIP/2.0`, this.#sameTransaction("ACK")));
      this.final(status);
      return;
    }
    this.target = uri(message.get("contact")) ?? this.target;
    this.routes = message.all("record-route").reverse();
    this.agent.send(this.request("ACK", "", this.invite.get("cseq").split(" ")[0]));
    if (this.#established) return; // a retransmission
    this.#established = true;
    if (this.#cancelled) {
      this.#cancelled = false; // the PBX answered while the bridge hung up
      this.hangUp();
    } else this.#queueResponse(status, message.body);
  }

  received(request) {
    const method = request.start.split(" ")[0];
    if (method === "ACK") this.acknowledged.happen();
    else if (method === "INVITE" && request.get("via") === this.invite.get("via")) this.agent.send(this.#lastResponse);
    else if (method === "INVITE") this.agent.reply(request, 488, this.local); // a re-INVITE: not supported
    else this.agent.reply(request, 200, this.local);
    if (method === "CANCEL") this.respond(487);
    if (method === "BYE") this.#end();
  }

  final(status) {
    this.#queueResponse(status, "");
    this.#end();
  }

  #end() {
    if (this.over.happened) return;
    this.over.happen();
    // Until then, retransmissions of the PBX still get a response.
    setTimeout(() => this.agent.dialogs.delete(this.callId), TIMEOUT_MS).unref();
  }

  request(method, sdp = "", cseq = ++this.#cseq) {
    const headers = [
      ["via", `SIP/2.0/UDP ${this.agent.contact};branch=z9hG4bK${draw()};rport`], ["max-forwards", "70"],
      ...this.routes.map((route) => ["route", route]), ["from", this.local], ["to", this.remote],
      ["call-id", this.callId], ["cseq", `${cseq} ${method}`], ["contact", `<sip:${this.agent.contact}>`],
    ];
    return new Message(`${method} ${this.target} SIP/2.0`, headers, sdp);
  }

  /** Headers of a CANCEL, or of the ACK for a failure (RFC 3261 sections 9.1, 17.1.1.3). */
  #sameTransaction(method) {
    const number = this.invite.get("cseq").split(" ")[0];
    return [...this.invite.keep("via", "max-forwards", "from", "call-id"), ["to", this.remote], ["cseq", `${number} ${method}`]];
  }

  /** Repeats a message until `until` has happened; calls `onTimeout` after 32 s without it. */
  async repeat(message, until, onTimeout, { sent = false } = {}) {
    let pauseMs = T1_MS;
    for (let passedMs = 0; passedMs < TIMEOUT_MS; passedMs += pauseMs, pauseMs = Math.min(2 * pauseMs, T2_MS)) {
      if (!sent) this.agent.send(message);
      sent = false;
      let timer;
      await Promise.race([until.promise, new Promise((wake) => (timer = setTimeout(wake, pauseMs)))]);
      clearTimeout(timer);
      if (until.happened) return;
    }
    onTimeout();
  }
}
