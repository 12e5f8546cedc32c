// The editor of `cnnc live` as one file, and the licences of what is in it, into cnnc/page. `node build.mjs FOLDER` writes elsewhere.
import { build } from "esbuild";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const into = process.argv[2] ?? "../../cnnc/page";
const made = await build({
  entryPoints: ["editor.mjs"],
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  write: false,
});
writeFileSync(join(into, "editor.js"), made.outputFiles[0].text);
const packages = new Set();
for (const file of Object.keys(made.metafile.inputs)) {
  const match = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file);
  if (match) packages.add(match[1]);
}
let licences = "Parts of editor.js, which `make live` builds from editors/page, and their licences.\n";
for (const name of [...packages].sort()) {
  const folder = join("node_modules", name);
  const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = ["LICENSE", "LICENSE.md", "LICENSE.txt"].find((one) => existsSync(join(folder, one)));
  if (!file) throw new Error(`${name} has no file with its licence`);
  licences += `\n--- ${name} ${about.version} (${about.license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
}
writeFileSync(join(into, "LICENCES.txt"), licences);
