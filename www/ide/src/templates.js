// The templates: a source and what the form says about it.

import chat from "./templates/chat.ts";
import counter from "./templates/counter.ts";
import hello from "./templates/hello.ts";
import poll from "./templates/poll.ts";

const templates = {
  hello: {
    source: hello, state: "none", description: "Greets whoever calls.", tags: "example",
    methods: { greet: { description: "Takes a name.", readOnly: true } },
  },
  counter: {
    source: counter, state: "single", storage: "1", description: "One number that everybody adds to.", tags: "example",
    methods: { add: { body: { type: "integer" }, reply: { type: "integer" } }, read: { reply: { type: "integer" }, readOnly: true } },
  },
  chat: {
    source: chat, state: "single", description: "A room for everybody who is here.", tags: "example, chat",
    methods: { name: { description: "Sets your name." }, history: { reply: { type: "array" }, readOnly: true } },
  },
  poll: {
    source: poll, state: "single", description: "Tea or coffee? One vote each.", tags: "example, voting",
    methods: { vote: { description: "Takes tea, coffee or neither.", reply: { type: "object" } }, result: { reply: { type: "object" }, readOnly: true } },
  },
};

/** The template `name`, else the first: the fields of the app's form and `source`. */
export function template(name) {
  const key = Object.hasOwn(templates, name) ? name : "hello";
  const { methods, ...rest } = templates[key];
  return { template: key, name: key, version: "1.0.0", interface: JSON.stringify(methods, null, 2), ...rest };
}
