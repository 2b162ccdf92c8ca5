export { Client } from "./client.js";
export { DigitFeed } from "./digits.js";
export { EventFeed } from "./events.js";
export { NoCapacity, NoReply, Refused, TrestleError, UnknownCall } from "./errors.js";
