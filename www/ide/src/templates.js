// The templates: files, and what the form says about them. A template's page is a file of its own below `ui/`.

import chat from "./templates/chat.ts";
import counter from "./templates/counter.ts";
import hello from "./templates/hello.ts";
import life from "./templates/life.ts";
import lifePage from "./templates/life.html";
import list from "./templates/list.ts";
import listPage from "./templates/list.html";
import plain from "./templates/plain.wat";
import poll from "./templates/poll.ts";
import webhook from "./templates/webhook.ts";

const integer = { type: "integer" };
const text = { type: "string" };

/** By language, then name. `methods` and `examples` as in a manifest. */
const templates = {
  assemblyscript: {
    hello: {
      files: { "service.ts": hello }, state: "none", description: "Greets whoever calls.", tags: "example",
      methods: { greet: { description: "Takes a name.", readOnly: true } },
      // What it greets with is the first thing that people change: any reply will do.
      examples: [{ method: "greet", body: "Ada" }],
    },
    counter: {
      files: { "service.ts": counter }, state: "single", storage: "1", description: "One number that everybody adds to.", tags: "example",
      methods: { add: { body: integer, reply: integer }, read: { reply: integer, readOnly: true } },
      examples: [{ method: "add", body: 2, reply: 2 }, { method: "add", body: 3, reply: 5 }, { method: "read", reply: 5 }],
    },
    chat: {
      files: { "service.ts": chat }, state: "single", description: "A room for everybody who is here.", tags: "example, chat",
      methods: { name: { description: "Sets your name." }, history: { reply: { type: "array" }, readOnly: true } },
      examples: [{ method: "name", body: "ada", reply: "ada" }, { method: "history", reply: [] }],
    },
    poll: {
      files: { "service.ts": poll }, state: "single", description: "Tea or coffee? One vote each.", tags: "example, voting",
      methods: { vote: { description: "Takes tea, coffee or neither.", reply: { type: "object" } }, result: { reply: { type: "object" }, readOnly: true } },
      examples: [{ method: "vote", body: "tea", reply: { question: "Tea or coffee?", tea: 1, coffee: 0, neither: 0 } }],
    },
    list: {
      files: { "service.ts": list, "ui/index.html": listPage }, state: "single", storage: "1", description: "A list that everybody edits, with a page of its own.", tags: "example, list",
      methods: {
        add: { description: "Adds a line of 1 to 200 characters.", reply: { type: "array" } },
        done: { description: "Removes the line of that number.", body: integer, reply: { type: "array" } },
        items: { reply: { type: "array" }, readOnly: true },
      },
      examples: [{ method: "add", body: "milk", reply: [{ id: 1, text: "milk" }] }, { method: "done", body: 1, reply: [] }],
    },
    webhook: {
      files: { "service.ts": webhook }, state: "single", description: "Keeps the last events that other programs post to it.", tags: "example, webhook",
      methods: {
        receive: { description: "Takes any body, as a POST through a relay's gateway brings it." },
        last: { description: "The last events, newest first.", reply: { type: "array" }, readOnly: true },
        count: { reply: integer, readOnly: true },
      },
      examples: [{ method: "count", reply: 0 }, { method: "receive", body: "deployed", reply: "1" }, { method: "count", reply: 1 }],
    },
    life: {
      files: { "service.ts": life, "ui/index.html": lifePage }, state: "single", description: "Conway's game of life on one board for all.", tags: "example, game",
      methods: {
        toggle: { body: { type: "object", properties: { x: { type: "integer", minimum: 0, maximum: 31 }, y: { type: "integer", minimum: 0, maximum: 31 } }, required: ["x", "y"] } },
        run: { description: "Starts or stops the clock.", body: { type: "boolean" } },
        step: { description: "One generation." },
        board: { description: "32 rows of 32 cells: # or .", readOnly: true },
      },
      examples: [{ method: "toggle", body: { x: 1, y: 1 }, reply: "1" }, { method: "step", reply: "0" }],
    },
  },
  wat: {
    plain: {
      files: { "service.wat": plain }, state: "none", description: "Gives back what it gets, in 40 lines of WAT.", tags: "example",
      methods: { echo: {} },
      examples: [{ method: "echo", body: "hello", reply: "hello" }],
    },
  },
  wasm: {
    upload: { files: {}, state: "none", description: "", tags: "", methods: {}, examples: [] },
  },
};

/** The templates of a language, by name. */
export function templateNames(language) {
  return Object.keys(templates[language] ?? {});
}

/** A template: the fields of the app's form, `language`, and `files` as a `Map`. The first one where there is none of that name. */
export function template(name, language = "assemblyscript") {
  const spoken = Object.hasOwn(templates, language) ? language : "assemblyscript";
  const known = templates[spoken];
  const key = Object.hasOwn(known, name) ? name : Object.keys(known)[0];
  const { files, methods, examples, ...rest } = known[key];
  return {
    template: key, language: spoken, name: key, version: "1.0.0", interface: JSON.stringify(methods, null, 2), examples: JSON.stringify(examples),
    ...rest, files: new Map(Object.entries(files)),
  };
}
