// Compiled, never run: code of a caller, and errors that the compiler must find.

import { Client, DigitFeed, Refused } from "../../index.js";
import type { CallEvent, Offer } from "../../index.js";

export async function call(sdp: string): Promise<number> {
  const client = await Client.open({ port: 2223 });
  const offer: Omit<Offer, "command"> = { "call-id": "c", "from-tag": "a", sdp, profile: "whatsapp", ICE: "force" };
  const { sdp: offered } = await client.offer(offer);
  await client.answer({ "call-id": "c", "from-tag": "a", "to-tag": "b", sdp: offered });
  await client.create({ "call-id": "d", "from-tag": "expert", codec: { strip: ["opus"] } });
  await client.createAnswer({ "call-id": "d", "from-tag": "expert", sdp });
  await client.connect("c", { "from-tag": "a", "to-tag": "expert", "to-call-id": "d" });
  await client.playDtmf("c", { "from-tag": "b", code: "5", duration: 160 });
  await client.blockDtmf("c", { label: "caller" });
  const ids: string[] = await client.list(5);

  // @ts-expect-error: from-tag is missing
  await client.offer({ "call-id": "c", sdp });
  // @ts-expect-error: there is no such profile
  await client.create({ "call-id": "d", "from-tag": "x", profile: "telegram" });
  // @ts-expect-error: a tag is text
  await client.connect("c", { "from-tag": 1, "to-tag": "b" });
  // @ts-expect-error: the SDP of a reply is text
  const wrong: number = offered;
  return ids.length + wrong;
}

export async function listen(): Promise<string> {
  const feed = await DigitFeed.listen();
  feed.on("digit", ({ digit, durationMs }) => `${digit.toUpperCase()} ${durationMs.toFixed(0)}`);
  for await (const { digit } of feed) return digit;
  return "";
}

export function reason(error: unknown): string {
  return error instanceof Refused ? error.reason : "";
}

export function about(event: CallEvent): string {
  return event["call-id"];
}
