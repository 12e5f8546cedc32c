// The client of `cnnc lsp`, and a few commands that show what other commands of cnnc print.
const { execFile, spawn } = require("node:child_process");
const net = require("node:net");
const path = require("node:path");
const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;
const previews = new Map();
const shown = new Map();

const setting = (name) => vscode.workspace.getConfiguration("cnnc").get(name);
const settings = () => ({ inlay: setting("inlay"), params: setting("params"), allowOutside: setting("allowOutside") });
const command = () => {
  const words = setting("command");
  return Array.isArray(words) && words.length ? words : ["cnnc"];
};

function makeClient() {
  const [program, ...first] = command();
  return new LanguageClient(
    "cnnc",
    "cnnc",
    { command: program, args: [...first, "lsp", "--stdio"] },
    {
      documentSelector: [{ language: "cnnc" }],
      initializationOptions: settings(),
      synchronize: { fileEvents: vscode.workspace.createFileSystemWatcher("**/*.cnn") },
    },
  );
}

async function start() {
  client = makeClient();
  try {
    await client.start();
  } catch (error) {
    const open = "Open Settings";
    const answer = await vscode.window.showErrorMessage(
      `The language server did not start: ${error?.message ?? error} Install it with \`pip install cnnc\`, or say where it is.`,
      open,
    );
    if (answer === open) vscode.commands.executeCommand("workbench.action.openSettings", "cnnc.command");
  }
}

function specOf(editor) {
  const document = editor?.document;
  if (!document || document.languageId !== "cnnc") throw new Error("no spec is open in the editor");
  return document;
}

/** What a command of cnnc prints of the text in the editor, saved or not. */
function printed(document, words) {
  const [program, ...first] = command();
  const folder = document.isUntitled ? undefined : path.dirname(document.fileName);
  return new Promise((resolve, reject) => {
    const process = execFile(
      program,
      [...first, ...words],
      { cwd: folder, maxBuffer: 64 * 1024 * 1024 },
      (error, out, complaint) => (error ? reject(new Error(complaint || error.message)) : resolve(out)),
    );
    process.stdin.on("error", () => {});
    process.stdin.end(document.getText());
  });
}

async function show(words, ending) {
  const document = specOf(vscode.window.activeTextEditor);
  const text = await printed(document, words);
  const name = path.basename(document.fileName, ".cnn") + ending;
  const uri = vscode.Uri.from({ scheme: "cnnc", path: `/${name}` });
  shown.set(uri.path, text);
  changed.fire(uri);
  await vscode.window.showTextDocument(uri, { viewColumn: vscode.ViewColumn.Beside, preview: true });
}

const changed = new vscode.EventEmitter();

/** A port of this machine on which nothing listens. */
function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.on("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** Starts `cnnc live` on a file; its process, and the path of its page. */
function serve(file, port, origin) {
  const [program, ...first] = command();
  const words = ["live", file, "--no-browser", "--port", String(port), "--proxy", origin];
  const server = spawn(program, [...first, ...words], { cwd: path.dirname(file) });
  return new Promise((resolve, reject) => {
    let said = "";
    const listen = (chunk) => {
      said += chunk;
      const match = /http:\/\/127\.0\.0\.1:\d+(\/\S+)/.exec(said);
      if (match) resolve({ server, page: match[1] });
    };
    server.stdout.on("data", listen);
    server.stderr.on("data", listen);
    server.on("error", reject);
    server.on("exit", () => reject(new Error(said || "cnnc live ended")));
  });
}

/** `cnnc live` on the file, shown beside it; one server for each file, ended with its panel. */
async function preview() {
  const document = specOf(vscode.window.activeTextEditor);
  if (document.isUntitled) throw new Error("save the file first: the preview follows what is saved");
  const known = previews.get(document.fileName);
  if (known) return known.panel.reveal();
  // In a browser or a window on a server the page comes through a proxy, whose name it has to know.
  const port = await freePort();
  const outside = await vscode.env.asExternalUri(vscode.Uri.parse(`http://127.0.0.1:${port}/`));
  const origin = `${outside.scheme}://${outside.authority}`;
  const { server, page } = await serve(document.fileName, port, origin);
  const address = outside.with({ path: outside.path.replace(/\/$/, "") + page });
  const panel = vscode.window.createWebviewPanel(
    "cnnc.preview",
    `${path.basename(document.fileName)} live`,
    { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true },
    { enableScripts: true, retainContextWhenHidden: true },
  );
  panel.webview.html = `<!doctype html><meta http-equiv="content-security-policy" content="default-src 'none'; frame-src ${origin}; style-src 'unsafe-inline'">
<style>html,body,iframe{margin:0;padding:0;border:0;width:100%;height:100%;overflow:hidden}
body.vscode-light iframe{color-scheme:light}body.vscode-dark iframe{color-scheme:dark}</style>
<iframe src="${address.toString(true)}" sandbox="allow-scripts allow-same-origin allow-downloads"></iframe>`;
  previews.set(document.fileName, { panel, server });
  panel.onDidDispose(() => {
    server.kill();
    previews.delete(document.fileName);
  });
}

function guarded(act) {
  return async () => {
    try {
      await act();
    } catch (error) {
      vscode.window.showErrorMessage(`cnnc: ${error.message}`);
    }
  };
}

exports.activate = async (context) => {
  const register = (name, act) => context.subscriptions.push(vscode.commands.registerCommand(name, guarded(act)));
  register("cnnc.preview", preview);
  register("cnnc.pytorch", () => show(["compile", "-", "-o", "-"], ".py"));
  register("cnnc.expand", () => show(["expand", "-"], ".core.cnn"));
  register("cnnc.summary", () => show(["summary", "-"], ".layers.txt"));
  register("cnnc.restart", async () => {
    await client?.stop();
    await start();
  });
  context.subscriptions.push(
    vscode.workspace.registerTextDocumentContentProvider("cnnc", {
      onDidChange: changed.event,
      provideTextDocumentContent: (uri) => shown.get(uri.path) ?? "",
    }),
    vscode.workspace.onDidChangeConfiguration(async (event) => {
      if (event.affectsConfiguration("cnnc.command")) {
        await client?.stop();
        await start();
      } else if (event.affectsConfiguration("cnnc")) {
        client?.sendNotification("workspace/didChangeConfiguration", { settings: { cnnc: settings() } });
      }
    }),
  );
  await start();
};

exports.deactivate = async () => {
  for (const { server } of previews.values()) server.kill();
  await client?.stop();
};
