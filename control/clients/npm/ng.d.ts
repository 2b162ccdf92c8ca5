// Written from control/ng/schema/*.json by control/ng/schema/write_types.py; do not edit.

/** A member of `flags` that is acted on. Which message it belongs in, and what it does: docs/FLAGS.md. */
export type Word =
  | "all"
  | "always-transcode"
  | "asymmetric"
  | "block-DTMF"
  | "fast"
  | "fatal"
  | "full-rtcp-attribute"
  | "generate-mid"
  | "inject-DTMF"
  | "loop-protect"
  | "new-branch"
  | "no-codec-renegotiation"
  | "no-rtcp-attribute"
  | "original-sendrecv"
  | "pad-crypto"
  | "reject-ICE"
  | "reuse-codecs"
  | "single-codec"
  | "SIP-source-address"
  | "symmetric"
  | "to-tag"
  | "trust-address"
  | "verbose"
  | "verdict"
  | "WebRTC"

export type Protocol =
  | "RTP/AVP"
  | "RTP/AVPF"
  | "RTP/SAVP"
  | "RTP/SAVPF"
  | "UDP/TLS/RTP/SAVP"
  | "UDP/TLS/RTP/SAVPF"

export type EventName =
  | "call.opened"
  | "call.answered"
  | "call.ice.connected"
  | "call.dtls.connected"
  | "call.gate.opened"
  | "call.gate.closed"
  | "call.gate.timed-out"
  | "call.media.first-in"
  | "call.media.first-out"
  | "call.caught-up"
  | "call.dtmf"
  | "call.at-risk"
  | "call.recovered"
  | "call.leg.failed"
  | "call.media.timeout"
  | "call.ended"

export interface Ping {
  command: "ping";
}

/** Codecs as `opus/48000/2`, `PCMA`, or `all`. */
export interface Codec {
  strip?: string[];
  except?: string[];
  offer?: string[];
  transcode?: string[];
  mask?: string[];
  consume?: string[];
  accept?: string[];
  ignore?: string[];
  set?: string[];
}

/** What `offer` and `answer` can say about the SDP that is given back and about the legs. */
export interface Options {
  /** Whose rules apply to the receiver of the SDP given back. Found from the SDP and the other keys if not said. */
  profile?: "whatsapp" | "sip" | "webrtc";
  /** Of the SDP given back. `accept` (answers): hand on the answerer's change. */
  "transport-protocol"?: Protocol | "accept";
  /** In the SDP given back. */
  ICE?: "default" | "remove" | "force" | "force-relay" | "optional" | "trickle";
  /** Off, or which role is preferred. */
  DTLS?: "off" | "no" | "disable" | "passive" | "active";
  /** Hash of our fingerprint; `sha-256` if not said. */
  "DTLS-fingerprint"?: string;
  /** `off`, `prefer`, `nonew`, `pad`, `lifetime`, `static`, `no-SUITE`, `only-SUITE`, `order:SUITE;SUITE`, `offerer_pref:SUITE;SUITE`. */
  SDES?: string[];
  "rtcp-mux"?: ("offer" | "require" | "demux" | "accept" | "reject")[];
  bundle?: ("accept" | "offer" | "require" | "strict" | "reject")[];
  replace?: ("origin" | "origin-full" | "session-name" | "username" | "SDP-version" | "force-increment-sdp-ver" | "zero-address" | "session-connection")[];
  /** Codecs as `opus/48000/2`, `PCMA`, or `all`. */
  codec?: Codec;
  /** Packet time towards the receiver, ms. */
  ptime?: number;
  /** Packet time towards the sender, ms. */
  "ptime-reverse"?: number;
  /** Logical interfaces: towards the sender, towards the receiver. */
  direction?: string[];
  /** One logical interface for both. */
  interface?: string;
  "from-interface"?: string;
  "to-interface"?: string;
  /** Of the SDP given back. */
  "address-family"?: "IP4" | "IP6";
  /** Where the sender's media comes from, whatever its SDP says. */
  "media-address"?: string;
  /** Where the signalling came from; used with the flag `SIP-source-address`. */
  "received-from"?: string | string[];
  "endpoint-learning"?: "delayed" | "immediate" | "heuristic" | "off";
  /** A name for the sender, for `query` and the digit feed. */
  label?: string;
  /** A name for the receiver. */
  "to-label"?: string;
  /** DSCP byte of the call; negative: as it is. */
  TOS?: number;
  /** Whether media may leave towards WhatsApp; shut until the exchange is complete, or not at all. */
  gate?: "shut" | "open";
  /** How long the gate may stay shut once the exchange is complete, s. */
  "gate-timeout"?: number;
  /** How it stands after that. */
  "gate-on-timeout"?: "shut" | "open";
  /** How much audio is kept for WhatsApp before it can be sent, ms. */
  "pre-roll"?: number;
  /** What WhatsApp gets when there is nothing to pass on. */
  filler?: "comfort-noise" | "silence" | "hold-tone" | "none";
  /** Keep all media of the call from everybody, or let it through again. */
  "drop-traffic"?: "start" | "stop";
  /** Tells forks and retries of one request apart. */
  "via-branch"?: string;
  /** `load limit`: a full Trestle may say so in `result`. */
  supports?: "load limit"[];
  /** Words without a value. Keys that have one may be written here too, as `ICE-remove` or `ICE=remove`. */
  flags?: (Word | (string & {}))[];
  /** All options and flags in one string. */
  "rtpp-flags"?: string;
}

/** One party's offer goes in, the offer for the other party comes back. Opens the call, or changes it. */
export interface Offer extends Options {
  command: "offer";
  "call-id": string;
  /** Whose SDP this is. */
  "from-tag": string;
  /** Who receives it, if known (re-offers). */
  "to-tag"?: string;
  /** A session description (RFC 8866), lines ended by CR LF. */
  sdp: string;
}

/** The other party's answer goes in, the answer for the party that offered comes back. May come more than once. */
export interface Answer extends Options {
  command: "answer";
  "call-id": string;
  /** Who offered. */
  "from-tag": string;
  /** Whose SDP this is. */
  "to-tag": string;
  /** A session description (RFC 8866), lines ended by CR LF. */
  sdp: string;
}

export interface Query {
  command: "query";
  "call-id": string;
  /** Checked; a tag that the call does not have earns a warning. */
  "from-tag"?: string;
  "to-tag"?: string;
  /** `verbose`: everything, even if the reply grows beyond 1,200 bytes. `verdict`: `verdict` in full, without `tags`; of the last 1,000 calls that have ended, too. */
  flags?: (Word | (string & {}))[];
}

export interface List {
  command: "list";
  /** 32 if not said. */
  limit?: number;
}

export interface Statistics {
  command: "statistics";
}

/** Presses a key for one party; the other hears it. Needs `label`, `address` or `from-tag`. */
export interface PlayDtmf {
  command: "play DTMF";
  "call-id": string;
  /** Who seems to press it. */
  "from-tag"?: string;
  /** The same by label. */
  label?: string;
  /** The same by the media address of its SDP. */
  address?: string;
  /** Only this party hears it. */
  "to-tag"?: string;
  /** The key as its name (`5`, `*`, `#`, `A`) or as the number of its event (10 is `*`). */
  code?: string | number;
  /** Another spelling of `code`. */
  digit?: string | number;
  /** ms, 100 to 5,000; 250 if not said. */
  duration?: number;
  /** -dBm0, with or without the minus; 8 if not said. */
  volume?: number;
  /** Not done; a warning says so. */
  pause?: number;
  /** Words without a value. Keys that have one may be written here too, as `ICE-remove` or `ICE=remove`. */
  flags?: (Word | (string & {}))[];
}

/** `block` keeps the digits, or audio and digits, of a party from the others; `silence` puts silence in the place of its audio. Without a party, or with the flag `all`: of everybody. */
export interface Block {
  command: "block DTMF" | "unblock DTMF" | "block media" | "unblock media" | "silence media" | "unsilence media";
  "call-id": string;
  /** Whose media. */
  "from-tag"?: string;
  /** The same by label. */
  label?: string;
  /** The same by the media address of its SDP. */
  address?: string;
  /** Words without a value. Keys that have one may be written here too, as `ICE-remove` or `ICE=remove`. */
  flags?: (Word | (string & {}))[];
}

/** Two parties of a call, or of two calls, hear each other, and nobody else. No SDP changes. */
export interface Connect {
  command: "connect";
  "call-id": string;
  "from-tag": string;
  "to-tag": string;
  /** The call of `to-tag`, if it is another one. */
  "to-call-id"?: string;
  /** Words without a value. Keys that have one may be written here too, as `ICE-remove` or `ICE=remove`. */
  flags?: (Word | (string & {}))[];
}

/** An offer of our own for one party; whom it talks to is said later by `connect`. */
export interface Create extends Options {
  command: "create";
  "call-id": string;
  /** Who gets the SDP. */
  "from-tag": string;
}

/** The answer to what `create` gave. */
export interface CreateAnswer extends Options {
  command: "create answer";
  "call-id": string;
  /** Whose SDP this is. */
  "from-tag": string;
  /** A session description (RFC 8866), lines ended by CR LF. */
  sdp: string;
}

/** Lets media leave towards WhatsApp, or nothing any more. Without a party: every WhatsApp party of the call. */
export interface Gate {
  command: "gate";
  "call-id": string;
  /** `close` is for ever. */
  op: "open" | "close";
  /** With `open`: what becomes of the audio that was kept; `keep` if not said. */
  "pre-roll"?: "keep" | "drop";
  "from-tag"?: string;
  label?: string;
  /** The media address in the party's SDP. */
  address?: string;
  /** Words without a value. Keys that have one may be written here too, as `ICE-remove` or `ICE=remove`. */
  flags?: (Word | (string & {}))[];
}

/** Events (events.schema.json) come as datagrams to where this request came from. Again renews. */
export interface SubscribeEvents {
  command: "subscribe events";
  /** Only those of this call. */
  "call-id"?: string;
  /** For so many seconds, 300 if not said; 0 ends it. */
  expires?: number;
}

/** Ends the call at once. */
export interface Delete {
  command: "delete";
  "call-id": string;
  /** The call must have this party. */
  "from-tag"?: string;
  /** Looked at with the flag `to-tag` only. */
  "to-tag"?: string;
  /** Ends this branch only, if there are several. */
  "via-branch"?: string;
  /** How long it is still known to `query` and `list`, s; 30 if not said. */
  "delete-delay"?: number;
  /** `fast`: no report. `fatal`: an unknown call is an error. `verbose`: a long report. */
  flags?: (Word | (string & {}))[];
}

export interface PingReply {
  result: "pong";
  /** What was not understood, or not done. JSON callers only. */
  warnings?: string[];
}

export interface SdpReply {
  /** For the other party, unchanged. */
  sdp: string;
  /** What was not understood, or not done. JSON callers only. */
  warnings?: string[];
  result: "ok";
}

/** Where we send to; missing while not known. */
export interface Endpoint {
  family: "IPv4" | "IPv6";
  address: string;
  port: number;
}

export interface Stats {
  packets: number;
  /** Of UDP payload. */
  bytes: number;
  /** Datagrams that should not have come. */
  errors: number;
}

export interface Stream {
  /** Our RTP port. Left out, as `endpoint` is, when room is short. */
  "local port"?: number;
  /** Where we send to; missing while not known. */
  endpoint?: Endpoint;
  /** Of the stream received. */
  SSRC?: number;
  /** Received. */
  stats: Stats;
  /** Sent. */
  stats_out: Stats;
}

export interface Media {
  index: 1;
  type: "audio";
  protocol: Protocol;
  streams: Stream[];
}

/** With the flag `verbose` only. */
export interface Leg {
  /** One line for people. */
  description: string;
  /** Milestones since the call was opened. */
  "timeline-ms": Record<string, number>;
  /** Of everything sent to this party. */
  "local-ssrc": number;
  /** Of the stream received (RFC 3550). */
  "packets-lost": number;
  "jitter-us": number;
  /** How long a missing frame is waited for, on the way to this party. */
  "playout-delay-ms": number;
  "concealed-frames": number;
  /** That this party got because there was nothing to pass on. */
  "filled-frames": number;
  /** Audio kept for this party when the first of it was played. */
  "pre-roll-ms": number;
  /** Sound that was lost before it could be sent. */
  "clipped-ms": number;
  /** Until the call was at its normal delay. */
  "caught-up-ms"?: number;
  /** Keys pressed by this party. */
  "digits-in": string;
  /** Keys sent to it. */
  "digits-out": string;
  /** Datagrams that went no further, by reason. */
  discards: Record<string, number>;
  "round-trip-us"?: number;
  "remote-loss-percent"?: number;
}

export interface Party {
  tag: string;
  label?: string;
  medias?: Media[];
  /** With the flag `verbose` only. */
  leg?: Leg;
}

/** What all legs received. */
export interface CallTotals {
  RTP: Stats;
  RTCP: Stats;
}

export interface LegStory {
  tag?: string;
  label?: string;
  profile: "whatsapp" | "sip" | "webrtc";
  /** What the party is sent. */
  codec?: string;
  /** Mean opinion score of what it heard (G.107), tenths. */
  "mos-x10"?: number;
  /** The rating behind it. */
  r?: number;
  /** Media taken from the party. */
  "packets-in": number;
  /** Media sent to it. */
  "packets-out": number;
  /** Of a thousand of its packets, those that never came. */
  "loss-permille": number;
  "jitter-ms": number;
  /** Made up for lost ones on the way to it. */
  "concealed-frames": number;
  /** That it got because there was nothing to pass on. */
  "filled-frames": number;
  /** Audio kept when the first of it was played. */
  "pre-roll-ms": number;
  /** Sound that was lost before it could be sent. */
  "clipped-ms": number;
  /** Until the call was at its normal delay. */
  "caught-up-ms"?: number;
  "round-trip-ms"?: number;
  /** From the answer, or from when its gate was opened, until it got media. */
  "first-media-after-ms"?: number;
  /** Of our packets, as it last reported. */
  "remote-loss-percent"?: number;
  /** Keys that it pressed. */
  "digits-in"?: string;
  /** Keys that were sent to it. */
  "digits-out"?: string;
}

export interface Moment {
  /** Since the call was opened. */
  ms: number;
  /** Whose leg; missing for the call as a whole. */
  who?: string;
  /** For people. */
  what: string;
}

/** What the call was like and why it ended. In short replies only up to `hints`, and missing if there is no room in 1,200 bytes. */
export interface Verdict {
  /** In a word; `none`: there was nothing to judge. */
  grade: "none" | "good" | "fair" | "bad";
  /** Why it ended, as far as its media tells. */
  cause: "running" | "unanswered" | "too_short" | "normal" | "ice_never_connected" | "dtls_stuck" | "fingerprint_mismatch" | "gate_never_opened" | "gate_opened_late" | "media_to_whatsapp_late" | "no_media_to_whatsapp" | "media_to_whatsapp_stopped" | "no_media_from_whatsapp" | "whatsapp_fell_silent" | "consent_lost" | "one_way" | "sip_side_gone" | "no_media" | "held_too_long" | "internal_error";
  /** Mean opinion score of what the worse-off party heard (G.107), tenths. Missing if too little was heard. */
  "mos-x10"?: number;
  /** The error of Meta's that it fits. */
  "meta-code"?: 138020 | 138021 | 138022 | 138023;
  /** The status with which WhatsApp ends a SIP call for that. */
  "sip-code"?: 408;
  /** What else is worth knowing. */
  hints?: ("sip_ack_timeout_suspected" | "slow_media_setup" | "clipped" | "media_interrupted" | "packet_loss" | "wrong_keys" | "foreign_source" | "unknown_payload_type")[];
  /** One sentence. */
  summary?: string;
  /** When it was answered, since it was opened. */
  "answered-ms"?: number;
  /** How long it has existed. */
  "age-ms"?: number;
  /** What ended it; missing while it goes on. */
  ended?: "deleted" | "offer_timeout" | "media_timeout" | "silent_timeout" | "failed";
  /** Whose tag `delete` named. */
  "ended-by"?: string;
  /** How the cause is known. */
  evidence?: string[];
  /** What to do about it. */
  advice?: string;
  /** All of it in a paragraph. */
  explanation?: string;
  /** How each party fared. */
  legs?: LegStory[];
  /** What happened, in order. */
  timeline?: Moment[];
}

export interface CallReply {
  /** Unix time of the first offer, s. */
  created: number;
  /** By tag. Missing if there is no room in 1,200 bytes. */
  tags?: Record<string, Party>;
  /** What all legs received. */
  totals: CallTotals;
  /** What the call was like and why it ended. In short replies only up to `hints`, and missing if there is no room in 1,200 bytes. */
  verdict?: Verdict;
  /** What was not understood, or not done. JSON callers only. */
  warnings?: string[];
  result: "ok";
}

export interface ListReply {
  /** Call-ids, the oldest first. */
  calls: string[];
  /** What was not understood, or not done. JSON callers only. */
  warnings?: string[];
  result: "ok";
}

/** Counters since the start. */
export interface Counters {
  currentstatistics: Record<string, number>;
  totalstatistics: Record<string, number>;
  /** Requests by verb, `errors`, `retransmits`. */
  controlstatistics: Record<string, number>;
  /** Datagrams that went no further, by reason. */
  discards: Record<string, number>;
}

export interface StatisticsReply {
  /** Counters since the start. */
  statistics: Counters;
  /** What was not understood, or not done. JSON callers only. */
  warnings?: string[];
  result: "ok";
}

export interface DoneReply {
  /** What was not understood, or not done. JSON callers only. */
  warnings?: string[];
  result: "ok";
}

export interface GateReply {
  /** How it stands. */
  gate: "open" | "closed";
  /** What was not understood, or not done. JSON callers only. */
  warnings?: string[];
  result: "ok";
}

export interface SubscribeEventsReply {
  /** s */
  expires: number;
  /** What was not understood, or not done. JSON callers only. */
  warnings?: string[];
  result: "ok";
}

/** The report is missing with the flag `fast`, and where there was no such call. */
export interface DeleteReply {
  /** There was no such call. */
  warning?: string;
  created?: number;
  tags?: Record<string, Party>;
  /** What all legs received. */
  totals?: CallTotals;
  /** What the call was like and why it ended. In short replies only up to `hints`, and missing if there is no room in 1,200 bytes. */
  verdict?: Verdict;
  /** What was not understood, or not done. JSON callers only. */
  warnings?: string[];
  result: "ok";
}

/** The part of `error-reason` before a colon never changes; the rest is for people. `load limit` comes only to callers that support it; with it, as with `Ran out of ports` and `Parallel session limit reached`, another node may be tried. */
export interface Refusal {
  result: "error" | "load limit";
  "error-reason"?: string;
  message?: string;
  /** What was not understood, or not done. JSON callers only. */
  warnings?: string[];
}

/** One datagram of the digit feed (`dtmf-log-dest`): a key was pressed and released. */
export interface DigitLine {
  callid: string;
  /** Who pressed it. */
  source_tag: string;
  /** The label of that party, or empty. */
  source_label: string;
  /** All parties. */
  tags: string[];
  type: "DTMF";
  /** Unix time, s. */
  timestamp: number;
  source_ip: string;
  /** 0 to 9, 10 is `*`, 11 is `#`, 12 to 15 are A to D (RFC 4733). */
  event: number;
  /** ms */
  duration: number;
  /** -dBm0 */
  volume: number;
}

export interface EndedLeg {
  /** SIP tag of the party; missing for a callee that has not answered. */
  tag?: string;
  /** Its label, if it was given one. */
  label?: string;
  /** Media packets received from the party. */
  "packets-in": number;
  /** Media packets sent to it. */
  "packets-out": number;
  /** Packets of its stream that were lost; negative if some came twice. */
  "packets-lost": number;
  /** Frames concealed on the way to it, in place of lost ones. */
  "concealed-frames": number;
  /** Frames of filler sent to it, because there was nothing to forward. */
  "filled-frames": number;
  /** Audio that was kept when the first of it was played. */
  "pre-roll-ms": number;
  /** Audio that was lost because it came before it could be sent. */
  "clipped-ms": number;
  /** Time until the delay of the call was normal; missing if it never was, or nothing was kept. */
  "caught-up-ms"?: number;
}

/** The quality of the call and why it ended. */
export interface EndedVerdict {
  /** Overall; `none`: there was too little to judge. */
  grade: "none" | "good" | "fair" | "bad";
  /** Why the call ended, as far as its media shows. */
  cause: "running" | "unanswered" | "too_short" | "normal" | "ice_never_connected" | "dtls_stuck" | "fingerprint_mismatch" | "gate_never_opened" | "gate_opened_late" | "media_to_whatsapp_late" | "no_media_to_whatsapp" | "media_to_whatsapp_stopped" | "no_media_from_whatsapp" | "whatsapp_fell_silent" | "consent_lost" | "one_way" | "sip_side_gone" | "no_media" | "held_too_long" | "internal_error";
  /** Estimated mean opinion score (E-model, G.107) of the party that received the worse audio, tenths. Missing if too little was received. */
  "mos-x10"?: number;
  /** The error code of Meta that matches. */
  "meta-code"?: 138020 | 138021 | 138022 | 138023;
  /** The SIP status with which WhatsApp ends a SIP call for that. */
  "sip-code"?: 408;
  /** Further findings. */
  hints?: ("sip_ack_timeout_suspected" | "slow_media_setup" | "clipped" | "media_interrupted" | "packet_loss" | "wrong_keys" | "foreign_source" | "unknown_payload_type")[];
  /** One sentence. */
  summary: string;
}

export interface CallEvent {
  event: EventName;
  /** Rises with every event of this Trestle, restarts included; the same in every copy. */
  "event-id": number;
  /** Unix time. */
  "time-ms": number;
  "call-id": string;
  /** SIP tag of the party, if the event is about one that has a tag. */
  tag?: string;
  /** Label of the party, if it was given one. */
  label?: string;
  /** Since the call was opened. */
  "after-ms": number;
  /** `call.gate.timed-out`: state of the gate from now on. */
  gate?: "shut" | "open";
  /** `call.dtmf`: the key. */
  digit?: "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "*" | "#" | "A" | "B" | "C" | "D";
  /** `call.dtmf`: how long it was pressed. */
  "duration-ms"?: number;
  /** `call.dtmf`: power, -dBm0. */
  volume?: number;
  /** `call.at-risk`, `call.recovered`: what is, or was, wrong. */
  risk?: "nothing-sent" | "nothing-received" | "fell-silent" | "ice-stuck" | "dtls-stuck" | "sip-gone" | "one-way";
  /** `call.at-risk`: the last milestone of the party's leg. */
  stage?: "opened" | "remote-known" | "first-check" | "ice-connected" | "dtls-connected" | "latched" | "first-media-in" | "first-media-out" | "gate-opened" | "caught-up";
  /** `call.at-risk`: how long it has lasted. */
  "lasted-ms"?: number;
  /** `call.at-risk`, `call.leg.failed`: explanation, a sentence. */
  reason?: string;
  /** `call.ended`: what ended it. */
  cause?: "deleted" | "offer_timeout" | "media_timeout" | "silent_timeout" | "failed";
  /** `call.ended`: its parties. */
  legs?: EndedLeg[];
  /** `call.ended`: the verdict on the call. */
  verdict?: EndedVerdict;
}
