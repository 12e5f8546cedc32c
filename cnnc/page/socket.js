// The page's way to its answers: `cnnc live` on this machine.
globalThis.engine = {
  waits: "",

  async ask(name, question) {
    let response;
    try {
      response = await fetch("ask", {
        method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({ask: name, ...question}),
      });
    } catch {
      throw new Error("cnnc live has ended");
    }
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  },

  start: async () => (await fetch("start")).json(),

  // Calls `changed` with each new version of the file, `lost` when the server is away, `found` when it is there again.
  follow({changed, lost, found}) {
    const changes = new EventSource("changes");
    changes.addEventListener("message", (event) => changed(Number(event.data)));
    changes.addEventListener("error", lost);
    changes.addEventListener("open", found);
  },
};
