// Re-enacts guide N's TypeScript client: an EventSource whose first message names the session, fetch for what is said.
type Message = { method?: string; params?: { sessionId?: string } };

class Pair {
  private source?: EventSource;
  private session?: string;

  constructor(private readonly base: string = "http://localhost:3002") {}

  connect(): Promise<void> {
    return new Promise((yes, no) => {
      this.source = new EventSource(`${this.base}/sse`);
      this.source.onerror = () => no(new Error("the stream broke"));
      // That guide takes this event for JSON; an exception in a listener harms no other listener.
      this.source.addEventListener("endpoint", (event) => void JSON.parse(event.data));
      this.source.addEventListener("message", (event) => {
        const message: Message = JSON.parse(event.data);
        if (message.method !== "notifications/initialized") return;
        this.session = message.params?.sessionId;
        yes();
      });
      setTimeout(() => no(new Error("no session within 5 s")), 5000);
    });
  }

  private async say(id: number, method: string, params: object): Promise<void> {
    const body = JSON.stringify({ jsonrpc: "2.0", id, method, params });
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch(`${this.base}/message?sessionId=${this.session}`, { method: "POST", headers, body });
    if (!answer.ok) throw new Error(`refused with ${answer.status}`);
  }

  listTools(): Promise<void> {
    return this.say(1, "tools/list", {});
  }

  callTool(name: string, input: object): Promise<void> {
    return this.say(2, "tools/call", { name, arguments: input });
  }

  disconnect(): void {
    this.source?.close();
  }
}

const pair = new Pair("http://localhost:3002");
try {
  await pair.connect();
  await pair.listTools();
  await pair.callTool("get_sprint_report", { boardId: 123, sprintId: 456 });
} catch (error) {
  console.error(error);
} finally {
  pair.disconnect();
}
