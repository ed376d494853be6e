// What can go wrong, in one class: the daemon's errors and the connection's.

export class ProsedError extends Error {
  name = "ProsedError";

  constructor(kind, message, { code, data = {}, cause } = {}) {
    // Of an error, structured cloning leaves the message and the cause: what programs need is there as well.
    super(message, { cause: { kind, code, data, cause } });
    this.code = code;
    this.kind = kind;
    this.data = data;
    this.retryable = data.retryable ?? false;
  }

  /** From an error object of JSON-RPC, or from what structured cloning has left of one of ours. */
  static from({ code, message, data, cause }) {
    if (cause?.kind) return new ProsedError(cause.kind, message, cause);
    const details = typeof data === "object" && data !== null ? data : {};
    // Each error of the daemon has a kind.
    return new ProsedError(details.kind ?? "internalError", message, { code, data: details });
  }
}

/** The daemon's answer will never come, and the next connection may fare better. */
export const disconnected = () =>
  new ProsedError("disconnected", "The connection to prosed is lost.", { data: { retryable: true } });

/** Nobody who speaks our protocol answers; `text` says what befell us instead. */
export const unreachable = (text, cause) =>
  new ProsedError("unreachable", `prosed can't be reached: ${text}.`, { data: { retryable: true }, cause });
