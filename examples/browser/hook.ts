// MCP as a React hook: connects with the component and closes with it.
import { useEffect, useState } from "react";
import { McpClient } from "./client";

export function useMcp(base: string = "http://localhost:3002") {
  const [client, setClient] = useState<McpClient>();
  const [error, setError] = useState<string>();

  useEffect(() => {
    const made = new McpClient(base);
    let left = false;
    made.connect().then(
      () => left || setClient(made),
      (reason) => left || setError(reason.message),
    );
    return () => {
      left = true;
      made.close();
      setClient(undefined);
      setError(undefined);
    };
  }, [base]);

  return { connected: client !== undefined, error, client };
}
