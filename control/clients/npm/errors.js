// Errors of requests.

export class TrestleError extends Error {
  get name() {
    return this.constructor.name;
  }
}

export class NoReply extends TrestleError {}

export class Refused extends TrestleError {
  constructor(command, reason, warnings) {
    super(`${command}: ${reason}`);
    this.command = command;
    this.reason = reason;
    this.warnings = warnings;
  }
}

export class UnknownCall extends Refused {}

export class NoCapacity extends Refused {}

// The texts at which SIP proxies try their next node.
const NO_CAPACITY = ["Parallel session limit reached", "Ran out of ports", "Load limit exceeded"];

/** The error for a reply whose `result` is `error` or `load limit`. */
export function refusal(command, reply) {
  const reason = reply["error-reason"] ?? reply.message ?? `unknown result ${JSON.stringify(reply.result)}`;
  let Kind = Refused;
  if (reply.result === "load limit" || NO_CAPACITY.includes(reason)) Kind = NoCapacity;
  else if (reason.toLowerCase() === "unknown call-id" || reason.startsWith("Call-ID not found")) Kind = UnknownCall;
  const error = new Kind(command, reason, reply.warnings ?? []);
  // Of `subscribe events`: what the request must contain to be confirmed.
  error.token = reply.token;
  return error;
}
