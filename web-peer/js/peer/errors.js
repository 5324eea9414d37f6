// Why a promise fails.

/** Why a promise failed: `code` is for programs, `message` for people. */
export class TabfarmError extends Error {
  constructor(code, message, details) {
    super(message);
    this.name = 'TabfarmError';
    this.code = code;
    Object.assign(this, details);
  }
}

/** What goes wrong before the peer sees a request (an argument of the wrong type) has a code as well. */
export function named(error) {
  return error instanceof TabfarmError ? error : new TabfarmError('refused', String(error?.message ?? error));
}
