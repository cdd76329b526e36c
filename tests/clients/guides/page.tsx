// A page around a hook: shows what the hook says, and lets the driver send messages and take the page away.
import { createRoot } from "react-dom/client";
import * as guide from "hook";

const hook = Object.values(guide)[0];
const root = createRoot(document.body);

function Page() {
  const { connected, sessionId, sendMessage } = hook(globalThis.base);
  globalThis.sendMessage = sendMessage;
  return <p>{connected ? sessionId : "not yet"}</p>;
}

root.render(<Page />);
globalThis.leave = () => root.unmount();
