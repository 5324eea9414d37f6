// Takes what other systems post to a relay's gateway, at /s/SERVICE/hook, and shows it to everybody who watches.
import { text, type Cx, type Session } from "tabfarm";

const REMEMBERED = 100;
const LONGEST = 4000;

interface Delivery {
  number: number;
  at: string;
  content: unknown;
}

export default class WebhookReceiver {
  deliveries: Delivery[] = [];
  received = 0;

  open(cx: Cx, session: Session) {
    cx.join(session, "watchers");
    for (const delivery of this.deliveries) cx.send(session, delivery);
  }

  call(cx: Cx, session: Session, method: string, body: Uint8Array) {
    if (method === "hook") {
      this.received += 1;
      const delivery = { number: this.received, at: new Date(cx.now()).toISOString(), content: this.contentOf(body) };
      this.deliveries.push(delivery);
      if (this.deliveries.length > REMEMBERED) this.deliveries.shift();
      cx.broadcast("watchers", delivery);
      return { received: delivery.number };
    }
    return this.query(cx, session, method);
  }

  query(cx: Cx, session: Session, method: string) {
    if (method === "list") return this.deliveries;
    throw cx.unknown(method);
  }

  // JSON as what it says, anything else as text.
  contentOf(body: Uint8Array): unknown {
    if (body.length > LONGEST) throw new Error(`a delivery has at most ${LONGEST} bytes`);
    const said = text(body);
    try {
      return JSON.parse(said);
    } catch {
      return said;
    }
  }
}
