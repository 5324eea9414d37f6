// One number that everybody adds to. It moves between tabs with its value.
import { Service, Cx, Session, serve, text, bytes } from "tabfarm";

class Counter extends Service {
  total: i64 = 0;

  // A new session is told the number and hears of every change.
  open(cx: Cx, session: Session): void {
    cx.join(session, "watchers");
    cx.send(session, bytes(this.total.toString()));
  }

  // Calls are executed exactly once and in order, also while the service moves.
  call(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
    if (method == "add") {
      const amount = F64.parseFloat(text(body));
      if (amount != Math.floor(amount) || Math.abs(amount) > 1e9) return cx.fail("give me a whole number, at most a billion");
      this.total += <i64>amount;
      const now = bytes(this.total.toString());
      cx.put("total", now);
      cx.broadcast("watchers", now);
      return now;
    }
    return this.query(cx, session, method, body);
  }

  query(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
    if (method == "read") return bytes(this.total.toString());
    return cx.unknown(method);
  }

  // A newer version has replaced the module: memory is fresh, what was `put` is still there.
  upgrade(cx: Cx): void {
    const kept = cx.get("total");
    if (kept) this.total = I64.parseInt(text(kept));
  }
}

serve(new Counter());
