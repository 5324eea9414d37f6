// Conway's game of life, played by everybody on one board. A timer makes the generations; it rests when nobody watches.
import { json, type Cx, type Session } from "tabfarm";

const WIDTH = 48;
const HEIGHT = 32;
const TICK_MS = 500;
const TICK = 1;

export default class GameOfLife {
  cells = new Uint8Array(WIDTH * HEIGHT);
  generation = 0;
  watchers = new Set<Session>();

  open(cx: Cx, session: Session) {
    cx.join(session, "watchers");
    this.watchers.add(session);
    cx.send(session, this.board());
    cx.setTimer(TICK, TICK_MS);
  }

  close(cx: Cx, session: Session) {
    this.watchers.delete(session);
    if (this.watchers.size === 0) cx.cancelTimer(TICK);
  }

  timer(cx: Cx) {
    if (this.watchers.size === 0) return;
    this.step();
    cx.broadcast("watchers", this.board());
    cx.setTimer(TICK, TICK_MS);
  }

  // toggle: [x, y]; scatter: fills the board at random; clear; step
  call(cx: Cx, session: Session, method: string, body: Uint8Array) {
    if (method === "toggle") {
      const [x, y] = json(body) ?? [];
      if (!this.inside(x, WIDTH) || !this.inside(y, HEIGHT)) throw new Error(`give me [x, y] with x below ${WIDTH} and y below ${HEIGHT}`);
      this.cells[y * WIDTH + x] ^= 1;
    } else if (method === "scatter") {
      this.cells = this.cells.map(() => (Math.random() < 0.3 ? 1 : 0));
    } else if (method === "clear") {
      this.cells.fill(0);
    } else if (method === "step") {
      this.step();
    } else {
      return this.query(cx, session, method);
    }
    cx.broadcast("watchers", this.board());
    return this.board();
  }

  query(cx: Cx, session: Session, method: string) {
    if (method === "board") return this.board();
    throw cx.unknown(method);
  }

  step() {
    const counts = new Uint8Array(WIDTH * HEIGHT);
    this.cells.forEach((alive, at) => alive && this.tellNeighbours(counts, at % WIDTH, Math.floor(at / WIDTH)));
    this.cells = this.cells.map((alive, at) => (counts[at] === 3 || (counts[at] === 2 && alive) ? 1 : 0));
    this.generation += 1;
  }

  // The board's edges meet.
  tellNeighbours(counts: Uint8Array, x: number, y: number) {
    const [left, right] = [(x + WIDTH - 1) % WIDTH, (x + 1) % WIDTH];
    for (let dy = HEIGHT - 1; dy <= HEIGHT + 1; dy++) {
      const row = ((y + dy) % HEIGHT) * WIDTH;
      counts[row + left] += 1;
      counts[row + right] += 1;
      if (dy !== HEIGHT) counts[row + x] += 1;
    }
  }

  board() {
    const rows = Array.from({ length: HEIGHT }, (_, y) => this.cells.subarray(y * WIDTH, (y + 1) * WIDTH).join(""));
    return { generation: this.generation, rows };
  }

  inside(value: unknown, limit: number): boolean {
    return Number.isInteger(value) && (value as number) >= 0 && (value as number) < limit;
  }
}
