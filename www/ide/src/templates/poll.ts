// A poll: one question, one vote per person. A person is known by the key of their tab.
import { Service, Cx, Session, serve, text, bytes, quote } from "tabfarm";

const QUESTION = "Tea or coffee?";
const CHOICES = ["tea", "coffee", "neither"];

class Poll extends Service {
  // The choice of each voter, by the voter's key.
  votes: Map<string, i32> = new Map<string, i32>();

  open(cx: Cx, session: Session): void {
    cx.join(session, "voters");
    cx.send(session, bytes(this.result()));
  }

  call(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
    if (method == "vote") {
      const choice = CHOICES.indexOf(text(body).trim().toLowerCase());
      if (choice < 0) return cx.fail(`choose one of ${CHOICES.join(", ")}`);
      const key = cx.peer(session);
      if (key === null) return cx.fail("the session is closed");
      // Voting again changes the vote.
      this.votes.set(key.join("."), choice);
      const result = bytes(this.result());
      cx.broadcast("voters", result);
      return result;
    }
    return this.query(cx, session, method, body);
  }

  query(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
    if (method == "result") return bytes(this.result());
    return cx.unknown(method);
  }

  result(): string {
    const counts = new StaticArray<i32>(CHOICES.length);
    const votes = this.votes.values();
    for (let at = 0; at < votes.length; at++) counts[votes[at]] += 1;
    let json = `{"question":${quote(QUESTION)}`;
    for (let at = 0; at < CHOICES.length; at++) json += `,${quote(CHOICES[at])}:${counts[at]}`;
    return json + "}";
  }
}

serve(new Poll());
