import { EventEmitter } from "node:events";
import type { Answer, Block, CallEvent, CallReply, Connect, Counters, Create, CreateAnswer, Delete, DeleteReply, Gate, GateReply, Offer, PlayDtmf, Query, SdpReply } from "./ng.js";

export * from "./ng.js";

/** Any failure of a request. */
export class TrestleError extends Error {}

/** Nobody answered, however often the request was sent. Whether it was carried out is not known. */
export class NoReply extends TrestleError {}

/** Trestle answered with an error. Nothing was changed by the request. */
export class Refused extends TrestleError {
  readonly command: string;
  /** As Trestle says it. The part before a colon never changes. */
  readonly reason: string;
  readonly warnings: string[];
}

/** There is no such call, or it is over. */
export class UnknownCall extends Refused {}

/** No room for this call; another Trestle may have some. */
export class NoCapacity extends Refused {}

/** The party that a request means, by tag, label or address; with the flag `all`, or without a party, everybody. */
export type Whom = Omit<Block, "command" | "call-id">;

export interface ClientOptions {
  /** 127.0.0.1 if not said. */
  host?: string;
  /** 2223 if not said. */
  port?: number;
  /** After this long without a reply a request is sent again, with the same cookie, so that it is carried out once; 1000 if not said. */
  timeoutMs?: number;
  /** How often it is sent in all; 5 if not said. */
  tries?: number;
  /** Gets what Trestle did not understand or does not do; logs it if not said. */
  onWarning?: (request: object, warning: string) => void;
}

/**
 * A client of one Trestle. All methods reject with `Refused` (or `UnknownCall`, `NoCapacity`) if Trestle says no, and with
 * `NoReply` if it says nothing.
 */
export class Client {
  private constructor();
  /** Sends nothing yet. */
  static open(options?: ClientOptions): Promise<Client>;
  /** Ends all requests that still wait, with `NoReply`. */
  close(): void;
  /** Whether Trestle is there. */
  ping(): Promise<void>;
  /** Hands in the offer of the party `from-tag`; the reply's `sdp` is the offer for the other party. */
  offer(keys: Omit<Offer, "command">): Promise<SdpReply>;
  /** Hands in the answer of the party `to-tag`; the reply's `sdp` is the answer for `from-tag`, which offered. */
  answer(keys: Omit<Answer, "command">): Promise<SdpReply>;
  /** Makes an offer for the party `from-tag`; whom it talks to is said later by `connect`. */
  create(keys: Omit<Create, "command">): Promise<SdpReply>;
  /** Hands in the answer to what `create` gave. */
  createAnswer(keys: Omit<CreateAnswer, "command">): Promise<void>;
  /** Ends a call. That there was none is no error, but a `warning` in the reply, unless `flags` has `fatal`. */
  delete(callId: string, keys?: Omit<Delete, "command" | "call-id">): Promise<DeleteReply>;
  /** What is known of a call; with the flag `verbose` everything. */
  query(callId: string, keys?: Omit<Query, "command" | "call-id">): Promise<CallReply>;
  /** Call-ids, the oldest first; 32 if not said how many. */
  list(limit?: number): Promise<string[]>;
  /** Counters since Trestle's start. */
  statistics(): Promise<Counters>;
  /** Presses a key for the party of `from-tag`, `label` or `address`; the other side hears it. */
  playDtmf(callId: string, keys: Omit<PlayDtmf, "command" | "call-id">): Promise<void>;
  /** Keeps a party's digits from the others; everybody's, if nobody is named. */
  blockDtmf(callId: string, whom?: Whom): Promise<void>;
  unblockDtmf(callId: string, whom?: Whom): Promise<void>;
  /** Keeps a party's audio and digits from the others; everybody's, if nobody is named. */
  blockMedia(callId: string, whom?: Whom): Promise<void>;
  unblockMedia(callId: string, whom?: Whom): Promise<void>;
  /** Puts silence in the place of a party's audio; everybody's, if nobody is named. */
  silenceMedia(callId: string, whom?: Whom): Promise<void>;
  unsilenceMedia(callId: string, whom?: Whom): Promise<void>;
  /** Two parties of a call hear each other, and nobody else; without a new SDP. */
  connect(callId: string, tags: Pick<Connect, "from-tag" | "to-tag" | "to-call-id">): Promise<void>;
  /** Lets media leave towards WhatsApp (once the call is accepted), or nothing any more (once it is over). */
  gate(callId: string, op: Gate["op"], keys?: Omit<Gate, "command" | "call-id" | "op">): Promise<GateReply>;
  /** The events of all calls, or of one, from now on; renewed until the feed is closed. */
  subscribeEvents(options?: { callId?: string }): Promise<EventFeed>;
  /** Sends any request, and gives the reply if it is `ok` or `pong`. */
  request(request: { command: string; [key: string]: unknown }): Promise<Record<string, unknown>>;
}

/**
 * The events of all calls, or of one, as they come: as the event `event`, or by `for await`. Datagrams may get lost;
 * `event-webhook` is for those who must not miss any.
 */
export class EventFeed extends EventEmitter {
  private constructor();
  /** Ends the subscription and the iteration. */
  close(): Promise<void>;
  on(event: "event", listener: (event: CallEvent) => void): this;
  [Symbol.asyncIterator](): AsyncIterator<CallEvent>;
}

/** A key that somebody pressed and released. */
export interface Digit {
  callId: string;
  /** One of `0123456789*#ABCD`. */
  digit: string;
  /** Who pressed it. */
  sourceTag: string;
  /** The label of that party, or empty. */
  sourceLabel: string;
  /** All parties of the call. */
  tags: string[];
  durationMs: number;
  volumeDbm0: number;
  /** Unix time, s. */
  timestamp: number;
  sourceIp: string;
}

/** The digits of all calls, as they come: as the event `digit`, or by `for await`. */
export class DigitFeed extends EventEmitter {
  private constructor();
  /** Listens; with port 0, or none, on a free one, see `address`. */
  static listen(options?: { host?: string; port?: number }): Promise<DigitFeed>;
  /** What Trestle's `dtmf-log-dest` has to be. */
  readonly address: { host: string; port: number };
  /** Ends the iteration. */
  close(): void;
  on(event: "digit", listener: (digit: Digit) => void): this;
  [Symbol.asyncIterator](): AsyncIterator<Digit>;
}
