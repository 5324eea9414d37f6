// Keeps the last events that other programs post. A relay's gateway brings them:
//   curl -d '{"deployed": true}' https://RELAY/s/webhook@YOU/receive
import { Service, Cx, Session, serve, text, bytes, quote } from "tabfarm";

const REMEMBERED = 20;
const LONGEST = 2000;

class Webhook extends Service {
  count: i32 = 0;
  events: string[] = [];

  // Whoever keeps a session open hears of every event.
  open(cx: Cx, session: Session): void {
    cx.join(session, "listeners");
  }

  call(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
    if (method == "receive") {
      this.count += 1;
      const event = `{"at":${cx.now()},"body":${quote(text(body).slice(0, LONGEST))}}`;
      this.events.unshift(event);
      if (this.events.length > REMEMBERED) this.events.pop();
      cx.broadcast("listeners", bytes(event));
      return bytes(this.count.toString());
    }
    return this.query(cx, session, method, body);
  }

  query(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
    if (method == "last") return bytes("[" + this.events.join(",") + "]");
    if (method == "count") return bytes(this.count.toString());
    return cx.unknown(method);
  }
}

serve(new Webhook());
