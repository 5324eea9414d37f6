// One vote for each person. A person is known by the key of their tab.
import { text, type Cx, type Session } from "tabfarm";

const QUESTION = "Tea or coffee?";
const CHOICES = ["tea", "coffee", "neither"];

export default class Poll {
  // The choice of each voter, by the voter's key.
  votes = new Map<string, string>();

  open(cx: Cx, session: Session) {
    cx.join(session, "voters");
    cx.send(session, this.result());
  }

  call(cx: Cx, session: Session, method: string, body: Uint8Array) {
    if (method === "vote") {
      const choice = text(body).trim().toLowerCase();
      if (!CHOICES.includes(choice)) throw new Error(`choose one of ${CHOICES.join(", ")}`);
      const key = cx.peer(session);
      if (key === null) throw new Error("the session is closed");
      // Voting again changes the vote.
      this.votes.set(key.join("."), choice);
      cx.broadcast("voters", this.result());
      return this.result();
    }
    return this.query(cx, session, method);
  }

  query(cx: Cx, session: Session, method: string) {
    if (method === "result") return this.result();
    throw cx.unknown(method);
  }

  result() {
    const votes = [...this.votes.values()];
    const counts = CHOICES.map((choice) => [choice, votes.filter((vote) => vote === choice).length]);
    return { question: QUESTION, ...Object.fromEntries(counts) };
  }
}
