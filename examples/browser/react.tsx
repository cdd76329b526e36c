// A page around the hook: the tools of a server, and a form for one of them.
import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { useMcp } from "./hook";

const base = new URLSearchParams(location.search).get("server") ?? undefined;

function Page() {
  const { connected, error, client } = useMcp(base);
  const [tools, setTools] = useState<string[]>([]);
  const [sum, setSum] = useState("");

  useEffect(() => {
    client?.listTools().then((found) => setTools(found.map((tool) => tool.name)));
  }, [client]);

  async function add(form: FormData) {
    const input = { a: Number(form.get("a")), b: Number(form.get("b")) };
    setSum(await client!.callTool("add", input).catch((reason) => reason.message));
  }

  return (
    <>
      <p id="state">{error ?? (connected ? "connected" : "connecting")}</p>
      <ul>{tools.map((name) => <li key={name}>{name}</li>)}</ul>
      <form action={add}>
        <input name="a" defaultValue="2" /> + <input name="b" defaultValue="3" />
        <button disabled={!connected}>=</button> <output>{sum}</output>
      </form>
    </>
  );
}

createRoot(document.querySelector("main")!).render(<StrictMode><Page /></StrictMode>);
