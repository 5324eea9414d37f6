// A service without state: any tab can answer any call.
import { text, type Cx, type Session } from "tabfarm";

export default class Hello {
  // Read-only methods. Try it: publish, open the service, call `greet` with your name.
  query(cx: Cx, session: Session, method: string, body: Uint8Array) {
    if (method === "greet") return `Hello, ${text(body) || "stranger"}!`;
    throw cx.unknown(method);
  }
}
