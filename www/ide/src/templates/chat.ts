// A room: what one session sends, all sessions get. It remembers the last lines.
import { Service, Cx, Session, serve, text, bytes, quote } from "tabfarm";

const REMEMBERED = 50;
const LONGEST = 1000;

class Chat extends Service {
  names: Map<Session, string> = new Map<Session, string>();
  lines: string[] = [];

  open(cx: Cx, session: Session): void {
    cx.join(session, "room");
    this.names.set(session, `guest-${session}`);
    for (let at = 0; at < this.lines.length; at++) cx.send(session, bytes(this.lines[at]));
  }

  message(cx: Cx, session: Session, body: Uint8Array): void {
    const said = text(body).slice(0, LONGEST);
    const line = `{"from":${quote(this.names.get(session))},"text":${quote(said)},"at":${cx.now()}}`;
    this.lines.push(line);
    if (this.lines.length > REMEMBERED) this.lines.shift();
    cx.broadcast("room", bytes(line));
  }

  close(cx: Cx, session: Session): void {
    this.names.delete(session);
  }

  call(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
    if (method == "name") {
      const name = text(body).trim();
      if (name.length == 0 || name.length > 32) return cx.fail("a name has 1 to 32 characters");
      this.names.set(session, name);
      return bytes(name);
    }
    return this.query(cx, session, method, body);
  }

  query(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
    if (method == "history") return bytes("[" + this.lines.join(",") + "]");
    return cx.unknown(method);
  }
}

serve(new Chat());
