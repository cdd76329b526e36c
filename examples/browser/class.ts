// The same without React: the class, and a tool that tells how far it is.
import { McpClient } from "./client";

const client = new McpClient(new URLSearchParams(location.search).get("server") ?? undefined);
const show = (id: string, text: string) => (document.getElementById(id)!.textContent = text);
const list = document.querySelector("ul")!;

client.onNotification = (method, params) => {
  if (method === "notifications/progress") show("progress", `${params.progress} of ${params.total}`);
};
document.querySelector("button")!.onclick = () =>
  client.callTool("countdown", { steps: 3, delay: 0 }).then(
    (text) => show("result", text),
    (reason) => show("result", reason.message),
  );
try {
  await client.connect();
  for (const { name } of await client.listTools()) list.append(Object.assign(document.createElement("li"), { textContent: name }));
  show("state", "connected");
} catch (reason) {
  show("state", (reason as Error).message);
}
