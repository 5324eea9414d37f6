// The chat's own page. It knows nothing but `tabfarm`, its session.

const MAX_LINES = 300;
const element = (id) => document.getElementById(id);
const encode = (text) => new TextEncoder().encode(text);
const decode = (body) => new TextDecoder().decode(body);
let name = "";

tabfarm.addEventListener("message", ({ detail }) => show(JSON.parse(decode(detail))));
tabfarm.addEventListener("moved", () => note("This chat moved to another tab. Go on."));
tabfarm.addEventListener("close", () => problem("The connection ended. Open the service again."));

submitted("say", () => {
  const text = element("text").value.trim();
  if (!text) return;
  tabfarm.send(encode(text));
  element("text").value = "";
});

submitted("me", async () => {
  try {
    const wanted = element("name").value.trim();
    if (wanted && wanted !== name) name = decode(await tabfarm.call("name", encode(wanted)));
    const room = element("room").value.trim();
    if (room) await tabfarm.call("room", encode(room));
    await look();
    problem("");
  } catch (error) {
    problem(error.message);
  }
});

look().catch((error) => problem(error.message));

/** A frame without the right to submit forms gets no submit event: its button and the Enter key take its place. */
function submitted(form, act) {
  element(form).querySelector("button").addEventListener("click", act);
  element(form).addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || event.target.localName !== "input") return;
    event.preventDefault();
    act();
  });
}

/** Reads who I am, who is here and what was said. */
async function look() {
  const state = JSON.parse(decode(await tabfarm.query("state")));
  name = state.name;
  element("name").value = name;
  element("room").value = state.room;
  element("people").textContent = `Here: ${state.people.join(", ")}`;
  element("lines").replaceChildren();
  for (const line of state.history) show(line);
}

function show(event) {
  if (event.type === "say") return said(event);
  if (event.type === "join") note(`${event.name} came.`);
  if (event.type === "leave") note(`${event.name} went.`);
  if (event.type === "name") note(`${event.from} is ${event.to} now.`);
  if (event.type === "error") return problem(event.text);
  refreshPeople();
}

function said({ from, text }) {
  const line = document.createElement("li");
  line.className = from === name ? "said mine" : "said";
  const who = document.createElement("b");
  who.textContent = from;
  line.append(who, text);
  add(line);
}

function note(text) {
  const line = document.createElement("li");
  line.className = "note";
  line.textContent = text;
  add(line);
}

function add(line) {
  const lines = element("lines");
  lines.append(line);
  while (lines.children.length > MAX_LINES) lines.firstChild.remove();
  lines.scrollTop = lines.scrollHeight;
}

function problem(text) {
  element("problem").textContent = text;
}

let asked = 0;
function refreshPeople() {
  clearTimeout(asked);
  asked = setTimeout(async () => {
    const state = JSON.parse(decode(await tabfarm.query("state")));
    element("people").textContent = `Here: ${state.people.join(", ")}`;
  }, 200);
}
