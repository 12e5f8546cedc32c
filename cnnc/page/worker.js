// cnnc in a worker: Pyodide with the modules that `cnnc live --export` compiled for it. A question comes as text and goes back so.
import { loadPyodide } from "./python/pyodide.mjs";

const begin = async () => {
  const at = (name) => new URL(`python/${name}`, import.meta.url).href;
  const fetched = fetch(at("cnnc.zip"));
  const python = await loadPyodide({
    indexURL: at(""), stdLibURL: at("stdlib.zip"), lockFileURL: at("lock.json"), checkAPIVersion: false,
  });
  const packed = await fetched;
  if (!packed.ok) throw new Error(`cnnc.zip: ${packed.status} ${packed.statusText}`);
  python.unpackArchive(await packed.arrayBuffer(), "zip", {extractDir: "/cnnc"});
  return python.runPython(`
import sys
sys.path.insert(0, "/cnnc")
sys.dont_write_bytecode = True
from cnnc.page.inside import reply
reply
`);
};

const begun = begin();
begun.catch((error) => postMessage({failed: error.message}));

addEventListener("message", async ({data: {id, text}}) => {
  const reply = await begun;
  const [status, answer] = reply(text).toJs();
  postMessage({id, status, text: answer});
});
