// A service without state: any tab can answer any call.
import { Service, Cx, Session, serve, text, bytes } from "tabfarm";

class Hello extends Service {
  // Read-only methods. Try it: publish, open the service, call `greet` with your name.
  query(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
    if (method == "greet") {
      const name = body.length > 0 ? text(body) : "stranger";
      return bytes(`Hello, ${name}!`);
    }
    return cx.unknown(method);
  }
}

serve(new Hello());
