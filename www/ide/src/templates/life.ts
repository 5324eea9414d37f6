// Conway's game of life on one board for all. Its clock is a timer of the service, so it goes on when it moves.
import { Service, Cx, Session, serve, text, bytes } from "tabfarm";

const SIZE = 32;
const TICK = 1;
const PERIOD_MS = 500;

class Life extends Service {
  cells: StaticArray<bool> = new StaticArray<bool>(SIZE * SIZE);
  running: bool = false;

  open(cx: Cx, session: Session): void {
    cx.join(session, "board");
    cx.send(session, bytes(this.board()));
  }

  call(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
    if (method == "toggle") {
      const x = field(text(body), "x");
      const y = field(text(body), "y");
      if (x < 0 || x >= SIZE || y < 0 || y >= SIZE) return cx.fail("x and y go from 0 to 31");
      this.cells[y * SIZE + x] = !this.cells[y * SIZE + x];
      return this.changed(cx);
    }
    if (method == "step") {
      this.step();
      return this.changed(cx);
    }
    if (method == "run") {
      this.running = text(body).trim() == "true";
      if (this.running) cx.setTimer(TICK, PERIOD_MS);
      else cx.cancelTimer(TICK);
      return bytes(this.running ? "running" : "stopped");
    }
    return this.query(cx, session, method, body);
  }

  query(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
    if (method == "board") return bytes(this.board());
    return cx.unknown(method);
  }

  timer(cx: Cx, timer: u32): void {
    this.step();
    // An empty board stops its clock.
    if (this.running && this.alive() > 0) cx.setTimer(TICK, PERIOD_MS);
    else this.running = false;
    this.changed(cx);
  }

  // Tells everybody; the reply is the number of living cells.
  changed(cx: Cx): Uint8Array {
    cx.broadcast("board", bytes(this.board()));
    return bytes(this.alive().toString());
  }

  step(): void {
    const next = new StaticArray<bool>(SIZE * SIZE);
    for (let y = 0; y < SIZE; y++) {
      for (let x = 0; x < SIZE; x++) {
        const around = this.around(x, y);
        next[y * SIZE + x] = around == 3 || (around == 2 && this.cells[y * SIZE + x]);
      }
    }
    this.cells = next;
  }

  // The living neighbours of a cell; the board has no edges.
  around(x: i32, y: i32): i32 {
    let sum = 0;
    for (let dy = -1; dy <= 1; dy++) {
      for (let dx = -1; dx <= 1; dx++) {
        if (dx == 0 && dy == 0) continue;
        if (this.cells[((y + dy + SIZE) % SIZE) * SIZE + ((x + dx + SIZE) % SIZE)]) sum++;
      }
    }
    return sum;
  }

  alive(): i32 {
    let sum = 0;
    for (let at = 0; at < this.cells.length; at++) if (this.cells[at]) sum++;
    return sum;
  }

  board(): string {
    const rows = new Array<string>();
    for (let y = 0; y < SIZE; y++) {
      let row = "";
      for (let x = 0; x < SIZE; x++) row += this.cells[y * SIZE + x] ? "#" : ".";
      rows.push(row);
    }
    return rows.join("\n");
  }
}

// The whole number of a field of a flat JSON object, -1 where there is none.
function field(json: string, name: string): i32 {
  const at = json.indexOf(`"${name}"`);
  if (at < 0) return -1;
  const colon = json.indexOf(":", at);
  const value = colon < 0 ? NaN : F64.parseFloat(json.slice(colon + 1).trim());
  return value >= 0 && value < 1e6 && value == Math.floor(value) ? <i32>value : -1;
}

serve(new Life());
