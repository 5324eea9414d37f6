// A list that everybody edits at once, for shopping or for what is left to do. Each change is told to all.
import { json, type Cx, type Session } from "tabfarm";

const MOST = 500;
const LONGEST = 200;

interface Item {
  id: number;
  text: string;
  done: boolean;
}

export default class SharedList {
  items: Item[] = [];
  lastId = 0;

  open(cx: Cx, session: Session) {
    cx.join(session, "editors");
    cx.send(session, this.items);
  }

  // add: { "text": … }, set: { "id": …, "text"?: …, "done"?: … }, remove: { "id": … }
  call(cx: Cx, session: Session, method: string, body: Uint8Array) {
    const wanted = json(body) ?? {};
    switch (method) {
      case "add":
        if (this.items.length >= MOST) throw new Error(`the list has ${MOST} items, which is all it takes`);
        this.items.push({ id: this.lastId + 1, text: this.textOf(wanted.text), done: false });
        this.lastId += 1;
        break;
      case "set": {
        const item = this.find(wanted.id);
        if (wanted.text !== undefined) item.text = this.textOf(wanted.text);
        if (wanted.done !== undefined) item.done = wanted.done === true;
        break;
      }
      case "remove":
        this.items.splice(this.items.indexOf(this.find(wanted.id)), 1);
        break;
      default:
        return this.query(cx, session, method);
    }
    // What is stored outlives the module: see `upgrade`.
    cx.put("list", { items: this.items, lastId: this.lastId });
    cx.broadcast("editors", this.items);
    return this.items;
  }

  query(cx: Cx, session: Session, method: string) {
    if (method === "list") return this.items;
    throw cx.unknown(method);
  }

  upgrade(cx: Cx) {
    Object.assign(this, json(cx.get("list")));
  }

  find(id: number): Item {
    const item = this.items.find((each) => each.id === id);
    if (item === undefined) throw new Error("there is no such item, perhaps somebody removed it");
    return item;
  }

  textOf(text: unknown): string {
    if (typeof text !== "string" || text.trim() === "") throw new Error("an item needs a text");
    return text.trim().slice(0, LONGEST);
  }
}
