// The extension as one file, with the language client and its licences in it; the grammar beside it.
import { build } from "esbuild";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync, existsSync } from "node:fs";
import { join } from "node:path";

mkdirSync("dist", { recursive: true });
const made = await build({
  entryPoints: ["src/extension.js"],
  outfile: "dist/extension.js",
  bundle: true,
  minify: true,
  platform: "node",
  target: "node18",
  external: ["vscode"],
  metafile: true,
  legalComments: "none",
});
const packages = new Set();
for (const file of Object.keys(made.metafile.inputs)) {
  const match = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file);
  if (match) packages.add(match[1]);
}
let licences = "Parts of dist/extension.js and their licences.\n";
for (const name of [...packages].sort()) {
  const folder = join("node_modules", name);
  const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = ["License.txt", "LICENSE", "LICENSE.txt", "LICENSE.md", "license"].find((one) => existsSync(join(folder, one)));
  if (!file) throw new Error(`${name} has no file with its licence`);
  licences += `\n--- ${name} ${about.version} (${about.license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
}
writeFileSync("dist/LICENCES.txt", licences);
copyFileSync("../cnnc.tmLanguage.json", "dist/cnnc.tmLanguage.json");
copyFileSync("../../LICENSE", "LICENSE");
