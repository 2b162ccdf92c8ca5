// The two ways to a Trestle: a UDP socket, and a Unix socket.

import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { createConnection } from "node:net";

/** A UDP socket. `received` is called with each datagram. */
export class Datagrams {
  #socket;
  received = () => {};

  static async open(host, port) {
    const { address, family } = await lookup(host);
    const socket = createSocket(family === 6 ? "udp6" : "udp4");
    // Connected, so that the socket accepts no datagrams from other sources.
    await new Promise((done, failed) => {
      socket.once("error", failed);
      socket.connect(port, address, () => {
        socket.off("error", failed);
        done();
      });
    });
    return new Datagrams(socket);
  }

  constructor(socket) {
    this.#socket = socket;
    socket.on("message", (datagram) => this.received(datagram));
    // A closed port: Trestle may be starting; the request will be repeated.
    socket.on("error", () => {});
  }

  /** Calls `failed` if the message can never be sent. */
  send(message, failed) {
    this.#socket.send(message, (error) => {
      if (error?.code === "EMSGSIZE") failed(error);
    });
  }

  close() {
    this.#socket.close();
  }
}

/** A connection to a Unix socket, opened for a request, and again if it has ended. `received` is called with each line. */
export class Stream {
  #path;
  #connection;
  received = () => {};

  constructor(path) {
    this.#path = path;
  }

  send(message) {
    this.#connection ??= this.#connect();
    this.#connection.write(`${message}\n`);
  }

  close() {
    this.#connection?.destroy();
  }

  #connect() {
    const connection = createConnection(this.#path);
    let rest = Buffer.alloc(0);
    connection.on("data", (data) => {
      rest = Buffer.concat([rest, data]);
      for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a)) {
        this.received(rest.subarray(0, end));
        rest = rest.subarray(end + 1);
      }
    });
    // Trestle may be starting; the request will be repeated, over another connection.
    connection.on("error", () => {});
    connection.on("close", () => {
      if (this.#connection === connection) this.#connection = undefined;
    });
    return connection;
  }
}
