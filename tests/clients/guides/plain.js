// Re-enacts guide C's JavaScript: the typed events of GET /mcp, and a POST without session and Accept.
const events = new EventSource("http://localhost:8080/mcp");
events.addEventListener("welcome", (event) => console.log(JSON.parse(event.data).message));
events.addEventListener("response", (event) => console.log(JSON.parse(event.data)));
events.addEventListener("error", (event) => console.error("the stream broke", event));

fetch("http://localhost:8080/mcp", {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({
    jsonrpc: "2.0",
    id: 1,
    method: "initialize",
    params: { protocolVersion: "2024-11-05", capabilities: {}, clientInfo: { name: "page", version: "1" } },
  }),
})
  .then((answer) => answer.json())
  .then((answer) => console.log(answer))
  .catch((error) => console.error(error));
