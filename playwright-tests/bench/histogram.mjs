// A histogram of times as a small SVG picture: logarithmic bins, so that 10 ms and 10 s are both seen.

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [640, 240, 36, 36, 40];
/** Three bins for each doubling. */
const PER_OCTAVE = 3;

const escape = (text) => text.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);
const inWords = (ms) => (ms >= 1000 ? `${Number((ms / 1000).toPrecision(2))} s` : `${Math.round(ms)} ms`);

/** The longest times without an answer, in ms, as a picture with a title. */
export function histogram(title, values) {
  const bin = (ms) => Math.floor(Math.log2(Math.max(ms, 1)) * PER_OCTAVE);
  const bins = new Map();
  for (const value of values) bins.set(bin(value), (bins.get(bin(value)) ?? 0) + 1);
  const first = Math.min(...bins.keys(), bin(10));
  const last = Math.max(...bins.keys(), bin(5000));
  const most = Math.max(...bins.values(), 1);
  const step = (WIDTH - LEFT - 8) / (last - first + 1);
  const x = (n) => LEFT + (n - first) * step;
  const y = (count) => HEIGHT - BOTTOM - (count / most) * (HEIGHT - BOTTOM - TOP);
  const bars = [...bins].map(([n, count]) => {
    const range = `${inWords(2 ** (n / PER_OCTAVE))} to ${inWords(2 ** ((n + 1) / PER_OCTAVE))}`;
    return `<rect x="${x(n).toFixed(1)}" y="${y(count).toFixed(1)}" width="${(step - 1).toFixed(1)}" height="${(HEIGHT - BOTTOM - y(count)).toFixed(1)}" fill="#3b7dd8"><title>${count}: ${range}</title></rect>`;
  });
  const ticks = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000].filter((ms) => bin(ms) >= first && bin(ms) <= last + 1);
  const marks = ticks.map((ms) => {
    const at = (LEFT + (Math.log2(ms) * PER_OCTAVE - first) * step).toFixed(1);
    return `<line x1="${at}" y1="${HEIGHT - BOTTOM}" x2="${at}" y2="${HEIGHT - BOTTOM + 4}" stroke="#888"/><text x="${at}" y="${HEIGHT - BOTTOM + 17}" text-anchor="middle">${inWords(ms)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="11" fill="#555">
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
<text x="${LEFT}" y="18" font-size="14" fill="#222">${escape(title)}</text>
<text x="${LEFT}" y="33">longest time without an answer, ${values.length} faults</text>
<text x="4" y="${TOP + 4}">${most}</text>
<line x1="${LEFT}" y1="${HEIGHT - BOTTOM}" x2="${WIDTH - 8}" y2="${HEIGHT - BOTTOM}" stroke="#888"/>
${[...bars, ...marks].join("\n")}
</svg>
`;
}
