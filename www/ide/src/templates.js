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
import scriptChat from "./templates/script/chat.ts";
import scriptCounter from "./templates/script/counter.ts";
import scriptHello from "./templates/script/hello.ts";
import scriptLife from "./templates/script/game-of-life.ts";
import scriptLifePage from "./templates/script/game-of-life.html";
import scriptList from "./templates/script/shared-list.ts";
import scriptListPage from "./templates/script/shared-list.html";
import scriptPoll from "./templates/script/poll.ts";
import scriptWebhook from "./templates/script/webhook-receiver.ts";

const integer = { type: "integer" };
const array = { type: "array" };
const object = { type: "object" };
const item = (properties, required) => ({ type: "object", properties, required });

/** By language, then name. `methods` and `examples` as in a manifest. */
const templates = {
  assemblyscript: {
    hello: {
      files: { "service.ts": hello }, state: "none", description: "Greets whoever calls.", tags: "example",
      // No examples: it is the first thing that people change into something else.
      methods: { greet: { description: "Takes a name.", readOnly: true } }, examples: [],
    },
    counter: {
      files: { "service.ts": counter }, state: "single", storage: "1", description: "One number that everybody adds to.", tags: "example",
      methods: { add: { body: integer, reply: integer }, read: { reply: integer, readOnly: true } },
      examples: [{ method: "add", body: 2, reply: 2 }, { method: "add", body: 3, reply: 5 }, { method: "read", reply: 5 }],
    },
    chat: {
      files: { "service.ts": chat }, state: "single", description: "A room for everybody who is here.", tags: "example, chat",
      methods: { name: { description: "Sets your name." }, history: { reply: array, readOnly: true } },
      examples: [{ method: "name", body: "ada", reply: "ada" }, { method: "history", reply: [] }],
    },
    poll: {
      files: { "service.ts": poll }, state: "single", description: "Tea or coffee? One vote each.", tags: "example, voting",
      methods: { vote: { description: "Takes tea, coffee or neither.", reply: object }, result: { reply: object, readOnly: true } },
      examples: [{ method: "vote", body: "tea", reply: { question: "Tea or coffee?", tea: 1, coffee: 0, neither: 0 } }],
    },
    "shared-list": {
      files: { "service.ts": list, "ui/index.html": listPage }, state: "single", storage: "1", description: "A list that everybody edits, with a page of its own.", tags: "example, list",
      methods: {
        add: { description: "Adds a line of 1 to 200 characters.", reply: array },
        done: { description: "Removes the line of that number.", body: integer, reply: array },
        items: { reply: array, readOnly: true },
      },
      examples: [{ method: "add", body: "milk", reply: [{ id: 1, text: "milk" }] }, { method: "done", body: 1, reply: [] }],
    },
    "webhook-receiver": {
      files: { "service.ts": webhook }, state: "single", description: "Keeps the last events that other programs post to it.", tags: "example, webhook",
      methods: {
        receive: { description: "Takes any body, as a POST through a relay's gateway brings it." },
        last: { description: "The last events, newest first.", reply: array, readOnly: true },
        count: { reply: integer, readOnly: true },
      },
      examples: [{ method: "count", reply: 0 }, { method: "receive", body: "deployed", reply: "1" }, { method: "count", reply: 1 }],
    },
    "game-of-life": {
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
  script: {
    hello: {
      files: { "service.ts": scriptHello }, state: "none", description: "Greets whoever calls.", tags: "example",
      methods: { greet: { description: "Takes a name.", readOnly: true } }, examples: [],
    },
    counter: {
      files: { "service.ts": scriptCounter }, state: "single", storage: "1", description: "One number that everybody adds to.", tags: "example",
      methods: { add: { body: integer, reply: integer }, read: { reply: integer, readOnly: true } },
      examples: [{ method: "add", body: 2, reply: 2 }, { method: "add", body: 3, reply: 5 }, { method: "read", reply: 5 }],
    },
    chat: {
      files: { "service.ts": scriptChat }, state: "single", description: "A room for everybody who is here.", tags: "example, chat",
      methods: { name: { description: "Sets your name." }, history: { reply: array, readOnly: true } },
      examples: [{ method: "name", body: "ada", reply: "ada" }, { method: "history", reply: [] }],
    },
    poll: {
      files: { "service.ts": scriptPoll }, state: "single", description: "Tea or coffee? One vote each.", tags: "example, voting",
      methods: { vote: { description: "Takes tea, coffee or neither.", reply: object }, result: { reply: object, readOnly: true } },
      examples: [{ method: "vote", body: "tea", reply: { question: "Tea or coffee?", tea: 1, coffee: 0, neither: 0 } }],
    },
    "shared-list": {
      files: { "service.ts": scriptList, "ui/index.html": scriptListPage }, state: "single", storage: "1", description: "A list that everybody edits, with a page of its own.", tags: "example, list",
      methods: {
        add: { body: item({ text: { type: "string", maxLength: 200 } }, ["text"]), reply: array },
        set: { body: item({ id: integer, text: { type: "string" }, done: { type: "boolean" } }, ["id"]), reply: array },
        remove: { body: item({ id: integer }, ["id"]), reply: array },
        list: { reply: array, readOnly: true },
      },
      examples: [{ method: "add", body: { text: "milk" }, reply: [{ id: 1, text: "milk", done: false }] }, { method: "remove", body: { id: 1 }, reply: [] }],
    },
    "webhook-receiver": {
      files: { "service.ts": scriptWebhook }, state: "single", description: "Shows what other systems post to it.", tags: "example, webhook",
      methods: { hook: { description: "Takes any body, as a POST through a relay's gateway brings it.", reply: object }, list: { reply: array, readOnly: true } },
      examples: [{ method: "hook", body: "deployed", reply: { received: 1 } }],
    },
    "game-of-life": {
      files: { "service.ts": scriptLife, "ui/index.html": scriptLifePage }, state: "single", description: "Conway's game of life on one board for all.", tags: "example, game",
      methods: {
        toggle: { description: "[x, y], below 48 and 32.", body: { type: "array", items: integer, minItems: 2, maxItems: 2 }, reply: object },
        scatter: { description: "Fills the board at random.", reply: object },
        clear: { reply: object },
        step: { description: "One generation.", reply: object },
        board: { reply: object, readOnly: true },
      },
      examples: [{ method: "toggle", body: [1, 1] }, { method: "step" }],
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
