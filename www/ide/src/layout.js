// Where the compiler finds what it compiles.

/** The person's source. */
export const SOURCE = "service.ts";
/** What is compiled: only its exports become the module's. */
export const ENTRY = "entry.ts";

export const entryText = `import "./service";\nexport { handle } from "tabfarm";\n`;
