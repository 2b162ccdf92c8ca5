// Signed messages, for a Trestle with `ng-secret-file`: `COOKIE SP hmac1:TIME:MAC SP DICT` (docs/PROTOCOL.md).

import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync, statSync } from "node:fs";

const SECRET_BYTES_MIN = 32;

// By how much the TIME of an event may differ from the clock of this machine.
const AGE_MAX_MS = 30_000;

/** Signs requests, and checks the signatures of replies and events. */
export class Signer {
  #secret;

  constructor(secret) {
    if (secret.length < SECRET_BYTES_MIN) throw new TypeError(`the secret is shorter than ${SECRET_BYTES_MIN} bytes`);
    this.#secret = secret;
  }

  /** Reads the first secret of a file, which only its owner may read. */
  static read(path) {
    if (statSync(path).mode & 0o077) throw new TypeError(`${path} can be read by other users: run chmod 600 ${path}`);
    const lines = readFileSync(path, "latin1").split("\n");
    return new Signer(Buffer.from(lines.map((line) => line.trim()).find((line) => line !== "") ?? "", "latin1"));
  }

  /** The signature of a request, and its TIME. */
  request(cookie, body, time = String(Date.now())) {
    return { signature: this.#sign(`request ${cookie}`, time, Buffer.from(body)), time };
  }

  /** The body of the reply to the request of this cookie and TIME; undefined if the signature is not right. */
  reply(cookie, time, signed) {
    const [signature, body] = split(signed);
    return isEqual(signature, this.#sign(`reply ${cookie}`, time, body)) ? body : undefined;
  }

  /** The body of an event; undefined if the signature is not right, or too old. */
  event(signed, now = Date.now()) {
    const [signature, body] = split(signed);
    const time = signature.split(":")[1] ?? "";
    if (!isEqual(signature, this.#sign("event", time, body))) return undefined;
    return Math.abs(now - Number(time)) <= AGE_MAX_MS ? body : undefined;
  }

  #sign(kind, time, body) {
    const mac = createHmac("sha256", this.#secret).update(`${kind} ${time} `).update(body).digest("hex");
    return `hmac1:${time}:${mac}`;
  }
}

function split(signed) {
  const space = signed.indexOf(0x20);
  return space < 0 ? ["", signed] : [signed.subarray(0, space).toString("latin1"), signed.subarray(space + 1)];
}

function isEqual(signature, right) {
  const [one, other] = [signature, right].map((text) => Buffer.from(text, "latin1"));
  return one.length === other.length && timingSafeEqual(one, other);
}
