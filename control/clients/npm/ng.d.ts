// Written from control/ng/schema/*.json by control/ng/schema/write_types.py; do not edit.

/** A member of `flags` that is acted on. Which message it belongs in, and what it does: docs/FLAGS.md. */
export type Word =
  | "all"
  | "always-transcode"
  | "asymmetric"
  | "block-DTMF"
  | "detect-DTMF"
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
  | "strict-source"
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

/** Options of `offer` and `answer` for the returned SDP and for the legs. */
export interface Options {
  /** The rules for the receiver of the returned SDP. Default: found from the SDP and the other keys. */
  profile?: "whatsapp" | "sip" | "webrtc";
  /** Protocol of the returned SDP. `accept` (answers) is not supported and causes a warning. */
  "transport-protocol"?: Protocol | "accept";
  /** ICE in the returned SDP. */
  ICE?: "default" | "remove" | "force" | "force-relay" | "optional" | "trickle";
  /** Off, or the preferred role. */
  DTLS?: "off" | "no" | "disable" | "passive" | "active";
  /** Hash of Trestle's fingerprint; default `sha-256`. */
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
  /** Address family of the returned SDP. */
  "address-family"?: "IP4" | "IP6";
  /** Media address of the sender; overrides the sender's SDP. */
  "media-address"?: string;
  /** Source address of the signalling; used with the flag `SIP-source-address`. */
  "received-from"?: string | string[];
  "endpoint-learning"?: "delayed" | "immediate" | "heuristic" | "off";
  /** A name for the sender, for `query` and the digit feed. */
  label?: string;
  /** A name for the receiver. */
  "to-label"?: string;
  /** DSCP byte of the call; negative: unchanged. */
  TOS?: number;
  /** `shut`: no media is sent to WhatsApp until the verb `gate`. No effect after the exchange is complete. */
  gate?: "shut" | "open";
  /** How long the gate may stay shut after the exchange is complete, s. */
  "gate-timeout"?: number;
  /** State of the gate after that time. */
  "gate-on-timeout"?: "shut" | "open";
  /** How much audio for WhatsApp is buffered before it can be sent, ms. */
  "pre-roll"?: number;
  /** What WhatsApp receives when there is nothing to forward. */
  filler?: "comfort-noise" | "silence" | "hold-tone" | "none";
  /** Stop all media of the call, or let it through again. */
  "drop-traffic"?: "start" | "stop";
  /** Distinguishes forks and retries of one request. */
  "via-branch"?: string;
  /** `load limit`: an overloaded Trestle may reply with `result` `load limit`. */
  supports?: "load limit"[];
  /** Words without a value. Keys with a value may be written here too: `ICE-remove` or `ICE=remove`. */
  flags?: (Word | (string & {}))[];
  /** All options and flags in one string. */
  "rtpp-flags"?: string;
}

/** Contains the offer of one party; the reply has the offer for the other party. Opens the call, or changes it. */
export interface Offer extends Options {
  command: "offer";
  "call-id": string;
  /** The party that sends this SDP. */
  "from-tag": string;
  /** The party that receives it, if known (re-offers). */
  "to-tag"?: string;
  /** A session description (RFC 8866). Lines end with CR LF. */
  sdp: string;
}

/** Contains the answer of the other party; the reply has the answer for the party that made the offer. May be sent more than once. */
export interface Answer extends Options {
  command: "answer";
  "call-id": string;
  /** The party that made the offer. */
  "from-tag": string;
  /** The party that sends this SDP. */
  "to-tag": string;
  /** A session description (RFC 8866). Lines end with CR LF. */
  sdp: string;
}

export interface Query {
  command: "query";
  "call-id": string;
  /** Checked; a tag that the call does not have causes a warning. */
  "from-tag"?: string;
  "to-tag"?: string;
  /** `verbose`: everything, even if the reply grows beyond 1,200 bytes. `verdict`: the complete `verdict`, without `tags`; also for the last 1,000 ended calls. */
  flags?: (Word | (string & {}))[];
}

export interface List {
  command: "list";
  /** Default 32. */
  limit?: number;
}

export interface Statistics {
  command: "statistics";
}

/** Sends a digit to the other party, as if one party had pressed it. Needs `label`, `address` or `from-tag`. */
export interface PlayDtmf {
  command: "play DTMF";
  "call-id": string;
  /** The party that presses the key. */
  "from-tag"?: string;
  /** The same by label. */
  label?: string;
  /** The same by the media address of its SDP. */
  address?: string;
  /** Send the digit to this party only. */
  "to-tag"?: string;
  /** The key as its name (`5`, `*`, `#`, `A`) or as the number of its event (10 is `*`). */
  code?: string | number;
  /** Another spelling of `code`. */
  digit?: string | number;
  /** ms, 100 to 5,000; default 250. */
  duration?: number;
  /** -dBm0, with or without the minus sign; default 8. */
  volume?: number;
  /** Not supported; causes a warning. */
  pause?: number;
  /** Words without a value. Keys with a value may be written here too: `ICE-remove` or `ICE=remove`. */
  flags?: (Word | (string & {}))[];
}

/** `block` stops the digits, or audio and digits, of a party; `silence` replaces its audio by silence. Without a party, or with the flag `all`, this applies to all parties. */
export interface Block {
  command: "block DTMF" | "unblock DTMF" | "block media" | "unblock media" | "silence media" | "unsilence media";
  "call-id": string;
  /** The party. */
  "from-tag"?: string;
  /** The same by label. */
  label?: string;
  /** The same by the media address of its SDP. */
  address?: string;
  /** Words without a value. Keys with a value may be written here too: `ICE-remove` or `ICE=remove`. */
  flags?: (Word | (string & {}))[];
}

/** Connects two parties of a call, or of two calls, to each other and to no other party. No SDP changes. */
export interface Connect {
  command: "connect";
  "call-id": string;
  "from-tag": string;
  "to-tag": string;
  /** The call of `to-tag`, if it is another one. */
  "to-call-id"?: string;
  /** Words without a value. Keys with a value may be written here too: `ICE-remove` or `ICE=remove`. */
  flags?: (Word | (string & {}))[];
}

/** Returns an offer of Trestle for one party; `connect` later connects it to another party. */
export interface Create extends Options {
  command: "create";
  "call-id": string;
  /** The party that gets the SDP. */
  "from-tag": string;
}

/** The answer to the offer of `create`. */
export interface CreateAnswer extends Options {
  command: "create answer";
  "call-id": string;
  /** The party that sends this SDP. */
  "from-tag": string;
  /** A session description (RFC 8866). Lines end with CR LF. */
  sdp: string;
}

/** Lets media out to WhatsApp, or stops it for good. Without a party it applies to every WhatsApp party of the call. */
export interface Gate {
  command: "gate";
  "call-id": string;
  /** `close` is final. */
  op: "open" | "close";
  /** With `open`: keep or drop the buffered audio; default `keep`. */
  "pre-roll"?: "keep" | "drop";
  "from-tag"?: string;
  label?: string;
  /** The media address in the party's SDP. */
  address?: string;
  /** Words without a value. Keys with a value may be written here too: `ICE-remove` or `ICE=remove`. */
  flags?: (Word | (string & {}))[];
}

/** Trestle sends events (events.schema.json) as datagrams to the source of this request. A repeated request renews the subscription. */
export interface SubscribeEvents {
  command: "subscribe events";
  /** Only events of this call. */
  "call-id"?: string;
  /** Duration in s, default 300; 0 ends the subscription. */
  expires?: number;
  /** The token of the refusal of the same request. Needed from every address except loopback. */
  token?: string;
}

/** Refuses offers for new calls, waits for the others, ends them after a time, and then ends Trestle. */
export interface Drain {
  command: "drain";
  /** `start` is the default; `stop` accepts new calls again. */
  op?: "start" | "stop";
  /** How long calls are waited for, in seconds. Default: the setting `grace`. */
  grace?: number;
}

/** Ends the call at once. */
export interface Delete {
  command: "delete";
  "call-id": string;
  /** The call must have this party. */
  "from-tag"?: string;
  /** Checked only with the flag `to-tag`. */
  "to-tag"?: string;
  /** Ends only this branch, if there are several. */
  "via-branch"?: string;
  /** How long `query` and `list` still know the call, s; default 30. */
  "delete-delay"?: number;
  /** `fast`: no report. `fatal`: an unknown call is an error. `verbose`: a long report. */
  flags?: (Word | (string & {}))[];
}

export interface PingReply {
  /** Offers for new calls are refused; Trestle ends with its last call. */
  draining?: 1;
  result: "pong";
  /** Options that were not understood or not applied. In JSON replies only. */
  warnings?: string[];
}

export interface SdpReply {
  /** For the other party; send it unchanged. */
  sdp: string;
  /** Options that were not understood or not applied. In JSON replies only. */
  warnings?: string[];
  result: "ok";
}

/** Destination of media; missing while unknown. */
export interface Endpoint {
  family: "IPv4" | "IPv6";
  address: string;
  port: number;
}

export interface Stats {
  packets: number;
  /** Of UDP payload. */
  bytes: number;
  /** Packets discarded for an unexpected reason. */
  errors: number;
}

export interface Stream {
  /** RTP port of Trestle. Left out, like `endpoint`, if there is no room in 1,200 bytes. */
  "local port"?: number;
  /** Destination of media; missing while unknown. */
  endpoint?: Endpoint;
  /** SSRC of the received stream. */
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
  /** Milestones, ms since the call was opened. */
  "timeline-ms": Record<string, number>;
  /** SSRC of everything sent to this party. */
  "local-ssrc": number;
  /** Of the stream received (RFC 3550). */
  "packets-lost": number;
  "jitter-us": number;
  /** Playout delay towards this party: how long Trestle waits for a missing frame. */
  "playout-delay-ms": number;
  "concealed-frames": number;
  /** Frames of filler sent to this party, because there was nothing to forward. */
  "filled-frames": number;
  /** Audio for this party that was buffered when the first of it was played. */
  "pre-roll-ms": number;
  /** Audio that was lost because it came before it could be sent. */
  "clipped-ms": number;
  /** Time until the delay of the call was normal. */
  "caught-up-ms"?: number;
  /** A `-` for each digit that it pressed; events have the digits. */
  "digits-in": string;
  /** A `-` for each digit that was sent to it. */
  "digits-out": string;
  /** Discarded datagrams by reason. */
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
  /** Codec sent to the party. */
  codec?: string;
  /** Estimated mean opinion score (E-model, G.107) of the audio that it received, tenths. */
  "mos-x10"?: number;
  /** Rating of the E-model for it. */
  r?: number;
  /** Media packets received from the party. */
  "packets-in": number;
  /** Media packets sent to it. */
  "packets-out": number;
  /** Lost packets of its stream, per thousand. */
  "loss-permille": number;
  "jitter-ms": number;
  /** Frames concealed on the way to it, in place of lost ones. */
  "concealed-frames": number;
  /** Frames of filler sent to it, because there was nothing to forward. */
  "filled-frames": number;
  /** Audio that was buffered when the first of it was played. */
  "pre-roll-ms": number;
  /** Audio that was lost because it came before it could be sent. */
  "clipped-ms": number;
  /** Time until the delay of the call was normal. */
  "caught-up-ms"?: number;
  "round-trip-ms"?: number;
  /** From the answer, or from the opening of its gate, to the first media sent to it. */
  "first-media-after-ms"?: number;
  /** Loss of Trestle's packets in its last receiver report. */
  "remote-loss-percent"?: number;
  /** A `-` for each digit that it pressed; events have the digits. */
  "digits-in"?: string;
  /** A `-` for each digit that was sent to it. */
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

/** The quality of the call and why it ended. In short replies only up to `hints`, and missing if there is no room in 1,200 bytes. */
export interface Verdict {
  /** Overall; `none`: there was too little to judge. */
  grade: "none" | "good" | "fair" | "bad";
  /** Why the call ended, as far as its media shows. */
  cause: "running" | "unanswered" | "too_short" | "normal" | "ice_never_connected" | "dtls_stuck" | "fingerprint_mismatch" | "gate_never_opened" | "gate_opened_late" | "media_to_whatsapp_late" | "no_media_to_whatsapp" | "media_to_whatsapp_stopped" | "no_media_from_whatsapp" | "whatsapp_fell_silent" | "consent_lost" | "one_way" | "sip_side_gone" | "no_media" | "held_too_long" | "internal_error";
  /** Estimated mean opinion score (E-model, G.107) of the party that received the worse audio, tenths. Missing if too little was received. */
  "mos-x10"?: number;
  /** The error code of Meta that matches. */
  "meta-code"?: 138020 | 138021 | 138022 | 138023;
  /** The status with which WhatsApp ends a SIP call for that. */
  "sip-code"?: 408;
  /** Further findings. */
  hints?: ("sip_ack_timeout_suspected" | "slow_media_setup" | "clipped" | "media_interrupted" | "packet_loss" | "wrong_keys" | "foreign_source" | "unknown_payload_type")[];
  /** One sentence. */
  summary?: string;
  /** Time from the first offer to the answer. */
  "answered-ms"?: number;
  /** Age of the call. */
  "age-ms"?: number;
  /** What ended the call; missing while it is active. */
  ended?: "deleted" | "offer_timeout" | "media_timeout" | "silent_timeout" | "shutdown" | "failed" | "half_open_limit";
  /** The party whose tag `delete` contained. */
  "ended-by"?: string;
  /** Evidence for the cause. */
  evidence?: string[];
  /** What to do about it. */
  advice?: string;
  /** The verdict as a paragraph. */
  explanation?: string;
  /** The media of each party. */
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
  /** The quality of the call and why it ended. In short replies only up to `hints`, and missing if there is no room in 1,200 bytes. */
  verdict?: Verdict;
  /** Options that were not understood or not applied. In JSON replies only. */
  warnings?: string[];
  result: "ok";
}

export interface ListReply {
  /** Call-ids, the oldest first. */
  calls: string[];
  /** Options that were not understood or not applied. In JSON replies only. */
  warnings?: string[];
  result: "ok";
}

/** Counters since the start. */
export interface Counters {
  currentstatistics: Record<string, number>;
  totalstatistics: Record<string, number>;
  /** Requests by verb, `errors`, `retransmits`. */
  controlstatistics: Record<string, number>;
  /** Discarded datagrams by reason. */
  discards: Record<string, number>;
}

export interface StatisticsReply {
  /** Counters since the start. */
  statistics: Counters;
  /** Options that were not understood or not applied. In JSON replies only. */
  warnings?: string[];
  result: "ok";
}

export interface DoneReply {
  /** Options that were not understood or not applied. In JSON replies only. */
  warnings?: string[];
  result: "ok";
}

export interface GateReply {
  /** State of the gate. */
  gate: "open" | "closed";
  /** Options that were not understood or not applied. In JSON replies only. */
  warnings?: string[];
  result: "ok";
}

export interface SubscribeEventsReply {
  /** s */
  expires: number;
  /** Options that were not understood or not applied. In JSON replies only. */
  warnings?: string[];
  result: "ok";
}

export interface DrainReply {
  /** Active calls. */
  calls: number;
  /** How long they are waited for, in seconds. */
  grace?: number;
  /** Options that were not understood or not applied. In JSON replies only. */
  warnings?: string[];
  result: "ok";
}

/** The report is missing with the flag `fast`, and for an unknown call. */
export interface DeleteReply {
  /** There was no such call. */
  warning?: string;
  created?: number;
  tags?: Record<string, Party>;
  /** What all legs received. */
  totals?: CallTotals;
  /** The quality of the call and why it ended. In short replies only up to `hints`, and missing if there is no room in 1,200 bytes. */
  verdict?: Verdict;
  /** Options that were not understood or not applied. In JSON replies only. */
  warnings?: string[];
  result: "ok";
}

/** The part of `error-reason` before a colon never changes; the rest is for people. Only callers that support `load limit` get it. After it, and after `Ran out of ports` and `Parallel session limit reached`, try another node. */
export interface Refusal {
  result: "error" | "load limit";
  "error-reason"?: string;
  message?: string;
  /** `subscribe events`: send the request again with it. */
  token?: string;
  /** Options that were not understood or not applied. In JSON replies only. */
  warnings?: string[];
}

/** One datagram of the digit feed (`dtmf-log-dest`): a key was pressed and released. */
export interface DigitLine {
  callid: string;
  /** Tag of the party that pressed it. */
  source_tag: string;
  /** Label of that party, or empty. */
  source_label: string;
  /** Tags of all parties. */
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
  risk?: "nothing-sent" | "nothing-received" | "fell-silent" | "ice-stuck" | "dtls-stuck" | "sip-gone" | "one-way" | "flood" | "ring" | "unproven";
  /** `call.at-risk`: the last milestone of the party's leg. */
  stage?: "opened" | "remote-known" | "first-check" | "ice-connected" | "dtls-connected" | "latched" | "first-media-in" | "first-media-out" | "gate-opened" | "caught-up";
  /** `call.at-risk`: how long it has lasted. */
  "lasted-ms"?: number;
  /** `call.at-risk`, `call.leg.failed`: explanation, a sentence. */
  reason?: string;
  /** `call.ended`: what ended it. */
  cause?: "deleted" | "offer_timeout" | "media_timeout" | "silent_timeout" | "shutdown" | "failed" | "half_open_limit";
  /** `call.ended`: its parties. */
  legs?: EndedLeg[];
  /** `call.ended`: the verdict on the call. */
  verdict?: EndedVerdict;
}
