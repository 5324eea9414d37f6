// One number that everybody adds to. It moves between tabs with its value.
import { json, type Cx, type Session } from "tabfarm";

export default class Counter {
  total = 0;

  // A new session is told the number and hears of every change.
  open(cx: Cx, session: Session) {
    cx.join(session, "watchers");
    cx.send(session, this.total);
  }

  // Calls are executed exactly once and in order, also while the service moves.
  call(cx: Cx, session: Session, method: string, body: Uint8Array) {
    if (method === "add") {
      const amount = json(body);
      // An error that is thrown is what the caller reads. Check first, change then: a change made before it stands.
      if (!Number.isInteger(amount) || Math.abs(amount) > 1e9) throw new Error("give me a whole number, at most a billion");
      this.total += amount;
      cx.put("total", this.total);
      cx.broadcast("watchers", this.total);
      return this.total;
    }
    return this.query(cx, session, method);
  }

  query(cx: Cx, session: Session, method: string) {
    if (method === "read") return this.total;
    throw cx.unknown(method);
  }

  // A newer version has replaced the module: memory is fresh, what was `put` is still there.
  upgrade(cx: Cx) {
    this.total = json(cx.get("total")) ?? 0;
  }
}
