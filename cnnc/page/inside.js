// The page's way to its answers where no server is: cnnc itself, in a worker of this page.
{
  const waiting = new Map();
  let last = 0, broken = null;

  const fail = (text) => {
    broken = new Error(text);
    for (const {reject} of waiting.values()) reject(broken);
    waiting.clear();
  };
  const isFile = location.protocol === "file:";
  const worker = isFile ? null : new Worker("worker.js", {type: "module"});
  if (isFile) fail("Browsers run no Python in a page that is opened as a file. Any web server will do: python -m http.server");
  worker?.addEventListener("message", ({data}) => {
    if (data.failed) return fail(`Python could not be started: ${data.failed}`);
    const {resolve, reject} = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.status === 200) resolve(JSON.parse(data.text));
    else reject(new Error(data.text));
  });
  worker?.addEventListener("error", (event) => fail(`Python could not be started: ${event.message ?? "worker.js is missing"}`));

  globalThis.engine = {
    waits: "Python is being fetched and started; the text can be written meanwhile",

    ask: (name, question) => new Promise((resolve, reject) => {
      if (broken) return reject(broken);
      const id = ++last;
      waiting.set(id, {resolve, reject});
      worker.postMessage({id, text: JSON.stringify({ask: name, ...question})});
    }),

    async start() {
      if (broken) throw broken;
      return (await fetch("start.json")).json();
    },

    follow() {},  // there is no file that could change
  };
}
