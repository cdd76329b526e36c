// MCP from a browser over HTTP+SSE, without dependencies: an EventSource for what is said, fetch for what is asked.
// EventSource comes back by itself when its stream breaks, and the server then sends what was missed.

type Message = { id?: number; method?: string; params?: any; result?: any; error?: { code: number; message: string } };
type Waiting = { resolve: (result: any) => void; reject: (error: Error) => void };

export class McpClient {
  private source?: EventSource;
  private endpoint?: string;
  private ids = 0;
  private waiting = new Map<number, Waiting>();

  // What the server says beside answers: progress, log messages, changed lists.
  onNotification: (method: string, params: any) => void = () => {};

  constructor(private readonly base: string = "http://localhost:3002") {}

  async connect(limit: number = 5000): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${this.base} does not answer`)), limit);
      this.source = new EventSource(`${this.base}/sse`);
      this.source.addEventListener("endpoint", ({ data }) => {
        const before = this.endpoint;
        this.endpoint = new URL(data, this.base).href; // data is a URI, not JSON
        clearTimeout(late);
        resolve();
        if (before !== undefined && before !== this.endpoint) this.begin().catch(() => {}); // the old session is gone
      });
      this.source.addEventListener("message", ({ data }) => this.hear(JSON.parse(data)));
    }).catch((error) => {
      this.close();
      throw error;
    });
    await this.begin();
  }

  private async begin(): Promise<void> {
    this.forget("the session has ended");
    const clientInfo = { name: "browser", version: "1.0.0" };
    await this.request("initialize", { protocolVersion: "2024-11-05", capabilities: {}, clientInfo });
    await this.post({ method: "notifications/initialized" });
  }

  async request(method: string, params: object = {}): Promise<any> {
    const id = ++this.ids;
    const answered = new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
    answered.catch(() => {}); // it may fail while the POST is still on its way
    try {
      await this.post({ id, method, params });
      return await answered;
    } finally {
      this.waiting.delete(id);
    }
  }

  async listTools(): Promise<{ name: string; description?: string }[]> {
    return (await this.request("tools/list")).tools;
  }

  // The text of a tool's answer; progress goes to onNotification.
  async callTool(name: string, input: object): Promise<string> {
    const _meta = { progressToken: `${name} ${this.ids}` };
    const result = await this.request("tools/call", { name, arguments: input, _meta });
    const text = result.content.map((item: any) => item.text ?? `(${item.type})`).join("\n");
    if (result.isError) throw new Error(text);
    return text;
  }

  close(): void {
    this.source?.close();
    this.forget("the client was closed");
  }

  private forget(reason: string): void {
    for (const { reject } of this.waiting.values()) reject(new Error(reason));
    this.waiting.clear();
  }

  private async post(message: Message): Promise<void> {
    if (this.endpoint === undefined) throw new Error("not connected");
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ jsonrpc: "2.0", ...message });
    const answer = await fetch(this.endpoint, { method: "POST", headers, body });
    if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  }

  private hear({ id, method, params, result, error }: Message): void {
    if (method !== undefined) {
      if (id === undefined) this.onNotification(method, params ?? {});
      return; // requests need capabilities, and this client declares none
    }
    const waiting = this.waiting.get(id!);
    if (error) waiting?.reject(new Error(`${error.message} (${error.code})`));
    else waiting?.resolve(result);
  }
}
