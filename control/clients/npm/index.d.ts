import { EventEmitter } from "node:events";
import type { Answer, Block, CallEvent, CallReply, Connect, Counters, Create, CreateAnswer, Delete, DeleteReply, Drain, DrainReply, Gate, GateReply, Offer, PlayDtmf, Query, SdpReply } from "./ng.js";

export * from "./ng.js";

/** Base class of all errors of requests. */
export class TrestleError extends Error {}

/** No reply to any of the repeats. It is unknown whether the request was executed. */
export class NoReply extends TrestleError {}

/** Trestle replied with an error. The request changed nothing. */
export class Refused extends TrestleError {
  readonly command: string;
  /** The text of Trestle. The part before a colon never changes. */
  readonly reason: string;
  readonly warnings: string[];
}

/** There is no such call, or it has ended. */
export class UnknownCall extends Refused {}

/** No room for this call; another Trestle may have some. */
export class NoCapacity extends Refused {}

/** Selects a party by tag, label or address. Without any of them, or with the flag `all`, the request applies to all parties. */
export type Target = Omit<Block, "command" | "call-id">;

export interface ClientOptions {
  /** Default: 127.0.0.1. */
  host?: string;
  /** Default: 2223. */
  port?: number;
  /** A Unix socket (`listen-ng-unix`), in place of host and port. */
  path?: string;
  /**
   * File of the shared secret (`ng-secret-file`), with mode 0600. The client then signs its requests, and drops replies and events
   * without a good signature. Default: the variable TRESTLE_NG_SECRET_FILE.
   */
  secretFile?: string;
  /** Time without a reply after which a request is repeated, with the same cookie: Trestle executes it once. Default: 1000. */
  timeoutMs?: number;
  /** How often a request is sent in all. Default: 5. */
  tries?: number;
  /** Called for each option that Trestle did not understand or apply. The default logs it. */
  onWarning?: (request: object, warning: string) => void;
}

/**
 * A client of one Trestle. All methods reject with `Refused` (or `UnknownCall`, `NoCapacity`) if Trestle replies with an error,
 * and with `NoReply` if there is no reply.
 */
export class Client {
  private constructor();
  /** Creates a client. Sends nothing yet. */
  static open(options?: ClientOptions): Promise<Client>;
  /** Ends all waiting requests with `NoReply`. */
  close(): void;
  /** Checks that Trestle is reachable. */
  ping(): Promise<void>;
  /** Sends the offer of the party `from-tag`; `sdp` of the reply is the offer for the other party. */
  offer(keys: Omit<Offer, "command">): Promise<SdpReply>;
  /** Sends the answer of the party `to-tag`; `sdp` of the reply is the answer for `from-tag`. */
  answer(keys: Omit<Answer, "command">): Promise<SdpReply>;
  /** Returns an offer for the party `from-tag`; `connect` later connects it to another party. */
  create(keys: Omit<Create, "command">): Promise<SdpReply>;
  /** Sends the answer to the offer of `create`. */
  createAnswer(keys: Omit<CreateAnswer, "command">): Promise<void>;
  /** Ends a call. An unknown call is a `warning` in the reply, or an error if `flags` has `fatal`. */
  delete(callId: string, keys?: Omit<Delete, "command" | "call-id">): Promise<DeleteReply>;
  /** Returns the state of a call; with the flag `verbose` in full. */
  query(callId: string, keys?: Omit<Query, "command" | "call-id">): Promise<CallReply>;
  /** Returns call-ids, the oldest first; 32, or `limit` of them. */
  list(limit?: number): Promise<string[]>;
  /** Returns counters since the start of Trestle. */
  statistics(): Promise<Counters>;
  /** Refuses new calls, waits for the others, and then ends Trestle; with `op` `stop`, new calls are accepted again. */
  drain(keys?: Omit<Drain, "command">): Promise<DrainReply>;
  /** Sends a digit to the other side, as if the party of `from-tag`, `label` or `address` had pressed it. */
  playDtmf(callId: string, keys: Omit<PlayDtmf, "command" | "call-id">): Promise<void>;
  /** Stops the digits of a party, or of all parties. */
  blockDtmf(callId: string, target?: Target): Promise<void>;
  unblockDtmf(callId: string, target?: Target): Promise<void>;
  /** Stops audio and digits of a party, or of all parties. */
  blockMedia(callId: string, target?: Target): Promise<void>;
  unblockMedia(callId: string, target?: Target): Promise<void>;
  /** Replaces the audio of a party, or of all parties, by silence. */
  silenceMedia(callId: string, target?: Target): Promise<void>;
  unsilenceMedia(callId: string, target?: Target): Promise<void>;
  /** Connects two parties to each other, and to no other party, without a new SDP. */
  connect(callId: string, tags: Pick<Connect, "from-tag" | "to-tag" | "to-call-id">): Promise<void>;
  /** `open` lets media out to WhatsApp, when the call is accepted. `close` stops it for good, when the call has ended. */
  gate(callId: string, op: Gate["op"], keys?: Omit<Gate, "command" | "call-id" | "op">): Promise<GateReply>;
  /** Subscribes to the events of all calls, or of one. Renewed until the feed is closed. */
  subscribeEvents(options?: { callId?: string }): Promise<EventFeed>;
  /** Sends any request, and returns the reply if it is `ok` or `pong`. */
  request(request: { command: string; [key: string]: unknown }): Promise<Record<string, unknown>>;
}

/**
 * The events of all calls, or of one, in order of arrival: as the event `event`, or by `for await`. Datagrams may be lost. An
 * application that needs every event should use `event-webhook`.
 */
export class EventFeed extends EventEmitter {
  private constructor();
  /** Ends the subscription and the iteration. */
  close(): Promise<void>;
  on(event: "event", listener: (event: CallEvent) => void): this;
  [Symbol.asyncIterator](): AsyncIterator<CallEvent>;
}

/** A key that a party pressed and released. */
export interface Digit {
  callId: string;
  /** One of `0123456789*#ABCD`. */
  digit: string;
  /** Tag of the party that pressed it. */
  sourceTag: string;
  /** Label of that party, or empty. */
  sourceLabel: string;
  /** All parties of the call. */
  tags: string[];
  durationMs: number;
  volumeDbm0: number;
  /** Unix time, s. */
  timestamp: number;
  sourceIp: string;
}

/** The digits of all calls, in order of arrival: as the event `digit`, or by `for await`. */
export class DigitFeed extends EventEmitter {
  private constructor();
  /** Opens the socket. Port 0, the default, selects a free port: see `address`. */
  static listen(options?: { host?: string; port?: number }): Promise<DigitFeed>;
  /** The value for `dtmf-log-dest` of Trestle. */
  readonly address: { host: string; port: number };
  /** Ends the iteration. */
  close(): void;
  on(event: "digit", listener: (digit: Digit) => void): this;
  [Symbol.asyncIterator](): AsyncIterator<Digit>;
}
