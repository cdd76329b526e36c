// What the docs page does: it speaks to its server as any client of Streamable HTTP (2025-11-25) would, with plain
// fetch: lists the tools, calls them, reads the session's stream, ends the session when the page is left. Beside that
// it looks at /metrics. All that comes from the server is put in as text; the page's policy (trusted types) rules out
// any other way. A token is in this page's memory and nowhere else. `docs` puts this file into the page.

const REVISION = "2025-11-25";
const LOOK = 2000; // ms between two looks at /metrics: what eyes can follow
const PAUSE = 1000; // ms until a broken stream is asked for again, unless the server says; doubled when that fails
const LONGEST = 30000; // ms: the longest such pause
const KEPT = 200; // messages that are shown
const CUT = 20000; // characters that are shown of one message

const base = location.origin + location.pathname.replace(/\/docs\/*$/, "");
const find = (id) => document.getElementById(id);
const token = find("token"); // null when nobody has to say who asks
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// --- messages, there and back

let session = null; // id, version, what is said of it, and what aborts its stream
let bearer = ""; // the token that it was opened with: it is nobody else's to read or to end
let asked = 0;
const running = new Map(); // by id: who waits for the answer, and who is told of notifications until then

class Failed extends Error {
  constructor(message, more, status) {
    super(message);
    this.more = more;
    this.status = status;
  }
}

function show(way, message) {
  const text = typeof message === "string" ? message : JSON.stringify(message);
  const cut = text.length > CUT ? `${text.slice(0, CUT)}…` : text;
  const time = make("time", {}, new Date().toLocaleTimeString());
  find("messages").prepend(make("li", {}, time, " ", make("b", {}, way), " ", make("code", {}, cut)));
  while (find("messages").children.length > KEPT) find("messages").lastChild.remove();
}

function ask(path, options = {}, headers = {}) {
  if (bearer) headers.Authorization = `Bearer ${bearer}`;
  if (session && path === "/mcp") {
    if (session.id !== null) headers["Mcp-Session-Id"] = session.id;
    headers["MCP-Protocol-Version"] = session.version;
  }
  return fetch(base + path, { cache: "no-store", ...options, headers });
}

async function refusal(response) {
  const text = await response.text();
  show(`← ${response.status}`, text);
  let error = {};
  try {
    error = JSON.parse(text).error ?? {};
  } catch {
    // not ours: a proxy's
  }
  return new Failed(`HTTP ${response.status}: ${error.message ?? response.statusText}`, error.data, response.status);
}

async function post(message, signal) {
  show("→", message);
  const accepts = { Accept: "application/json, text/event-stream", "Content-Type": "application/json" };
  const response = await ask("/mcp", { method: "POST", body: JSON.stringify(message), signal }, accepts);
  if (!response.ok) throw await refusal(response);
  return response;
}

const tell = (method, params) => post({ jsonrpc: "2.0", method, params });

// Until the answer is there: in the response, on its stream, or on the rest of that stream when it broke.
async function request(method, params = {}, { id = ++asked, told = () => {}, signal } = {}) {
  const waits = { told, answer: null };
  running.set(id, waits);
  try {
    const response = await post({ jsonrpc: "2.0", id, method, params }, signal);
    const opened = response.headers.get("Mcp-Session-Id");
    if (response.headers.get("Content-Type")?.startsWith("application/json")) {
      receive(await response.json(), "←", waits);
    } else {
      const place = { last: null, retry: PAUSE };
      await follow(response, place, "←", waits);
      while (waits.answer === null && place.last !== null) {
        await pause(place.retry);
        await follow(await resume(place, signal), place, "←", waits);
      }
    }
    if (waits.answer === null) throw new Failed("The stream ended without an answer.");
    const { result, error } = waits.answer;
    if (error) throw new Failed(`Error ${error.code}: ${error.message}`, error.data);
    return { result, opened };
  } finally {
    running.delete(id);
  }
}

async function resume(place, signal) {
  const last = place.last === null ? {} : { "Last-Event-ID": place.last };
  const response = await ask("/mcp", { signal }, { Accept: "text/event-stream", ...last });
  if (!response.ok) throw await refusal(response);
  return response;
}

// Reads an event stream to its end (WHATWG HTML §9.2.6); `place` is where it can be resumed.
async function follow(response, place, way, waits) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let data = [];
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      if (error.name === "AbortError") throw error;
      return { done: true }; // broken is as good as ended
    });
    if (done) return;
    const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      const [, name, text] = /^([^:]*):? ?([^]*)$/.exec(line);
      if (name === "data") data.push(text);
      else if (name === "id" && line) place.last = text;
      else if (name === "retry" && /^\d+$/.test(text)) place.retry = Number(text);
      else if (line === "") {
        if (data.join("")) receive(JSON.parse(data.join("\n")), way, waits);
        data = [];
      }
    }
  }
}

// `waits`: the request in whose response the message came, if any.
function receive(message, way, waits) {
  show(way, message);
  if (message.method === undefined) {
    const whose = running.get(message.id);
    if (whose) whose.answer = message;
  } else if (message.id !== undefined) {
    const unknown = { error: { code: -32601, message: "This page answers no requests but ping." } };
    const answer = message.method === "ping" ? { result: {} } : unknown;
    post({ jsonrpc: "2.0", id: message.id, ...answer }).catch(complain);
  } else if (message.method === "notifications/tools/list_changed") {
    list().catch(complain);
  } else {
    (running.get(message.params?.progressToken) ?? waits)?.told(message);
  }
}

// --- the session

function say(text, wrong = false) {
  find("state").textContent = text;
  find("state").classList.toggle("wrong", wrong);
}

function complain(error) {
  say(error.more === undefined ? error.message : `${error.message} ${JSON.stringify(error.more)}`, true);
}

function leave() {
  if (session === null) return;
  if (session.id !== null) ask("/mcp", { method: "DELETE", keepalive: true }).catch(() => {});
  session.gone.abort();
  session = null;
}

let connecting = null;
const connect = () => (connecting ??= open().finally(() => (connecting = null)));

async function open() {
  leave();
  bearer = token?.value.trim() ?? "";
  say("Connecting…");
  try {
    const client = { protocolVersion: REVISION, capabilities: {}, clientInfo: { name: "docs page", version: "1" } };
    const { result, opened } = await request("initialize", client);
    const { protocolVersion: version, serverInfo, capabilities } = result;
    const says = `Connected: ${serverInfo.name} ${serverInfo.version}, revision ${version}.`;
    const own = { id: opened, version, says, gone: new AbortController() };
    session = own;
    await tell("notifications/initialized");
    say(says);
    if (opened !== null) listen(own);
    if (capabilities.tools) await list();
  } catch (error) {
    complain(error);
  }
}

// The session's standing stream, again when it ends, as long as there is the session.
async function listen(own) {
  const place = { last: null, retry: PAUSE };
  for (let failed = 0; session === own; failed++) {
    try {
      const response = await resume(place, own.gone.signal);
      say(own.says);
      failed = 0;
      await follow(response, place, "← stream");
    } catch (error) {
      if (session !== own || error.status === 405) return;
      if (error.status === 404) connect(); // the session has ended
      else complain(error);
      if (error.status === 404 || error.status === 401 || error.status === 403) return;
    }
    await pause(Math.min(place.retry * 2 ** failed, LONGEST));
  }
}

// --- tools

const cards = new Map(); // by what the server said of the tool, so that a new list leaves half-filled forms alone

async function list() {
  const tools = [];
  let cursor;
  do {
    const { result } = await request("tools/list", cursor === undefined ? {} : { cursor });
    tools.push(...result.tools);
    cursor = result.nextCursor;
  } while (cursor !== undefined);
  const offered = tools.map((tool) => {
    const key = JSON.stringify(tool);
    return [key, cards.get(key) ?? card(tool)];
  });
  cards.clear();
  for (const [key, element] of offered) cards.set(key, element);
  find("number").textContent = ` (${tools.length})`;
  find("offered").replaceChildren(...(cards.size ? cards.values() : [make("p", {}, "None are offered.")]));
}

// What a schema comes down to for a form: local references followed, "or null" left out.
function plain(schema, root) {
  for (let hops = 0; hops < 8; hops++) {
    if (typeof schema !== "object" || schema === null) return {};
    const { $ref, anyOf, oneOf, ...beside } = schema;
    const choices = [anyOf ?? oneOf ?? []].flat().filter((one) => one?.type !== "null");
    if (typeof $ref === "string") {
      const path = $ref.replace(/^#\/?/, "").split("/").filter(Boolean);
      const names = path.map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
      schema = { ...names.reduce((found, name) => found?.[name], root), ...beside };
    } else if (choices.length === 1) {
      schema = { ...choices[0], ...beside };
    } else {
      return schema;
    }
  }
  return {};
}

function choice(values, required) {
  const control = make("select", { required }, make("option", { value: "" }, required ? "choose…" : "left out"));
  control.append(...values.map((value, index) => make("option", { value: String(index) }, JSON.stringify(value))));
  return [control, () => values[control.value]];
}

function json(required, wanted) {
  const control = make("textarea", { required, rows: 3, spellcheck: false, placeholder: wanted });
  control.addEventListener("input", () => {
    let wrong = "";
    try {
      if (control.value.trim()) JSON.parse(control.value);
    } catch (error) {
      wrong = `This is no JSON: ${error.message}`;
    }
    control.setCustomValidity(wrong);
  });
  return [control, () => (control.value.trim() ? JSON.parse(control.value) : undefined)];
}

// A control and how to read it; undefined: left out. What the schema demands beyond the syntax, the server says.
function control(schema, required) {
  const type = [schema.type].flat().filter((one) => one !== "null").join();
  if (Array.isArray(schema.enum)) return choice(schema.enum, required);
  if (type === "boolean") return choice([true, false], required);
  if (type === "string") {
    const text = make("textarea", { rows: 1 });
    return [text, () => (text.value || required ? text.value : undefined)];
  }
  if (type === "integer" || type === "number") {
    const number = make("input", { type: "number", step: "any", required });
    number.addEventListener("input", () => {
      const exact = type === "number" || Math.abs(Number(number.value)) <= Number.MAX_SAFE_INTEGER;
      number.setCustomValidity(exact ? "" : "JavaScript cannot say this number exactly.");
    });
    return [number, () => (number.value === "" ? undefined : Number(number.value))];
  }
  return json(required, type || "JSON");
}

let named = 0;

function row(name, schema, required, [field, read]) {
  const id = `field-${++named}`;
  const wrong = make("small", { id: `${id}-wrong`, className: "wrong" });
  const says = [schema.title, schema.description].filter((one) => typeof one === "string" && one !== name);
  if (schema.default !== undefined) says.push(`Default: ${JSON.stringify(schema.default)}`);
  const about = make("small", { id: `${id}-about`, className: "text" }, says.join("\n"));
  field.id = id;
  field.setAttribute("aria-describedby", `${about.id} ${wrong.id}`);
  if (required) field.setAttribute("aria-required", "true");
  field.addEventListener("invalid", () => {
    wrong.textContent = field.validationMessage;
    field.setAttribute("aria-invalid", "true");
  });
  field.addEventListener("input", () => {
    wrong.textContent = "";
    field.removeAttribute("aria-invalid");
  });
  const kind = Array.isArray(schema.enum) ? "enum" : [schema.type ?? "any"].flat().join(" | ");
  const label = make("label", { htmlFor: id }, make("code", {}, name), ` ${kind}${required ? " · required" : ""}`);
  return { element: make("div", { className: "field" }, label, field, about, wrong), name, read };
}

function form(schema) {
  const { properties, required: names, type, additionalProperties: further } = plain(schema, schema);
  const whole = typeof properties !== "object" || properties === null;
  const required = Array.isArray(names) ? names : [];
  const rows = Object.entries(whole ? {} : properties).map(([name, property]) => {
    const found = plain(property, schema);
    return row(name, found, required.includes(name), control(found, required.includes(name)));
  });
  if (further || (whole && type !== "object")) {
    const more = row(whole ? "arguments" : "further arguments", { type: "object" }, false, json(false, "{ }"));
    return { rows: [...rows, more], read: () => ({ ...more.read(), ...values(rows) }) };
  }
  return { rows, read: () => values(rows) };
}

function values(rows) {
  const given = rows.map(({ name, read }) => [name, read()]);
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}

function card(tool) {
  const { rows, read } = form(tool.inputSchema);
  const go = make("button", {}, "Call");
  const stop = make("button", { type: "button", disabled: true }, "Stop");
  const output = make("div", { className: "output" });
  const fields = make("form", { noValidate: true }, ...rows.map((one) => one.element), go, " ", stop);
  fields.setAttribute("aria-label", `Call ${tool.name}`);
  fields.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!fields.checkValidity()) return fields.querySelector(":invalid").focus();
    go.disabled = true;
    await call(tool.name, read(), output, stop);
    go.disabled = false;
  });
  const schema = make("pre", {}, make("code", {}, JSON.stringify(tool.inputSchema, null, 2)));
  return make("div", { className: "tool" },
    make("h3", {}, make("code", {}, tool.name)),
    make("p", { className: "text" }, tool.description ?? ""),
    make("details", {}, make("summary", {}, "Input schema"), schema),
    fields,
    output,
  );
}

async function call(name, given, output, stop) {
  const id = ++asked;
  const stopping = new AbortController();
  const state = make("p", { className: "called" }, "Running…");
  state.setAttribute("role", "status");
  const bar = make("progress", { hidden: true });
  bar.setAttribute("aria-label", `Progress of ${name}`);
  const events = make("ol", { className: "events" });
  const result = make("pre", { className: "result", hidden: true });
  output.replaceChildren(state, bar, events, result);
  stop.disabled = false;
  stop.onclick = () => {
    tell("notifications/cancelled", { requestId: id, reason: "Stopped on the docs page" }).catch(complain);
    stopping.abort();
  };
  const told = ({ method, params }) => {
    if (method === "notifications/progress") {
      bar.hidden = false;
      bar.max = params.total ?? 1;
      if (params.total === undefined) bar.removeAttribute("value");
      else bar.value = params.progress;
    }
    events.append(make("li", {}, make("b", {}, method.replace("notifications/", "")), ` ${JSON.stringify(params)}`));
  };
  const finish = (text, wrong, more) => {
    state.textContent = text;
    state.classList.toggle("wrong", wrong);
    result.textContent = more;
    result.hidden = more === "";
  };
  const params = { name, arguments: given, _meta: { progressToken: id } };
  try {
    const { result: found } = await request("tools/call", params, { id, told, signal: stopping.signal });
    const said = (found.content ?? []).map((one) => (one.type === "text" ? one.text : JSON.stringify(one, null, 2)));
    if (found.structuredContent !== undefined) said.push(JSON.stringify(found.structuredContent, null, 2));
    finish(found.isError ? "The tool reports an error" : "Result", Boolean(found.isError), said.join("\n"));
  } catch (error) {
    if (stopping.signal.aborted) finish("Stopped", true, "");
    else finish(error.message, true, error.more === undefined ? "" : JSON.stringify(error.more, null, 2));
  }
  bar.hidden = true;
  stop.disabled = true;
}

// --- the state of the server

const bytes = (value) => `${value.toLocaleString()} bytes`;
const FIGURES = [
  ["Open event streams", "fastsse_streams_open"],
  ["Sessions", "fastsse_sessions_open"],
  ["Calls that run", "fastsse_calls_running"],
  ["Answered requests", "fastsse_calls_total"],
  ["Refused requests", "fastsse_refused_total"],
  ["Waiting for slow consumers", "fastsse_pending_bytes", bytes],
  ["Kept for clients", "fastsse_held_bytes", bytes],
  ["Lag of the event loop", "fastsse_loop_lag_seconds", (value) => `${(value * 1000).toFixed(1)} ms`],
  ["Open connections", "fastsse_connections_open"],
  ["Resident memory", "process_resident_memory_bytes", bytes],
];
let refused = null; // the token that the figures are not for

// Prometheus text: by family what is in it, `{a="b"} 1` as ["b", 1].
function families(text) {
  const found = new Map();
  for (const [, name, labels = "", value] of text.matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm)) {
    const label = [...labels.matchAll(/="((?:[^"\\]|\\.)*)"/g)].map((one) => one[1]).join(" ");
    found.set(name, [...(found.get(name) ?? []), [label, Number(value)]]);
  }
  return found;
}

function draw(rows, note) {
  find("note").textContent = note;
  find("figures").replaceChildren(
    ...rows.map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value))),
  );
}

function figure(samples = [], unit = (value) => value.toLocaleString()) {
  const total = unit(samples.reduce((sum, [, value]) => sum + value, 0));
  const parts = samples.filter(([label, value]) => label && value).map(([label, value]) => `${label} ${value}`);
  return parts.length ? `${total} (${parts.join(", ")})` : total;
}

async function look() {
  const mine = bearer;
  if (refused !== mine) {
    const response = await ask("/metrics");
    if (response.ok) {
      const found = families(await response.text());
      return draw(FIGURES.map(([name, family, unit]) => [name, figure(found.get(family), unit)]), "");
    }
    if (response.status !== 401 && response.status !== 403) throw await refusal(response);
    refused = mine;
  }
  const health = await (await ask("/health")).json();
  const note = "/metrics is protected: it asks for a token with the scope admin. This is what /health says.";
  draw([["Status", health.status], ["Sessions", `${health.activeSessions}`], ["Tools", `${health.tools}`]], note);
}

async function watch() {
  for (;;) {
    if (document.visibilityState === "visible") {
      await look().catch((error) => (find("note").textContent = `Nothing newer: ${error.message}`));
    }
    await pause(LOOK);
  }
}

// --- the page

for (const block of document.querySelectorAll(".copy")) {
  const text = block.querySelector("code");
  const button = make("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
    } catch {
      getSelection().selectAllChildren(text); // no clipboard outside https and localhost
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  block.append(button);
}

find("live").hidden = find("said").hidden = false;
find("connect").addEventListener("submit", (event) => {
  event.preventDefault();
  connect();
});
addEventListener("pagehide", leave);
addEventListener("pageshow", (event) => event.persisted && connect());
connect();
watch();
