// Modules in the compiled form of the Python that will run them: `node prepare.mjs PYODIDE SOURCES INTO JOB` reads Pyodide's
// own library and the zip SOURCES, and writes stdlib.zip and cnnc.zip. A page that begins with sources takes three times as long.
// JOB is JSON: `without`, what of the library is left out, and `read`, where sources stay beside what is compiled.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, sources, into, job] = process.argv.slice(2);
const { without, read } = JSON.parse(job);
const { loadPyodide } = await import(pathToFileURL(join(folder, "pyodide.mjs")).href);
const python = await loadPyodide({ indexURL: folder });
const compiled = python.runPython(`
import io, zipfile
from importlib._bootstrap_external import _code_to_hash_pyc
from importlib.util import cache_from_source, source_hash

def compiled(raw, place, without, read, optimize):
    """A zip of sources as one of modules in compiled form."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(out, "w") as new:
        def put(name, data):
            new.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)  # one date: the same bytes each time
        for name in sorted(old.namelist()):
            if name.endswith("/") or name.partition("/")[0].removesuffix(".py") in without:
                continue
            data = old.read(name)
            if not name.endswith(".py"):
                put(name, data)
                continue
            code = compile(data, f"{place}/{name}", "exec", dont_inherit=True, optimize=optimize)
            # Not held against its source when it is imported.
            module = bytes(_code_to_hash_pyc(code, source_hash(data), False))
            if name.startswith(tuple(read)):
                put(name, data)
                put(cache_from_source(name), module)
            else:
                put(f"{name}c", module)
    return out.getvalue()

compiled
`);
const write = (name, from, place, ...how) => {
  const raw = python.toPy(new Uint8Array(readFileSync(from)));
  writeFileSync(join(into, name), compiled(raw, place, ...how.map((one) => python.toPy(one))).toJs());
};
write("stdlib.zip", join(folder, "python_stdlib.zip"), "/lib/python.zip", without, [], 2);
write("cnnc.zip", sources, "/cnnc", [], read, 0);
