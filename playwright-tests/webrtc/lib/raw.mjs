// A bare RTCDataChannel between two pages, to measure against. The test carries the descriptions.

let pc;
let channel;
const candidates = [];

function make() {
  pc = new RTCPeerConnection();
  pc.onicecandidate = ({ candidate }) => candidate && candidates.push(candidate.toJSON());
}

const gathered = () =>
  new Promise((resolve) => {
    if (pc.iceGatheringState === "complete") resolve();
    pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && resolve();
  });

export async function offer() {
  make();
  channel = pc.createDataChannel("raw");
  channel.binaryType = "arraybuffer";
  await pc.setLocalDescription();
  await gathered();
  return pc.localDescription.sdp;
}

/** Echoes messages of up to 1 KiB; of larger ones it counts the bytes, and says `done` when `size` have come. */
export async function answer(sdp, size) {
  make();
  let total = 0;
  pc.ondatachannel = ({ channel }) => {
    channel.binaryType = "arraybuffer";
    channel.onmessage = ({ data }) => {
      if (data.byteLength <= 1024) return channel.send(data);
      total += data.byteLength;
      if (total >= size) {
        total = 0;
        channel.send(new Uint8Array(1));
      }
    };
  };
  await pc.setRemoteDescription({ type: "offer", sdp });
  await pc.setLocalDescription();
  await gathered();
  return pc.localDescription.sdp;
}

export async function accept(sdp) {
  const open = new Promise((resolve) => (channel.onopen = resolve));
  await pc.setRemoteDescription({ type: "answer", sdp });
  await open;
}

const next = () => new Promise((resolve) => (channel.onmessage = resolve));

export async function pingPong(size, rounds) {
  const data = new Uint8Array(size).fill(7);
  const times = [];
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    const back = next();
    channel.send(data);
    await back;
    times.push((performance.now() - start) * 1000);
  }
  return times;
}

/** `size` bytes in messages of 64 KiB; milliseconds until the other end has them all. */
export async function upload(size) {
  const WINDOW = 4 << 20;
  const data = new Uint8Array(64 * 1024);
  channel.bufferedAmountLowThreshold = WINDOW / 2;
  const start = performance.now();
  const done = next();
  for (let left = size; left > 0; left -= data.length) {
    if (channel.bufferedAmount >= WINDOW) await new Promise((resolve) => (channel.onbufferedamountlow = resolve));
    channel.send(data);
  }
  await done;
  return performance.now() - start;
}

export const peer = () => pc;
export const chan = () => channel;
