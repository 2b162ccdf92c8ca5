// Bridges WhatsApp calls to a PBX: Meta's web hook and Graph API on one side, SIP on the other, media through Trestle.
//
// A call from WhatsApp goes to EXTENSION at the PBX. A call from the PBX to a number goes to that WhatsApp user. See README.md.

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

import { Client } from "trestle-client";

import { Agent, happening } from "./sip.js";

const STALE_S = 60; // an older `connect` is ignored: WhatsApp ends an unanswered call earlier
const REMEMBERED = 10_000; // ids of ended calls that are kept, so that repeated and late deliveries start no call

const need = (name) => process.env[name] ?? exit(`${name} is not set`);
const exit = (why) => {
  console.error(why);
  process.exit(1);
};
const address = (text) => {
  const [, host, port] = text.match(/^(.*):(\d+)$/);
  return { host, port: Number(port) };
};

const settings = {
  graph: process.env.GRAPH ?? "https://graph.facebook.com/v23.0",
  phoneNumberId: need("PHONE_NUMBER_ID"),
  token: need("TOKEN"),
  appSecret: need("APP_SECRET"),
  verifyToken: need("VERIFY_TOKEN"),
  extension: process.env.EXTENSION ?? "whatsapp",
  trestle: address(process.env.TRESTLE_NG ?? "127.0.0.1:2223"),
  listen: address(process.env.LISTEN ?? "127.0.0.1:8080"),
  sip: address(process.env.SIP_LISTEN ?? "127.0.0.1:5062"),
  pbx: address(process.env.PBX ?? "127.0.0.1:5060"),
};

/** Meta's `calls` endpoint. */
const graph = {
  act: (callId, action, answer) =>
    graph.post({ call_id: callId, action, ...(answer && { session: { sdp_type: "answer", sdp: answer } }) }),

  /** Calls a WhatsApp user; returns the id of the call. */
  connect: async (to, offer) =>
    (await graph.post({ to, action: "connect", session: { sdp_type: "offer", sdp: offer } })).calls[0].id,

  async post(body) {
    const response = await fetch(`${settings.graph}/${settings.phoneNumberId}/calls`, {
      method: "POST",
      headers: { Authorization: `Bearer ${settings.token}`, "Content-Type": "application/json" },
      body: JSON.stringify({ messaging_product: "whatsapp", ...body }),
      signal: AbortSignal.timeout(10_000),
    });
    if (!response.ok) throw new Error(`Graph, ${body.action}: ${await response.text()}`);
    return response.json();
  },
};

/** An active call. `id` is Trestle's id; `graphId` is Meta's id, when Graph has sent it. */
class Call {
  terminated = happening(); // WhatsApp's side has ended
  accepted = false;
  onEvent = () => {}; // from WhatsApp's side: kind, SDP

  constructor(id, dialog, graphId) {
    Object.assign(this, { id, dialog, graphId, fromWhatsapp: !dialog });
  }
}

/** Removes the oldest entries beyond the limit. */
function bound(map) {
  while (map.size > REMEMBERED) map.delete(map.keys().next().value);
}

/** All calls. */
class Bridge {
  calls = new Map(); // by Graph's id
  over = new Set();
  early = new Map(); // events of calls whose id Graph has not sent yet

  constructor(trestle) {
    this.trestle = trestle;
  }

  /** One delivery. It may be a repeat, and later events may have arrived before it. */
  webHook(hook) {
    for (const { value } of (hook.entry ?? []).flatMap((entry) => entry.changes ?? [])) {
      for (const event of value.calls ?? []) {
        if (event.event === "connect" && event.session.sdp_type === "offer") this.callFromWhatsapp(event);
        else this.event(event.id, event.event, event.session?.sdp);
      }
      for (const { id, status } of value.statuses ?? []) {
        if (["RINGING", "ACCEPTED", "REJECTED"].includes(status)) this.event(id, status);
      }
    }
  }

  callFromWhatsapp({ id, from, timestamp, session }) {
    if (this.calls.has(id) || this.over.has(id) || Date.now() / 1000 - Number(timestamp) > STALE_S) return;
    const call = new Call(id, undefined, Promise.resolve(id));
    this.calls.set(id, call);
    this.run(call, this.take(call, from, session.sdp));
  }

  event(graphId, kind, sdp) {
    const call = this.calls.get(graphId);
    if (kind === "terminate") {
      this.remember(graphId);
      call?.terminated.happen();
    } else if (call) call.onEvent(kind, sdp);
    else if (!this.over.has(graphId)) {
      this.early.set(graphId, [...(this.early.get(graphId) ?? []), [kind, sdp]]);
      bound(this.early);
    }
  }

  callFromPbx(dialog) {
    const call = new Call(dialog.callId, dialog);
    this.run(call, this.place(call, dialog));
  }

  /** A call from WhatsApp: calls the PBX, and accepts when the PBX answers. */
  async take(call, caller, metaOffer) {
    const ids = { "call-id": call.id, "from-tag": "whatsapp" };
    // No media to WhatsApp before the call is accepted: WhatsApp treats the first packet as acceptance.
    const offered = await this.trestle.offer({ ...ids, sdp: metaOffer, "transport-protocol": "RTP/AVP", gate: "shut" });
    if (call.terminated.happened) return;
    call.dialog = this.sip.call(settings.extension, caller, offered.sdp);
    let response;
    do response = await call.dialog.nextResponse();
    while (response.status < 200);
    if (response.status >= 300) return;
    const answered = await this.trestle.answer({ ...ids, "to-tag": "pbx", sdp: response.sdp });
    // ICE and DTLS run after `pre_accept`, so that media flows at once after `accept`.
    for (const action of ["pre_accept", "accept"]) {
      if (call.terminated.happened) return;
      await graph.act(call.id, action, answered.sdp);
    }
    call.accepted = true;
    await this.trestle.gate(call.id, "open"); // Trestle first plays the audio of the PBX since its answer
    await call.dialog.over.promise;
  }

  /** A call from the PBX: calls the WhatsApp user, and answers the PBX when the user has accepted. */
  async place(call, dialog) {
    const ids = { "call-id": call.id, "from-tag": "pbx" };
    // WhatsApp's answer arrives while the user's phone rings. No media is sent before the user accepts.
    const offered = await this.trestle.offer({ ...ids, sdp: dialog.invite.body, profile: "whatsapp", gate: "shut" });
    if (dialog.over.happened) return;
    call.graphId = graph.connect(dialog.callee, offered.sdp);
    const graphId = await call.graphId;
    this.calls.set(graphId, call);
    let answer;
    const settled = happening();
    call.onEvent = async (kind, sdp) => {
      if (kind === "RINGING") dialog.respond(180);
      if (kind === "REJECTED") {
        dialog.respond(486);
        call.terminated.happen();
      }
      if (kind === "ACCEPTED") call.accepted = true;
      if (kind === "connect") {
        try {
          answer = (await this.trestle.answer({ ...ids, "to-tag": "whatsapp", sdp })).sdp;
        } catch (error) {
          return settled.happen(error);
        }
      }
      if (answer && call.accepted) settled.happen();
    };
    for (const event of this.early.get(graphId) ?? []) call.onEvent(...event);
    this.early.delete(graphId);
    if (this.over.has(graphId)) call.terminated.happen();
    const error = await settled.promise;
    if (error) throw error;
    await this.trestle.gate(call.id, "open");
    if (dialog.over.happened) return;
    dialog.respond(200, answer);
    await dialog.over.promise;
  }

  /** Runs a call until `life` ends or a side hangs up; ends the other side and the call in Trestle. */
  async run(call, life) {
    const failed = (error) => console.error(`${call.id}: ${error}`);
    const ends = [life.catch(failed), call.terminated.promise];
    if (call.dialog) ends.push(call.dialog.over.promise); // from the PBX; for a call to the PBX, `life` reads responses
    await Promise.race(ends);
    // End the sides that have not ended themselves.
    call.dialog?.hangUp();
    await Promise.all([this.trestle.delete(call.id).catch(failed), this.leave(call).catch(failed)]);
  }

  /** Ends WhatsApp's side, if it exists and has not ended itself. */
  async leave(call) {
    const graphId = await Promise.resolve(call.graphId).catch(() => undefined);
    if (!graphId) return;
    this.remember(graphId);
    this.calls.delete(graphId);
    if (!call.terminated.happened) await graph.act(graphId, call.fromWhatsapp && !call.accepted ? "reject" : "terminate");
  }

  remember(graphId) {
    this.over.add(graphId);
    this.early.delete(graphId);
    bound(this.over);
  }
}

/** The web hook. It answers a delivery before it processes it, because Meta repeats unanswered deliveries. */
function webServer(bridge) {
  return createServer(async (request, response) => {
    const url = new URL(request.url, "http://hook");
    if (request.method === "GET") {
      // Meta verifies the web hook once.
      const ours = url.searchParams.get("hub.verify_token") === settings.verifyToken;
      response.statusCode = ours ? 200 : 403;
      response.end(ours ? url.searchParams.get("hub.challenge") : "");
      return;
    }
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const signature = Buffer.from(`sha256=${createHmac("sha256", settings.appSecret).update(body).digest("hex")}`);
    const claimed = Buffer.from(request.headers["x-hub-signature-256"] ?? "");
    const genuine = signature.length === claimed.length && timingSafeEqual(signature, claimed);
    response.writeHead(genuine ? 200 : 403).end();
    if (genuine) bridge.webHook(JSON.parse(body));
  });
}

const bridge = new Bridge(await Client.open(settings.trestle));
await bridge.trestle.ping();
bridge.sip = await Agent.open(settings.sip, settings.pbx, (dialog) => bridge.callFromPbx(dialog));
const web = webServer(bridge).listen(settings.listen.port, settings.listen.host, () => {
  const { address: host, port } = web.address();
  console.log(`ready: web hook ${host}:${port}, SIP ${bridge.sip.contact}`);
});
