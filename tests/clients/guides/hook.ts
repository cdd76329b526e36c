// Re-enacts guide N's React hook.
import { useEffect, useState } from "react";

export function usePair(base = "http://localhost:3002") {
  const [session, setSession] = useState<string>();

  useEffect(() => {
    const source = new EventSource(`${base}/sse`);
    source.onmessage = (event: MessageEvent<string>) => {
      const message = JSON.parse(event.data);
      if (message.method === "notifications/initialized") setSession(message.params?.sessionId);
    };
    return () => source.close();
  }, [base]);

  const sendMessage = async (message: object): Promise<void> => {
    const headers = { "Content-Type": "application/json" };
    await fetch(`${base}/message?sessionId=${session}`, { method: "POST", headers, body: JSON.stringify(message) });
  };
  return { connected: session !== undefined, sessionId: session, sendMessage };
}
