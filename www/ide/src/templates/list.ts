// A list that everybody edits. Its page is ui/index.html.
import { Service, Cx, Session, serve, text, bytes, quote } from "tabfarm";

const MOST = 100;
const LONGEST = 200;

class Item {
  constructor(public id: i32, public text: string) {}
}

class List extends Service {
  items: Item[] = [];
  last: i32 = 0;

  open(cx: Cx, session: Session): void {
    cx.join(session, "readers");
    cx.send(session, bytes(this.json()));
  }

  call(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
    if (method == "add") {
      const line = text(body).trim();
      if (line.length == 0 || line.length > LONGEST) return cx.fail("a line has 1 to 200 characters");
      if (this.items.length >= MOST) return cx.fail("the list is full: finish something first");
      this.last += 1;
      this.items.push(new Item(this.last, line));
      return this.changed(cx);
    }
    if (method == "done") {
      const id = <i32>I32.parseInt(text(body));
      for (let at = 0; at < this.items.length; at++) {
        if (this.items[at].id == id) {
          this.items.splice(at, 1);
          return this.changed(cx);
        }
      }
      return cx.fail("there is no such line");
    }
    return this.query(cx, session, method, body);
  }

  query(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
    if (method == "items") return bytes(this.json());
    return cx.unknown(method);
  }

  // A newer version has replaced the module: memory is fresh, what was `put` is still there.
  upgrade(cx: Cx): void {
    const last = cx.get("last");
    if (last) this.last = <i32>I32.parseInt(text(last));
    const ids = cx.get("ids");
    if (!ids) return;
    const known = text(ids).split(",");
    for (let at = 0; at < known.length; at++) {
      const line = cx.get("line/" + known[at]);
      if (line) this.items.push(new Item(<i32>I32.parseInt(known[at]), text(line)));
    }
  }

  changed(cx: Cx): Uint8Array {
    const ids = new Array<string>();
    for (let at = 0; at < this.items.length; at++) {
      const id = this.items[at].id.toString();
      ids.push(id);
      cx.put("line/" + id, bytes(this.items[at].text));
    }
    cx.put("ids", bytes(ids.join(",")));
    cx.put("last", bytes(this.last.toString()));
    const json = bytes(this.json());
    cx.broadcast("readers", json);
    return json;
  }

  json(): string {
    let json = "[";
    for (let at = 0; at < this.items.length; at++) {
      if (at > 0) json += ",";
      json += `{"id":${this.items[at].id},"text":${quote(this.items[at].text)}}`;
    }
    return json + "]";
  }
}

serve(new List());
