// The client of `cnnc lsp`, and a few commands that show what other commands of cnnc print.
const { execFile, spawn } = require("node:child_process");
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
      `The language server did not start: ${error.message}. Install it with \`pip install cnnc\`, or say where it is.`,
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

/** `cnnc live` on the file, shown beside it; one server for each file, ended with its panel. */
async function preview() {
  const document = specOf(vscode.window.activeTextEditor);
  if (document.isUntitled) throw new Error("save the file first: the preview follows what is saved");
  const known = previews.get(document.fileName);
  if (known) return known.panel.reveal();
  const [program, ...first] = command();
  const server = spawn(program, [...first, "live", document.fileName, "--no-browser"], { cwd: path.dirname(document.fileName) });
  const address = await new Promise((resolve, reject) => {
    let said = "";
    const listen = (chunk) => {
      said += chunk;
      const match = /http:\/\/127\.0\.0\.1:\d+\/\S+/.exec(said);
      if (match) resolve(match[0]);
    };
    server.stdout.on("data", listen);
    server.stderr.on("data", listen);
    server.on("error", reject);
    server.on("exit", () => reject(new Error(said || "cnnc live ended")));
  });
  const outside = await vscode.env.asExternalUri(vscode.Uri.parse(address));
  const panel = vscode.window.createWebviewPanel(
    "cnnc.preview",
    `${path.basename(document.fileName)} live`,
    { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true },
    { enableScripts: true, retainContextWhenHidden: true },
  );
  const source = `${outside.scheme}://${outside.authority}`;
  panel.webview.html = `<!doctype html><meta http-equiv="content-security-policy" content="default-src 'none'; frame-src ${source}; style-src 'unsafe-inline'">
<style>html,body,iframe{margin:0;padding:0;border:0;width:100%;height:100%;overflow:hidden}</style>
<iframe src="${outside.toString(true)}" sandbox="allow-scripts allow-same-origin allow-downloads"></iframe>`;
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
