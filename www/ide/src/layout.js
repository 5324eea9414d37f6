// Where the AssemblyScript compiler finds what it compiles.

/** What is compiled: only its exports become the module's. No file of a project can have this name. */
export const ENTRY = "$entry.ts";

export const entryText = `import "./service";\nexport { handle } from "tabfarm";\n`;
