// The page: a text goes to the engine, what it means comes back; texts that come faster than answers are left out.
// `engine` is the way there: socket.js or inside.js.

{
  const byId = (id) => document.getElementById(id);
  const onClick = (id, act) => byId(id).addEventListener("click", act);

  // What is shown: the text and what is set beside it.
  const state = {zoo: "", files: {}, params: {}, sizes: {}, pinned: null, tab: "diagram", file: null, saved: null, version: 0};
  let answer = null, editor = null, shown = null, busy = false, again = false, ranges = {};

  const say = (text, bad = false) => {
    byId("status").textContent = text;
    byId("status").classList.toggle("bad", bad);
  };

  const ask = (name, question = {}) => engine.ask(name, question);

  const isDark = () => {
    const set = document.documentElement.style.colorScheme;
    return set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const question = (more = {}) => ({text: editor.text, zoo: state.zoo, files: state.files, params: state.params, sizes: state.sizes, ...more});

  // --- one text after the other ---

  async function refresh() {
    if (!answer && engine.waits) say(engine.waits);
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    do {
      again = false;
      const sent = question({tab: state.tab, pinned: state.pinned, dark: isDark()});
      try {
        const found = await ask("analyse", sent);
        if (sent.text === editor.text) show(found, sent);
        else again = true;
      } catch (error) {
        say(error.message, true);
      }
    } while (again);
    busy = false;
    document.body.dataset.shown = String(Number(document.body.dataset.shown ?? 0) + 1);
    keepInAddress();
  }

  function show(found, sent) {
    if (!answer && engine.waits) say("");
    answer = found;
    byId("editor").classList.toggle("broken", !found.figures);
    editor.showFindings(found.findings);
    listFindings(found.findings);
    byId("panel").classList.toggle("stale", !found.figures);
    if (!found.figures) return;
    const {figures} = found;
    editor.showInlays(found.lines);
    byId("model").textContent = figures.model;
    document.title = `${figures.model}: cnnc live`;
    const sizes = (named) => {
      const entries = Object.entries(named);
      return entries.length === 1 ? entries[0][1] : entries.map(([name, size]) => `${name} ${size}`).join(", ");
    };
    const bold = (text) => Object.assign(document.createElement("b"), {textContent: text});
    byId("figures").replaceChildren(
      bold(figures.params), " parameters, ", bold(figures.macs), " MACs, depth ", bold(figures.depth), ", ",
      `${sizes(figures.inputs)} to `, bold(sizes(figures.outputs)),
    );
    showSliders(found.sliders);
    if (found.tab) panel(sent.tab, found.tab);
    lightLine();
  }

  function listFindings(findings) {
    byId("findings").replaceChildren(...findings.map((finding, number) => {
      const item = document.createElement("li");
      item.className = finding.severity;
      const text = document.createElement("pre");
      text.textContent = finding.text;
      text.addEventListener("click", () => finding.from !== null && editor.go(finding.from));
      item.append(text);
      if (finding.severity !== "note") {
        const mend = document.createElement("button");
        Object.assign(mend, {type: "button", className: "mend", textContent: "Mend"});
        mend.addEventListener("click", () => offerFixes(number, mend));
        item.append(mend);
      }
      return item;
    }));
  }

  async function offerFixes(number, button) {
    const {fixes} = await ask("fixes", question({finding: number}));
    const where = button ?? byId("findings").children[number]?.querySelector(".mend");
    if (!fixes.length) {
      const none = Object.assign(document.createElement("span"), {className: "mend note", textContent: "no edit mends it by itself"});
      where?.replaceWith(none);
      return;
    }
    const choose = (fix) => editor.replace(fix.from, fix.to, fix.text);
    if (!button && fixes.length === 1) return choose(fixes[0]);
    where?.replaceWith(...fixes.map((fix) => {
      const one = Object.assign(document.createElement("button"), {type: "button", className: "mend", textContent: fix.title});
      one.addEventListener("click", () => choose(fix));
      return one;
    }));
  }

  // --- sliders ---

  function showSliders(sliders) {
    const kind = (one) => (one.kind === "param" ? state.params : state.sizes);
    // A size that is set is no longer free: its slider stays as it was.
    for (const one of sliders) ranges[one.name] ??= one;
    const names = new Set(sliders.map((one) => one.name));
    for (const name of Object.keys(state.sizes)) {
      if (!names.has(name) && ranges[name]) sliders.push({...ranges[name], value: state.sizes[name]});
    }
    const active = document.activeElement?.dataset?.name;
    if (active && byId("sliders").children.length === sliders.length) {
      for (const one of sliders) {
        const output = byId("sliders").querySelector(`output[data-name="${one.name}"]`);
        if (output) output.textContent = one.value;
      }
      return;
    }
    byId("sliders").replaceChildren(...sliders.map((one) => {
      const label = document.createElement("label"), slider = document.createElement("input");
      const output = Object.assign(document.createElement("output"), {textContent: one.value});
      output.dataset.name = slider.dataset.name = one.name;
      const low = Math.min(one.low, one.value), high = Math.max(one.high, one.value);
      Object.assign(slider, {type: "range", min: low, max: high, step: one.step});
      slider.value = one.value;
      slider.addEventListener("input", () => {
        kind(one)[one.name] = Number(slider.value);
        output.textContent = slider.value;
        refresh();
      });
      label.append(one.name, slider, output);
      if (one.name in kind(one)) {
        const reset = Object.assign(document.createElement("button"), {type: "button", textContent: "as written", title: "The value in the text"});
        reset.addEventListener("click", () => {
          delete kind(one)[one.name];
          refresh();
        });
        label.append(reset);
      }
      return label;
    }));
  }

  // --- tabs ---

  function panel(tab, content) {
    const place = byId("panel"), top = shown?.tab === tab ? place.scrollTop : 0;
    const view = shown?.tab === tab && shown.diagram ? shown.diagram.view : null;
    const open = shown?.tab === tab && shown.diagram ? shown.diagram.items : null;
    shown = {tab};
    place.classList.toggle("drawn", tab === "diagram" && !content.missing && !content.diagram.missing);
    if (content.missing) {
      place.replaceChildren(Object.assign(document.createElement("p"), {className: "missing", textContent: content.missing}));
    } else if (tab === "diagram") {
      showDiagram(place, content.diagram, view, open);
    } else if (tab === "field") {
      place.replaceChildren(byId("field-parts").content.cloneNode(true));
      shown.field = new Field(content.fields);
    } else if (tab === "volumes") {
      const picture = new DOMParser().parseFromString(content.svg, "image/svg+xml").documentElement;
      const holder = Object.assign(document.createElement("div"), {className: "volumes"});
      holder.append(picture);
      place.replaceChildren(holder);
    } else {
      place.innerHTML = content.html;  // made by the server, which escapes what a spec says
      if (tab === "layers") showTable(place);
    }
    place.scrollTop = top;
  }

  function showDiagram(place, record, view, open) {
    const canvas = Object.assign(document.createElement("div"), {id: "canvas"});
    const tools = Object.assign(document.createElement("p"), {className: "tools"});
    place.replaceChildren(tools, canvas);
    if (open) for (const frame of record.frames) frame.open = open.get(frame.id)?.open ?? frame.open;
    const diagram = shown.diagram = new Diagram(canvas, record);
    if (view) {
      diagram.view = view;
      diagram.show();
    }
    for (const [text, act] of [
      ["+", () => diagram.zoom(1.25)], ["\u2212", () => diagram.zoom(0.8)], ["Fit", () => diagram.fit()],
      ["Open all", () => diagram.setAll(true)], ["Close all", () => diagram.setAll(false)],
    ]) {
      const button = Object.assign(document.createElement("button"), {type: "button", textContent: text});
      button.addEventListener("click", act);
      tools.append(button);
    }
    canvas.addEventListener("pointed", (event) => lightNodes(event.detail));
    canvas.addEventListener("drawn", () => lightLine());
  }

  function showTable(place) {
    const scroll = Object.assign(document.createElement("div"), {className: "scroll"});
    const layers = place.querySelector("#layers");
    place.replaceChildren(scroll);
    scroll.append(layers);
    const table = shown.table = new Table(layers);
    if (table.rows.length > 60) table.foldBelow(1);
    for (const row of table.rows) {
      row.addEventListener("pointerenter", () => lightNodes(table.nodes.get(row)));
      row.addEventListener("pointerleave", () => lightNodes(null));
    }
  }

  function choose(tab) {
    state.tab = tab;
    const tabs = byId("tabs");
    for (const button of tabs.children) {
      const on = button.id === `tab-${tab}`;
      button.setAttribute("aria-selected", on);
      button.tabIndex = on ? 0 : -1;
      if (on) {  // on a narrow screen the tabs are wider than it
        const [one, all] = [button.getBoundingClientRect(), tabs.getBoundingClientRect()];
        tabs.scrollLeft += one.left + one.width / 2 - all.left - all.width / 2;
      }
    }
    refresh();
  }

  // --- cursor, boxes and rows light each other ---

  let line = 1;
  function lightLine() {
    const nodes = answer?.lines.find((one) => one.line === line)?.nodes;
    const lit = nodes === undefined ? null : numbersOf(nodes);
    shown?.diagram?.light(lit);
    if (lit) shown?.diagram?.reveal();
    shown?.table?.light(lit);
    if (lit && shown?.field && shown.lit !== nodes) shown.field.choose(Math.max(...lit));
    if (shown) shown.lit = nodes;
  }

  // The lines that placed some layers: of each layer the line that places the fewest.
  function linesOfNodes(nodes) {
    const found = new Set();
    const lines = (answer?.lines ?? []).map((one) => [one.line, numbersOf(one.nodes)]).sort((a, b) => a[1].size - b[1].size);
    for (const node of nodes) {
      const own = lines.find(([, of]) => of.has(node));
      if (own) found.add(own[0]);
    }
    return [...found];
  }

  function lightNodes(nodes) {
    const numbers = nodes === null ? [] : linesOfNodes(nodes);
    editor.light(numbers);
    if (numbers.length) editor.reveal(numbers[0]);
    shown?.table?.light(nodes);
  }

  // --- the text in the address ---

  const toText = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const toBytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (ch) => ch.charCodeAt(0));
  const through = async (bytes, stream) => new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());

  async function packed() {
    const held = {t: editor.text};
    if (state.zoo) held.z = state.zoo;
    if (Object.keys(state.files).length) held.f = state.files;
    if (Object.keys(state.params).length) held.p = state.params;
    if (Object.keys(state.sizes).length) held.s = state.sizes;
    if (state.tab !== "diagram") held.v = state.tab;
    return toText(await through(new TextEncoder().encode(JSON.stringify(held)), new CompressionStream("deflate-raw")));
  }

  async function unpacked(fragment) {
    if (!fragment.startsWith("#s=")) return null;
    try {
      const bytes = await through(toBytes(fragment.slice(3)), new DecompressionStream("deflate-raw"));
      const held = JSON.parse(new TextDecoder().decode(bytes));
      return typeof held.t === "string" ? held : null;
    } catch {
      say("the address holds no text that can be read", true);
      return null;
    }
  }

  let keeping = 0;
  function keepInAddress() {
    clearTimeout(keeping);
    keeping = setTimeout(async () => {
      const isFile = state.saved !== null && editor.text === state.saved && !Object.keys({...state.params, ...state.sizes}).length;
      history.replaceState(null, "", isFile ? location.pathname : `#s=${await packed()}`);
    }, 300);
  }

  onClick("share", async () => {
    const fragment = `#s=${await packed()}`;
    history.replaceState(null, "", fragment);
    try {
      await navigator.clipboard.writeText(location.href);
      say("the address holds the text, and is copied");
    } catch {
      say("the address holds the text");
    }
  });

  // --- the file ---

  async function load() {
    const start = await engine.start();
    Object.assign(state, {file: start.file, saved: start.file === null ? null : start.text, version: start.version});
    byId("save").hidden = start.file === null;
    Object.assign(byId("home"), {hidden: !start.home, href: start.home ?? ""});
    if (start.missing) say(start.missing, true);
    return start;
  }

  async function reload() {
    const mine = editor.text !== state.saved;
    const start = await load();
    if (start.text === null) return;
    if (start.text !== editor.text && !(mine && start.text === state.saved)) {
      editor.set(start.text);
      say("read again, as it was saved");
    }
    refresh();
  }

  async function save() {
    if (state.file === null) return say("there is no file to save to: Share keeps the text in the address");
    const text = editor.text;
    const {problem} = await ask("save", {text, before: state.saved ?? ""});
    if (problem) return say(problem, true);
    state.saved = text;
    say("saved");
    keepInAddress();
  }

  function follow() {
    engine.follow({
      changed: (version) => version !== state.version && reload(),
      lost: () => say("cnnc live has ended, or is out of reach", true),
      found: () => byId("status").textContent.startsWith("cnnc live has ended") && say(""),
    });
  }

  // --- buttons ---

  onClick("save", save);
  onClick("format", async () => {
    const {text} = await ask("format", question());
    if (text === null) return say("the text has mistakes of form: mend them first", true);
    editor.set(text);
    refresh();
  });
  onClick("pin", () => {
    state.pinned = question();
    say("pinned");
    refresh();
  });
  onClick("report", async () => {
    const {html, name} = await ask("report", question());
    if (html === null) return say("there is no network to report on", true);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([html], {type: "text/html"}));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    say(`${name} is saved`);
  });
  onClick("theme", () => {
    document.documentElement.style.colorScheme = isDark() ? "light" : "dark";
    if (state.tab === "volumes") refresh();
  });
  byId("tabs").addEventListener("click", (event) => event.target.id && choose(event.target.id.slice(4)));
  byId("tabs").addEventListener("keydown", (event) => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (!step) return;
    const all = [...byId("tabs").children], at = all.findIndex((button) => button.tabIndex === 0);
    const next = all[(at + step + all.length) % all.length];
    choose(next.id.slice(4));
    next.focus();
  });
  byId("zoo").addEventListener("change", async (event) => {
    if (!event.target.value) return;
    const {text} = await ask("open", {zoo: event.target.value});
    Object.assign(state, {zoo: event.target.value, files: {}, params: {}, sizes: {}});
    ranges = {};
    editor.set(text);
    refresh();
  });

  // Markdown of a card: code fences, strong words and code.
  function cardElement(markdown) {
    const card = Object.assign(document.createElement("div"), {className: "card"});
    for (const part of markdown.split(/\n\n+/)) {
      const fence = /^```\w*\n([^]*?)\n```$/.exec(part.trim());
      const element = document.createElement(fence ? "pre" : "p");
      if (fence) element.textContent = fence[1];
      else {
        for (const piece of part.split(/(\*\*[^*]+\*\*|`[^`]+`)/)) {
          const name = piece.startsWith("**") ? "b" : piece.startsWith("`") ? "code" : null;
          const text = name === "b" ? piece.slice(2, -2) : name === "code" ? piece.slice(1, -1) : piece;
          element.append(name ? Object.assign(document.createElement(name), {textContent: text}) : text);
        }
      }
      card.append(element);
    }
    return card;
  }

  async function begin() {
    document.documentElement.classList.add("scripted");
    const start = await load();
    const held = await unpacked(location.hash);
    if (held) Object.assign(state, {zoo: held.z ?? "", files: held.f ?? {}, params: held.p ?? {}, sizes: held.s ?? {}, tab: held.v ?? "diagram"});
    else state.zoo = start.zoo ?? "";
    const text = held?.t ?? start.text ?? "";
    editor = makeEditor(byId("editor"), {
      text,
      changed: () => refresh(),
      moved: (at) => {
        if (at === line) return;
        line = at;
        lightLine();
      },
      complete: async (text, offset) => (await ask("complete", {...question(), text, offset})).items,
      hover: async (text, offset) => {
        const found = await ask("hover", {...question(), text, offset});
        return found.card === null ? null : {...found, element: cardElement(found.card)};
      },
      fixes: (number) => offerFixes(number, null),
      save,
    });
    globalThis.editor = editor;
    choose(state.tab);
    follow();
    addEventListener("hashchange", async () => {
      const held = await unpacked(location.hash);
      if (!held || held.t === editor.text) return;
      Object.assign(state, {zoo: held.z ?? "", files: held.f ?? {}, params: held.p ?? {}, sizes: held.s ?? {}});
      ranges = {};
      editor.set(held.t);
      choose(held.v ?? state.tab);
    });
    byId("zoo").append(...start.networks.map(({name, title, year}) => new Option(`${name}: ${title}, ${year}`, name)));
    byId("zoo").value = state.zoo;
  }

  begin().catch((error) => say(error.message, true));
}
