// The page's editor: CodeMirror with what cnnc says of the text. `globalThis.makeEditor` is all that the page uses of it.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { HighlightStyle, StreamLanguage, bracketMatching, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorState, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration, EditorView, WidgetType, drawSelection, highlightActiveLine, highlightActiveLineGutter, hoverTooltip, keymap,
  lineNumbers,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";

const STATEMENTS = /^(model|input|param|default|block|shared|extern|use|output|expect)\b(?![ \t]*:)/;
const TOKENS = [
  [/^#.*/, "comment"],
  [/^"[^"\n]*"(?=[ \t]*:)/, "labelName"],
  [/^"[^"\n]*"/, "string"],
  [/^[A-Za-z_][\w.]*(?=[ \t]*:)/, "labelName"],
  [/^(if|else|for|in|and|or|not|from|as|with|within)\b/, "keyword"],
  [/^[A-Za-z_]\w*(?=[ \t]*=(?!=))/, "propertyName"],
  [/^\d[\w.]*/, "number"],
  [/^[A-Za-z_][A-Za-z_.]*/, "typeName"],
  [/^(->|\*\*|\/\/|\.\.|==|!=|<=|>=|~=|[-+*/%<>=|&@])/, "operator"],
  [/^[[\](){},:]/, "punctuation"],
];

const language = StreamLanguage.define({
  name: "cnnc",
  languageData: { commentTokens: { line: "#" }, closeBrackets: { brackets: ["(", "[", "{", '"'] } },
  token(stream) {
    if (stream.eatSpace()) return null;
    if (stream.string.slice(0, stream.pos).trim() === "" && stream.match(STATEMENTS)) return "keyword";
    for (const [pattern, name] of TOKENS) if (stream.match(pattern)) return name;
    stream.next();
    return null;
  },
});

const colours = HighlightStyle.define([
  { tag: tags.comment, color: "var(--faint)", fontStyle: "italic" },
  { tag: tags.keyword, color: "var(--e-keyword)" },
  { tag: tags.labelName, color: "var(--e-label)" },
  { tag: tags.string, color: "var(--e-string)" },
  { tag: tags.number, color: "var(--e-number)" },
  { tag: tags.propertyName, color: "var(--e-key)" },
  { tag: tags.typeName, color: "var(--ink)" },
  { tag: tags.operator, color: "var(--e-operator)" },
]);

// --- what stands at the ends of lines, and lines that are lit ---

class Inlay extends WidgetType {
  constructor(text, tip) {
    super();
    this.text = text;
    this.tip = tip;
  }
  eq(other) {
    return other.text === this.text && other.tip === this.tip;
  }
  toDOM() {
    const element = document.createElement("span");
    Object.assign(element, { className: "inlay", textContent: this.text, title: this.tip });
    return element;
  }
}

const setInlays = StateEffect.define();
const setLit = StateEffect.define();

const inlays = StateField.define({
  create: () => Decoration.none,
  update(shown, transaction) {
    if (transaction.docChanged) {
      const { doc } = transaction.state;
      const touched = new Set();
      transaction.changes.iterChangedRanges((a, b, from, to) => {
        for (let n = doc.lineAt(from).number; n <= doc.lineAt(to).number; n++) touched.add(n);
      });
      // A line that is being written shows nothing until it is understood.
      shown = shown.map(transaction.changes).update({ filter: (at) => !touched.has(doc.lineAt(at).number) });
    }
    for (const effect of transaction.effects) if (effect.is(setInlays)) shown = effect.value;
    return shown;
  },
  provide: (field) => EditorView.decorations.from(field),
});

const lit = StateField.define({
  create: () => Decoration.none,
  update(shown, transaction) {
    shown = transaction.docChanged ? Decoration.none : shown;
    for (const effect of transaction.effects) if (effect.is(setLit)) shown = effect.value;
    return shown;
  },
  provide: (field) => EditorView.decorations.from(field),
});

const KINDS = { layer: "class", block: "function", label: "variable", param: "constant", argument: "property", value: "enum", word: "keyword", spec: "text", file: "text", figure: "property", function: "function" };

globalThis.makeEditor = (parent, { text, changed, moved, complete, hover, fixes, save }) => {
  let quiet = false;
  const completions = async (context) => {
    const before = context.matchBefore(/[\w."]*$/);
    const trigger = /[(=,{/\-\s]$/.test(context.state.doc.sliceString(Math.max(0, context.pos - 1), context.pos));
    if (!context.explicit && !trigger && (!before || before.from === before.to)) return null;
    if (!context.explicit && trigger && /(^|\s)$/.test(context.state.doc.sliceString(Math.max(0, context.pos - 2), context.pos))) return null;
    const items = await complete(context.state.doc.toString(), context.pos);
    if (!items.length) return null;
    return {
      from: items[0].from,
      options: items.map((item, i) => ({ label: item.label, apply: item.text, detail: item.detail.slice(0, 60), type: KINDS[item.kind], boost: -i / items.length })),
      validFor: /^\w*$/,
    };
  };
  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: text,
      extensions: [
        lineNumbers(), highlightActiveLineGutter(), highlightActiveLine(), history(), drawSelection(), indentOnInput(), bracketMatching(),
        closeBrackets(), highlightSelectionMatches(), lintGutter(), language, syntaxHighlighting(colours), inlays, lit,
        autocompletion({ override: [completions], icons: false }),
        hoverTooltip(async (view, at) => {
          const found = await hover(view.state.doc.toString(), at);
          return found && { pos: found.from, end: found.to, above: true, create: () => ({ dom: found.element }) };
        }),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": "The spec", autocapitalize: "off", autocorrect: "off" }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged && !quiet) changed(update.state.doc.toString());
          if (update.selectionSet || update.docChanged) moved(update.state.doc.lineAt(update.state.selection.main.head).number);
        }),
        keymap.of([
          { key: "Mod-s", run: () => (save(), true) },
          ...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...completionKeymap, ...lintKeymap, indentWithTab,
        ]),
      ],
    }),
  });
  const lineAt = (number) => (number <= view.state.doc.lines ? view.state.doc.line(number) : null);
  return {
    view,
    get text() {
      return view.state.doc.toString();
    },
    set(text) {
      quiet = true;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
      quiet = false;
    },
    replace(from, to, insert) {
      view.dispatch({ changes: { from, to, insert } });
    },
    showInlays(lines) {
      const found = lines.map(({ line, text, tip }) => [lineAt(line), text, tip]).filter(([line]) => line);
      const widgets = found.map(([line, text, tip]) => Decoration.widget({ widget: new Inlay(text, tip), side: 1 }).range(line.to));
      view.dispatch({ effects: setInlays.of(Decoration.set(widgets, true)) });
    },
    light(numbers) {
      const lines = numbers.map(lineAt).filter(Boolean);
      const marks = lines.map((line) => Decoration.line({ class: "lit-line" }).range(line.from));
      view.dispatch({ effects: setLit.of(Decoration.set(marks, true)) });
    },
    reveal(number) {
      const line = lineAt(number);
      if (line) view.dispatch({ effects: EditorView.scrollIntoView(line.from, { y: "nearest" }) });
    },
    go(offset) {
      view.dispatch({ selection: { anchor: Math.min(offset, view.state.doc.length) }, scrollIntoView: true });
      view.focus();
    },
    showFindings(findings) {
      const length = view.state.doc.length;
      const shown = findings.map((finding, number) => ({ finding, number })).filter(({ finding }) => finding.from !== null);
      view.dispatch(setDiagnostics(view.state, shown.map(({ finding, number }) => ({
        from: Math.min(finding.from, length),
        to: Math.min(Math.max(finding.to, finding.from), length),
        severity: { error: "error", warning: "warning", note: "info" }[finding.severity],
        source: finding.code,
        message: finding.message,
        actions: finding.severity === "note" ? [] : [{ name: "Mend", apply: () => fixes(number) }],
      }))));
    },
  };
};
