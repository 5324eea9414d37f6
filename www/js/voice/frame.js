// A frame of voice: 20 ms of one speaker, one datagram.
//
// | bytes | what |
// |---|---|
// | 1 | version, 1 |
// | 4 | speaker: the number that the voice service gave it |
// | 4 | sequence number: 0, 1, 2, … of the frames that the speaker sent |
// | 8 | capture time: ms since 1970 by the speaker's clock, a float |
// | rest | an Opus packet |
//
// Numbers are big-endian.

/** The version of the format. */
export const VERSION = 1;
/** The longest frame: what a datagram of a session may hold, in bytes. */
export const MAX_FRAME = 1_200;
/** How long a frame sounds, in ms. */
export const FRAME_MS = 20;

const HEADER = 17;

/** A frame as bytes. Throws a RangeError for a packet that fits no datagram: no encoder of ours makes one. */
export function encodeFrame({ speaker, sequence, captured, packet }) {
  if (packet.length === 0 || HEADER + packet.length > MAX_FRAME) throw new RangeError(`a packet of ${packet.length} bytes`);
  const bytes = new Uint8Array(HEADER + packet.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, VERSION);
  view.setUint32(1, speaker);
  view.setUint32(5, sequence);
  view.setFloat64(9, captured);
  bytes.set(packet, HEADER);
  return bytes;
}

/** Bytes as a frame; null when they are none: anybody in a conference can send anything. */
export function decodeFrame(bytes) {
  if (bytes.length <= HEADER || bytes.length > MAX_FRAME || bytes[0] !== VERSION) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const captured = view.getFloat64(9);
  if (!Number.isFinite(captured)) return null;
  return { speaker: view.getUint32(1), sequence: view.getUint32(5), captured, packet: bytes.subarray(HEADER) };
}
