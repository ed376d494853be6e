// Errors of the daemon and of the connection.

export class ProsedError extends Error {
  name = "ProsedError";

  constructor(kind, message, { code, data = {}, cause } = {}) {
    // Structured cloning keeps only an error's message and cause, so the cause has the details as well.
    super(message, { cause: { kind, code, data, cause } });
    this.code = code;
    this.kind = kind;
    this.data = data;
    this.retryable = data.retryable ?? false;
  }

  /** From a JSON-RPC error object, or from a structured clone of a ProsedError. */
  static from({ code, message, data, cause }) {
    if (cause?.kind) return new ProsedError(cause.kind, message, cause);
    const details = typeof data === "object" && data !== null ? data : {};
    // Every error of the daemon has a kind.
    return new ProsedError(details.kind ?? "internalError", message, { code, data: details });
  }
}

/** The connection was lost before the answer came. */
export const disconnected = () =>
  new ProsedError("disconnected", "The connection to prosed is lost.", { data: { retryable: true } });

/** prosed can't be reached, for the reason in `text`. */
export const unreachable = (text, cause) =>
  new ProsedError("unreachable", `prosed can't be reached: ${text}.`, { data: { retryable: true }, cause });
