// The npm package eventsource with Node's fetch.
import { EventSource } from "eventsource";
import { DEMO, options, report } from "./driver.mjs";
import { talk } from "./raw.mjs";

report(await talk({ ...options(), demo: DEMO, revision: "2025-11-25" }, EventSource));
