// A room: what one session sends, all sessions get. It remembers the last lines.
import { text, type Cx, type Session } from "tabfarm";

const REMEMBERED = 50;
const LONGEST = 1000;

interface Line {
  from: string;
  text: string;
  at: number;
}

export default class Chat {
  names = new Map<Session, string>();
  lines: Line[] = [];

  open(cx: Cx, session: Session) {
    cx.join(session, "room");
    this.names.set(session, `guest-${session}`);
    for (const line of this.lines) cx.send(session, line);
  }

  message(cx: Cx, session: Session, body: Uint8Array) {
    const line = { from: this.names.get(session) ?? "nobody", text: text(body).slice(0, LONGEST), at: cx.now() };
    this.lines.push(line);
    if (this.lines.length > REMEMBERED) this.lines.shift();
    cx.broadcast("room", line);
  }

  close(cx: Cx, session: Session) {
    this.names.delete(session);
  }

  call(cx: Cx, session: Session, method: string, body: Uint8Array) {
    if (method === "name") {
      const name = text(body).trim();
      if (name.length === 0 || name.length > 32) throw new Error("a name has 1 to 32 characters");
      this.names.set(session, name);
      return name;
    }
    return this.query(cx, session, method);
  }

  query(cx: Cx, session: Session, method: string) {
    if (method === "history") return this.lines;
    throw cx.unknown(method);
  }
}
