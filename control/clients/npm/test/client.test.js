// Tests of the client with a running Trestle.

import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Signer } from "../signature.js";
import { Client, DigitFeed, NoCapacity, NoReply, Refused, UnknownCall } from "../index.js";
import { mediaPort, sdp, start, udp } from "./server.js";

async function connect(t, flags = [], options = {}) {
  const client = await Client.open({ ...(await start(t, ...flags)), ...options });
  t.after(() => client.close());
  return client;
}

/** Returns the ports for the answering and the offering party. */
async function makeCall(client, callId, options = {}) {
  const offered = await client.offer({ "call-id": callId, "from-tag": "a", sdp: sdp(4000), ...options });
  const answered = await client.answer({ "call-id": callId, "from-tag": "a", "to-tag": "b", sdp: sdp(4002) });
  return [mediaPort(offered.sdp), mediaPort(answered.sdp)];
}

test("a call from offer to delete", async (t) => {
  const warnings = [];
  const client = await connect(t, [], { onWarning: (_, warning) => warnings.push(warning) });
  await client.ping();
  const ports = await makeCall(client, "c1", { label: "caller", "transport-protocol": "RTP/AVP", ICE: "remove" });
  assert.deepEqual(await client.list(), ["c1"]);
  const { tags } = await client.query("c1", { flags: ["verbose"] });
  assert.deepEqual(["b", "a"].map((tag) => tags[tag].medias[0].streams[0]["local port"]), ports);
  assert.equal(tags.a.label, "caller");
  assert.equal((await client.statistics()).currentstatistics.sessionsown, 1);
  assert.deepEqual(await client.drain({ grace: 600 }), { calls: 1, grace: 600, result: "ok" });
  assert.equal((await client.drain({ op: "stop" })).calls, 1);
  const deleted = await client.delete("c1", { "from-tag": "a", "delete-delay": 0 });
  assert.equal(deleted.totals.RTP.packets, 0);
  assert.deepEqual(await client.list(), []);
  assert.deepEqual(warnings, []);
});

test("concurrent requests each get their own reply", async (t) => {
  const client = await connect(t);
  const ids = Array.from({ length: 20 }, (_, n) => `c${n}`);
  await Promise.all(ids.map((id) => makeCall(client, id)));
  assert.deepEqual((await client.list(50)).sort(), ids.sort());
});

test("refusals are typed and carry the reason", async (t) => {
  const client = await connect(t);
  await assert.rejects(client.query("absent"), (error) => {
    assert.ok(error instanceof UnknownCall && error instanceof Refused);
    assert.equal(error.reason, "Unknown call-id");
    return true;
  });
  const rubbish = client.offer({ "call-id": "c1", "from-tag": "a", sdp: "v=0\r\nrubbish\r\n" });
  await assert.rejects(rubbish, (error) => error instanceof Refused && error.reason.startsWith("Failed to parse SDP: "));
  await assert.rejects(client.delete("absent", { flags: ["fatal"] }), UnknownCall);
  assert.ok((await client.delete("absent")).warning);
  await assert.rejects(client.request({ command: "dance" }), (error) => error.warnings[0].includes("dance"));
});

test("a full Trestle refuses calls with both texts", async (t) => {
  const client = await connect(t, ["--max-sessions=1"]);
  await makeCall(client, "c1");
  for (const options of [{}, { supports: ["load limit"] }]) {
    await assert.rejects(makeCall(client, "c2", options), (error) => {
      assert.ok(error instanceof NoCapacity);
      assert.equal(error.reason, "Parallel session limit reached");
      return true;
    });
  }
});

test("warnings are passed to the callback and the reply", async (t) => {
  const warnings = [];
  const client = await connect(t, [], { onWarning: (_, warning) => warnings.push(warning) });
  const offered = await client.offer({ "call-id": "c1", "from-tag": "a", sdp: sdp(4000), flags: ["no-such-flag"] });
  assert.deepEqual(warnings, ["unknown flag `no-such-flag` ignored"]);
  assert.deepEqual(offered.warnings, warnings);
});

test("an existing call accepts digits, blocks and connections", async (t) => {
  const client = await connect(t);
  await makeCall(client, "c1", { label: "caller" });
  await client.playDtmf("c1", { "from-tag": "a", code: "5", duration: 100 });
  await client.blockDtmf("c1", { label: "caller" });
  await client.unblockDtmf("c1", { label: "caller" });
  await client.blockMedia("c1", { "from-tag": "b" });
  await client.unblockMedia("c1", { "from-tag": "b" });
  await client.silenceMedia("c1");
  await client.unsilenceMedia("c1", { flags: ["all"] });
  await client.connect("c1", { "from-tag": "a", "to-tag": "b" });
  await assert.rejects(client.playDtmf("c1", { "from-tag": "a", code: "E" }), /Out of range 'code' specified/);
  await assert.rejects(client.blockMedia("absent"), UnknownCall);
});

test("parties are created one by one and connected", async (t) => {
  const client = await connect(t);
  for (const [n, tag] of ["a", "b"].entries()) {
    const created = await client.create({ "call-id": "c1", "from-tag": tag, codec: { strip: ["opus"] } });
    assert.ok(mediaPort(created.sdp));
    await client.createAnswer({ "call-id": "c1", "from-tag": tag, sdp: sdp(4000 + 2 * n) });
  }
  await client.connect("c1", { "from-tag": "a", "to-tag": "b" });
});

test("a gate is opened, and each subscriber gets the event", async (t) => {
  const client = await connect(t);
  const events = await client.subscribeEvents({ callId: "c1" });
  const others = await client.subscribeEvents({ callId: "c2" });
  await client.offer({ "call-id": "c1", "from-tag": "a", sdp: sdp(4000), profile: "whatsapp", gate: "shut", filler: "silence" });
  assert.equal((await client.gate("c1", "open", { "pre-roll": "drop" })).gate, "open");
  assert.equal((await client.gate("c1", "close")).gate, "closed");
  await assert.rejects(client.gate("c1", "open"), (error) => error instanceof Refused && /^Gate is closed: /.test(error.reason));
  await client.delete("c1", { flags: ["fast"] });
  const names = [];
  for await (const event of events) {
    names.push(event.event);
    assert.equal(event["call-id"], "c1");
    if (event.event === "call.ended") break;
  }
  assert.deepEqual(names, ["call.opened", "call.gate.opened", "call.gate.closed", "call.ended"]);
  await events.close();
  await others.close();
});

test("a pressed key arrives in the feed", async (t) => {
  const feed = await DigitFeed.listen();
  t.after(() => feed.close());
  const client = await connect(t, [`--dtmf-log-dest=${feed.address.host}:${feed.address.port}`]);
  const [caller, callee] = [await udp(t), await udp(t)];
  await client.offer({ "call-id": 'say "hi"', "from-tag": "a", label: "caller", sdp: sdp(caller.address().port) });
  const answered = await client.answer({
    "call-id": 'say "hi"', "from-tag": "a", "to-tag": "b", sdp: sdp(callee.address().port),
  });
  const stranger = await udp(t);
  stranger.send('{"type":"DTMF"}', feed.address.port, feed.address.host);
  press(caller, mediaPort(answered.sdp), { event: 11, durationMs: 100 });
  for await (const digit of feed) {
    assert.deepEqual([digit.callId, digit.digit, digit.sourceTag, digit.sourceLabel], ['say "hi"', "#", "a", "caller"]);
    assert.deepEqual([digit.tags, digit.durationMs, digit.volumeDbm0], [["a", "b"], 100, -10]);
    break;
  }
});

/** Sends one key as RFC 4733 events: an update every 20 ms, the end three times. */
function press(phone, port, { event, durationMs }) {
  const updates = durationMs / 20 - 1;
  for (let seq = 1; seq <= updates + 3; seq++) {
    const packet = Buffer.alloc(16);
    packet.writeUInt16BE(0x8000 | 101 | (seq === 1 ? 0x80 : 0));
    packet.writeUInt16BE(seq, 2);
    packet.writeUInt32BE(1000, 4);
    packet.writeUInt32BE(7, 8);
    packet.writeUInt8(event, 12);
    packet.writeUInt8(10 | (seq > updates ? 0x80 : 0), 13);
    packet.writeUInt16BE(Math.min(seq * 20, durationMs) * 8, 14);
    phone.send(packet, port, "127.0.0.1");
  }
}

/** A server that does not reply. */
async function silent(t) {
  const server = await udp(t);
  const client = await Client.open({ port: server.address().port, timeoutMs: 10, tries: 3 });
  t.after(() => client.close());
  return { server, client };
}

test("a lost request is repeated unchanged", async (t) => {
  const { server, client } = await silent(t);
  const ping = client.ping();
  const [lost] = await once(server, "message");
  const [again, peer] = await once(server, "message");
  assert.deepEqual(again, lost);
  const cookie = again.toString().split(" ")[0];
  for (const reply of ["nonsense", `other {"result":"pong"}`, `${cookie} {"result":"pong"}`, `${cookie} {"result":"error"}`]) {
    server.send(reply, peer.port, peer.address);
  }
  await ping;
});

test("a request without a reply rejects with NoReply after the last repeat", async (t) => {
  const { server, client } = await silent(t);
  const requests = [];
  server.on("message", (request) => requests.push(request.toString()));
  await assert.rejects(client.ping(), NoReply);
  assert.equal(new Set(requests).size, 1);
});

test("closing a client ends its waiting requests", async (t) => {
  const { client } = await silent(t);
  const ping = client.ping();
  client.close();
  await assert.rejects(ping, NoReply);
  await assert.rejects(client.ping(), NoReply);
});

/** A file of its own with this secret, which ends with the test. */
function secretFile(t, secret = "0123456789abcdef0123456789abcdef") {
  const directory = mkdtempSync(join(tmpdir(), "trestle-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "secret");
  writeFileSync(path, `${secret}\n`, { mode: 0o600 });
  return path;
}

test("signed requests and events pass in both directions", async (t) => {
  const path = secretFile(t);
  const address = await start(t, `--ng-secret-file=${path}`);
  const client = await Client.open({ ...address, secretFile: path });
  t.after(() => client.close());
  await client.ping();
  const events = await client.subscribeEvents({ callId: "c1" });
  await client.offer({ "call-id": "c1", "from-tag": "a", sdp: sdp(4000) });
  for await (const event of events) {
    assert.equal(event.event, "call.opened");
    break;
  }
  await events.close();
  await assert.rejects(client.query("absent"), UnknownCall);
  for (const other of [undefined, secretFile(t, "f".repeat(32))]) {
    const stranger = await Client.open({ ...address, secretFile: other, timeoutMs: 50, tries: 2 });
    t.after(() => stranger.close());
    await assert.rejects(stranger.ping(), NoReply);
  }
  const unsigned = await Client.open({ ...(await start(t)), secretFile: path, timeoutMs: 50, tries: 2 });
  t.after(() => unsigned.close());
  await assert.rejects(unsigned.ping(), NoReply);
});

test("a file that others can read is refused", async (t) => {
  const path = secretFile(t);
  chmodSync(path, 0o644);
  await assert.rejects(Client.open({ secretFile: path }), /chmod 600/);
  await assert.rejects(Client.open({ secretFile: secretFile(t, "short") }), /shorter than 32/);
});

test("requests pass over a Unix socket", async (t) => {
  const path = join(mkdtempSync(join(tmpdir(), "trestle-")), "ng.sock");
  t.after(() => rmSync(join(path, ".."), { recursive: true, force: true }));
  const client = await Client.open({ path, timeoutMs: 200, tries: 50 });
  t.after(() => client.close());
  await start(t, `--listen-ng-unix=${path}`);
  await Promise.all(Array.from({ length: 5 }, () => client.ping()));
  const offered = await client.offer({ "call-id": "c1", "from-tag": "a", sdp: sdp(4000) });
  assert.ok(mediaPort(offered.sdp) > 0);
  await assert.rejects(client.subscribeEvents(), /listen-events/);
});

test("the messages of the document have the right signatures", () => {
  const document = readFileSync(new URL("../../../../docs/PROTOCOL.md", import.meta.url), "utf8");
  const section = document.split("### Signed messages")[1].split("\n### ")[0];
  const lines = section.split("\n").filter((line) => line.startsWith("    ")).map((line) => line.trim().split(/ +/));
  const of = (wanted) => lines.filter(([kind]) => kind === wanted).map(([, ...parts]) => parts);
  const signer = new Signer(Buffer.from(of("secret")[0][0]));
  const replies = of("reply");
  for (const [n, [cookie, signature, body]] of of("request").entries()) {
    const time = signature.split(":")[1];
    assert.deepEqual(signer.request(cookie, body, time), { signature, time });
    const [, replySignature, reply] = replies[n];
    const signed = Buffer.from(`${replySignature} ${reply}`);
    assert.equal(signer.reply(cookie, time, signed).toString(), reply);
    assert.equal(signer.reply("other", time, signed), undefined);
    assert.equal(signer.reply(cookie, "1", signed), undefined);
    assert.equal(signer.reply(cookie, time, Buffer.from(reply)), undefined);
  }
  assert.equal(replies.length, 2);
  const [[signature, body]] = of("event");
  const event = Buffer.from(`${signature} ${body}`);
  const now = Number(signature.split(":")[1]);
  assert.equal(signer.event(event, now).toString(), body);
  for (const late of [now + 30_001, now - 30_001]) assert.equal(signer.event(event, late), undefined);
  assert.equal(signer.event(Buffer.from(`${signature} ${body} `), now), undefined);
});
