// MCP by hand with an EventSource and fetch, in Node or in a page. One function that needs nothing from outside itself,
// so that its source can be sent to a browser. On "sse" answers come on the stream; on "http" the plain event stream of
// GET /mcp is opened beside the session and has to say "welcome".
export async function talk({ url, transport, payload, runs, demo, revision }, Source) {
  const seen = { progress: [], notifications: [] };
  const heard = [];
  const waiting = new Map();
  let ids = 0;
  let target = url;
  let headers = { "Content-Type": "application/json", Accept: "application/json, text/event-stream" };

  function within(promise, what) {
    let timer;
    const late = new Promise((_, no) => (timer = setTimeout(() => no(new Error(`no ${what} within 20 s`)), 20000)));
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
  }
  const take = (message) => {
    heard.push(message);
    if (message.method) seen.notifications.push(message.method);
    waiting.get(message.id)?.(message);
  };
  const first = transport === "sse" ? "endpoint" : "welcome";
  const source = new Source(url);
  source.addEventListener("message", (event) => take(JSON.parse(event.data)));
  const opened = new Promise((yes, no) => {
    source.addEventListener(first, (event) => yes(event.data));
    source.addEventListener("error", (event) => no(new Error(`EventSource: error ${event.code ?? ""}`)));
  });

  async function send(message) {
    const answer = await fetch(target, { method: "POST", headers, body: JSON.stringify({ jsonrpc: "2.0", ...message }) });
    const session = answer.headers.get("mcp-session-id");
    if (session) headers = { ...headers, "Mcp-Session-Id": session, "MCP-Protocol-Version": revision };
    const text = await answer.text();
    if (transport === "sse" || answer.status === 202) return answer.status;
    const stream = answer.headers.get("content-type").startsWith("text/event-stream");
    const data = stream ? text.split("\n").filter((line) => line.startsWith("data: {")).map((line) => line.slice(6)) : [text];
    data.map((line) => JSON.parse(line)).forEach(take);
    return answer.status;
  }
  async function ask(method, params) {
    const id = ++ids;
    const answered = new Promise((yes) => waiting.set(id, yes));
    await send({ id, method, params });
    return within(answered, `answer to ${method}`);
  }
  async function result(method, params) {
    const answer = await ask(method, params);
    if (!answer.result) throw new Error(`${method}: ${JSON.stringify(answer)}`);
    return answer.result;
  }
  const call = (name, input, meta) => ({ name, arguments: input, ...(meta && { _meta: meta }) });

  try {
    const data = await within(opened, first);
    if (transport === "sse") target = new URL(data, url).href;
    else seen.welcome = JSON.parse(data);
    const clientInfo = { name: "by hand", version: "1" };
    const hello = await result("initialize", { protocolVersion: revision, capabilities: {}, clientInfo });
    seen.revision = hello.protocolVersion;
    seen.server = hello.serverInfo.name;
    seen.accepted = await send({ method: "notifications/initialized" });
    seen.tools = (await result("tools/list")).tools.map((tool) => tool.name);
    seen.echo = (await result("tools/call", call(demo.echo, { text: payload }))).content[0].text;
    seen.add = (await result("tools/call", call(demo.add, { a: 2, b: 3 }))).content[0].text;
    for (let run = 0; run < runs; run++) {
      const token = `run-${run}`;
      const input = { steps: demo.steps, delay: demo.delay };
      await result("tools/call", call(demo.progress, input, { progressToken: token }));
      const own = heard.filter((message) => message.params?.progressToken === token);
      seen.progress.push(own.map(({ params }) => [params.progress, params.total]));
    }
    seen.resources = (await result("resources/list")).resources.map((item) => item.uri);
    seen.templates = (await result("resources/templates/list")).resourceTemplates.map((item) => item.uriTemplate);
    seen.resource = (await result("resources/read", { uri: demo.resource })).contents[0].text;
    seen.templated = (await result("resources/read", { uri: demo.templated })).contents[0].text;
    seen.prompts = (await result("prompts/list")).prompts.map((item) => item.name);
    const prompt = await result("prompts/get", { name: demo.prompt, arguments: { name: demo.name } });
    seen.prompt = prompt.messages[0].content.text;
    const refusal = await ask("tools/call", call(demo.unknown, {}));
    seen.unknown = refusal.error ?? { isError: refusal.result.isError };
    seen.notifications = [...new Set(seen.notifications)].sort();
    return seen;
  } finally {
    source.close();
  }
}
