// Bodies of calls and messages: bytes, however a page has them.

export const NOTHING = new Uint8Array();

/** Bytes, or text as UTF-8. */
export function bytes(body) {
  if (body instanceof Uint8Array) return body;
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  if (typeof body === 'string') return new TextEncoder().encode(body);
  throw new TypeError('a body is a Uint8Array, an ArrayBuffer or a string');
}
