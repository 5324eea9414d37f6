// The editor: CodeMirror behind one class.
//
// It lives in a shadow root: CodeMirror then adopts its style sheets, which a strict `style-src 'self'` allows,
// where <style> elements would be refused.

import { autocompletion, closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { css } from "@codemirror/lang-css";
import { html } from "@codemirror/lang-html";
import { javascript } from "@codemirror/lang-javascript";
import { bracketMatching, foldGutter, foldKeymap, HighlightStyle, indentOnInput, indentUnit, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
import { wast } from "@codemirror/legacy-modes/mode/wast";
import { lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { inUnits } from "./limits.js";

/** The longest text that is coloured as you type; beyond it the editor stays plain and fast. */
const MAX_HIGHLIGHTED = 300_000;

/** A text up to this many characters is handed on at every frame in which it changed, a longer one when typing rests. */
const AT_ONCE = 100_000;
const REST_MS = 400;

/**
 * Shows the files of a project in `el`, one at a time; each keeps its undo history and its place while the project is open.
 *
 * `changed(path)` is called after a changed text was written to the project. Diagnostics are `{ file, line, column, length, severity,
 * message }`: 1-based, in UTF-16 units; those with line 0 or of another file are not marked here.
 */
export class Workspace {
  #project;
  #changed;
  #view;
  #states = new Map();
  #path = "";
  #scheduled = 0;
  #timer = 0;
  #pending = false;
  #marks = [];
  #leave = () => this.sync();

  constructor(el, project, changed) {
    this.#project = project;
    this.#changed = changed;
    const root = el.shadowRoot ?? el.attachShadow({ mode: "open" });
    const parent = document.createElement("div");
    root.replaceChildren(parent);
    this.#view = new EditorView({ parent, root });
    // Before the store asks what is not written yet: it listens on the same events, later on their way.
    addEventListener("pagehide", this.#leave, { capture: true });
    document.addEventListener("visibilitychange", this.#leave, { capture: true });
    this.open(project.entry());
  }

  /** The file that is shown. */
  get path() {
    return this.#path;
  }

  /** Shows a file; the entry where there is none of that name. */
  open(path) {
    this.sync();
    const wanted = this.#project.has(path) ? path : this.#project.paths()[0] ?? "";
    if (this.#path && this.#project.has(this.#path)) this.#states.set(this.#path, this.#view.state);
    this.#path = wanted;
    this.#view.setState(this.#states.get(wanted) ?? this.#stateOf(wanted));
    this.#show(this.#marks);
  }

  /** A file has another name now. */
  renamed(from, to) {
    const state = this.#path === from ? this.#view.state : this.#states.get(from);
    this.#states.delete(from);
    // Of another kind by its ending, perhaps: the text stays, its history does not.
    if (state && kindOf(from) === kindOf(to)) this.#states.set(to, state);
    if (this.#path === from) {
      this.#path = "";
      this.open(to);
    }
  }

  /** A file is gone. */
  removed(path) {
    this.#states.delete(path);
    if (this.#path !== path) return;
    clearTimeout(this.#timer);
    this.#pending = false;
    this.#path = "";
    this.open(this.#project.entry());
  }

  /** The project's files were replaced as a whole. */
  reload() {
    clearTimeout(this.#timer);
    this.#pending = false;
    this.#states.clear();
    const path = this.#path;
    this.#path = "";
    this.open(path);
  }

  /** Writes what was typed to the project now. */
  sync() {
    clearTimeout(this.#timer);
    if (!this.#pending) return;
    this.#pending = false;
    this.#project.write(this.#path, this.#view.state.doc.toString());
    this.#changed(this.#path);
  }

  /** Marks what a compiler found. */
  mark(diagnostics) {
    this.#marks = diagnostics;
    this.#show(diagnostics);
  }

  /** Shows a line of a file. */
  goto(path, line) {
    if (path && path !== this.#path) this.open(path);
    const { doc } = this.#view.state;
    const at = doc.line(clamp(line, 1, doc.lines)).from;
    this.#view.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: "center" }) });
    this.#view.focus();
  }

  focus() {
    this.#view.focus();
  }

  destroy() {
    this.sync();
    removeEventListener("pagehide", this.#leave, { capture: true });
    document.removeEventListener("visibilitychange", this.#leave, { capture: true });
    cancelAnimationFrame(this.#scheduled);
    this.#view.destroy();
  }

  #show(diagnostics) {
    const { state } = this.#view;
    const here = diagnostics.filter(({ file, line }) => line > 0 && (file ?? this.#project.entry()) === this.#path);
    this.#view.dispatch(setDiagnostics(state, here.map((each) => toRange(state.doc, each))));
  }

  #stateOf(path) {
    const content = this.#project.content(path);
    const binary = content instanceof Uint8Array;
    const doc = binary ? `${path}: ${inUnits(content.byteLength)} of bytes that are no text.` : content ?? "";
    const fixed = binary || content === undefined ? [EditorState.readOnly.of(true)] : [];
    const changes = EditorView.updateListener.of((update) => {
      if (!update.docChanged) return;
      if (update.state.doc.length > MAX_HIGHLIGHTED && update.startState.doc.length <= MAX_HIGHLIGHTED) {
        // In its own turn: an update cannot begin another one.
        queueMicrotask(() => this.#view.dispatch({ effects: clever.reconfigure([]) }));
      }
      this.#noteChange();
    });
    const extensions = [always, large, theme, EditorView.contentAttributes.of({ "aria-label": `Text of ${path}. Escape and then Tab leaves it.`, spellcheck: "false" }), clever.of(doc.length > MAX_HIGHLIGHTED ? [] : help(path)), ...fixed, changes];
    return EditorState.create({ doc, extensions });
  }

  #noteChange() {
    this.#pending = true;
    if (this.#view.state.doc.length > AT_ONCE) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.sync(), REST_MS);
    } else if (!this.#scheduled) {
      this.#scheduled = requestAnimationFrame(() => {
        this.#scheduled = 0;
        this.sync();
      });
    }
  }
}

/** A text of at least this length that arrives in one piece. */
const LARGE = 1_000;

/** The browser would lay a large text out in the page before the editor takes it from there: minutes for megabytes. */
const large = EditorView.domEventHandlers({
  beforeinput(event, view) {
    if (event.inputType !== "insertText" || (event.data?.length ?? 0) < LARGE || view.state.readOnly) return false;
    event.preventDefault();
    view.dispatch(view.state.replaceSelection(event.data), { scrollIntoView: true, userEvent: "input.type" });
    return true;
  },
});

/** What depends on a text's language and is too slow for a long one. */
const clever = new Compartment();

const always = [
  lineNumbers(), highlightActiveLineGutter(), highlightActiveLine(), history(), foldGutter(), drawSelection(), lintGutter(),
  indentUnit.of("  "), EditorState.tabSize.of(2), EditorView.lineWrapping, closeBrackets(), autocompletion(),
  keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...lintKeymap, indentWithTab]),
];

function help(path) {
  return [languageFor[kindOf(path)](), syntaxHighlighting(colours), indentOnInput(), bracketMatching(), highlightSelectionMatches()];
}

/** The language of a file, by its ending. */
function kindOf(path) {
  const ending = path.slice(path.lastIndexOf(".") + 1).toLowerCase();
  return { ts: "typescript", js: "javascript", json: "javascript", html: "html", htm: "html", css: "css", wat: "wat" }[ending] ?? "text";
}

const languageFor = {
  typescript: () => javascript({ typescript: true }),
  javascript: () => javascript(),
  html: () => html(),
  css: () => css(),
  wat: () => StreamLanguage.define(wast),
  text: () => [],
};

function toRange(doc, { line, column, length, severity, message }) {
  const at = doc.line(clamp(line, 1, doc.lines));
  const from = Math.min(at.from + Math.max(0, column - 1), at.to);
  const to = Math.min(doc.length, Math.max(from + length, from));
  return { from, to, severity, message };
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

// Colours come from the app's custom properties, which reach into the shadow root, so the theme switches at once.
const theme = EditorView.theme({
  "&": { color: "var(--ink)", backgroundColor: "var(--surface)", fontSize: "0.875rem", height: "100%" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6" },
  ".cm-content": { caretColor: "var(--accent)", padding: "12px 0" },
  ".cm-cursor": { borderLeftColor: "var(--accent)", borderLeftWidth: "2px" },
  ".cm-gutters": { backgroundColor: "var(--surface)", color: "var(--faint)", border: "none" },
  ".cm-lineNumbers .cm-gutterElement": { padding: "0 4px 0 10px", minWidth: "28px" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--accent) 6%, transparent)" },
  ".cm-activeLineGutter": { backgroundColor: "transparent", color: "var(--ink)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "color-mix(in srgb, var(--accent) 24%, transparent)",
  },
  ".cm-selectionMatch": { backgroundColor: "color-mix(in srgb, var(--accent) 14%, transparent)" },
  ".cm-matchingBracket": { backgroundColor: "color-mix(in srgb, var(--accent) 22%, transparent) !important", color: "inherit" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--ink)", border: "1px solid var(--line)", borderRadius: "8px", overflow: "hidden" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-diagnostic": { padding: "6px 10px", fontFamily: "var(--sans)" },
  ".cm-diagnostic-error": { borderLeft: "3px solid var(--bad)" },
  ".cm-diagnostic-warning": { borderLeft: "3px solid var(--warn)" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad)", textUnderlineOffset: "3px" },
  ".cm-lintRange-warning": { backgroundImage: "none", textDecoration: "underline wavy var(--warn)", textUnderlineOffset: "3px" },
  ".cm-panels": { backgroundColor: "var(--raised)", color: "var(--ink)" },
  ".cm-textfield": { backgroundColor: "var(--surface)", border: "1px solid var(--line)", borderRadius: "6px" },
  ".cm-button": { backgroundImage: "none", backgroundColor: "var(--surface)", border: "1px solid var(--line)", borderRadius: "6px" },
});

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.modifier, tags.operatorKeyword], color: "var(--code-keyword)" },
  { tag: [tags.string, tags.special(tags.string), tags.regexp], color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-number)" },
  { tag: [tags.typeName, tags.className, tags.namespace], color: "var(--code-type)" },
  { tag: [tags.function(tags.variableName), tags.function(tags.propertyName), tags.definition(tags.function(tags.variableName))], color: "var(--code-function)" },
  { tag: [tags.lineComment, tags.blockComment], color: "var(--faint)", fontStyle: "italic" },
  { tag: tags.meta, color: "var(--code-keyword)" },
]);
