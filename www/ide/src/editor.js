// The editor: CodeMirror behind one function.
//
// It lives in a shadow root: CodeMirror then adopts its style sheets, which a strict `style-src 'self'` allows,
// where <style> elements would be refused.

import { autocompletion, closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { javascript } from "@codemirror/lang-javascript";
import { bracketMatching, foldGutter, foldKeymap, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

/** The longest text that is coloured as you type; beyond it the editor stays plain and fast. */
const MAX_HIGHLIGHTED = 300_000;

/**
 * Shows an editor in `el`.
 *
 * `onChange()` is called after each change of the text, at most once per frame. The result has `text()`, `length()`, `replace(text)`, `mark(diagnostics)` with
 * `{ line, column, length, severity, message }` (1-based, in UTF-16 units; line 0 is not marked), `goto(line)`, `focus()` and `destroy()`.
 */
export function mount(el, doc, onChange) {
  const root = el.shadowRoot ?? el.attachShadow({ mode: "open" });
  const parent = document.createElement("div");
  root.replaceChildren(parent);
  let scheduled = 0;
  const changed = EditorView.updateListener.of((update) => {
    if (!update.docChanged || scheduled) return;
    scheduled = requestAnimationFrame(() => {
      scheduled = 0;
      onChange();
    });
  });
  const stateOf = (text) => EditorState.create({ doc: text, extensions: [...extensions(text), changed] });
  const view = new EditorView({ state: stateOf(doc), parent, root });
  return {
    text: () => view.state.doc.toString(),
    length: () => view.state.doc.length,
    replace(text) {
      view.setState(stateOf(text));
      onChange();
    },
    mark(diagnostics) {
      view.dispatch(setDiagnostics(view.state, diagnostics.filter(({ line }) => line > 0).map((each) => toRange(view.state.doc, each))));
    },
    goto(line) {
      const at = view.state.doc.line(clamp(line, 1, view.state.doc.lines)).from;
      view.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: "center" }) });
      view.focus();
    },
    focus: () => view.focus(),
    destroy() {
      cancelAnimationFrame(scheduled);
      view.destroy();
    },
  };
}

function extensions(text) {
  const always = [
    lineNumbers(), highlightActiveLineGutter(), highlightActiveLine(), history(), foldGutter(), drawSelection(), lintGutter(),
    indentUnit.of("  "), EditorState.tabSize.of(2), EditorView.lineWrapping, theme,
    EditorView.contentAttributes.of({ "aria-label": "Source of your service", spellcheck: "false" }),
    keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...lintKeymap, indentWithTab]),
  ];
  if (text.length > MAX_HIGHLIGHTED) return always;
  return [
    ...always, javascript({ typescript: true }), syntaxHighlighting(colours), indentOnInput(), bracketMatching(), closeBrackets(),
    autocompletion(), highlightSelectionMatches(),
  ];
}

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
