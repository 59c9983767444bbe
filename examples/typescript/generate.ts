// The API from TypeScript, with what Node 20 and browsers have: fetch and streams.
//
//   npm ci && npm run build && node dist/generate.js [URL]      PARTITA_API_KEY=pt_... if the server asks for a key
import { writeFile } from "node:fs/promises";

const url = (process.argv[2] ?? "http://127.0.0.1:8000").replace(/\/$/, "");

interface Note {
  /** MIDI pitch, 0 to 127. */
  pitch: number;
  /** Beats from the start. */
  start: number;
  duration: number;
  velocity: number;
  channel: number;
}

interface File {
  file_id: string;
  name: string;
  bytes: number;
  url: string;
}

interface Task {
  id: string;
  status: "queued" | "running" | "complete" | "failed" | "cancelled";
  done: boolean;
  result?: { seed: number; notes: Note[]; files: File[] };
}

async function call(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
  const key = process.env["PARTITA_API_KEY"];
  const init: RequestInit = { headers: { ...headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) } };
  if (body !== undefined) {
    init.method = "POST";
    init.body = JSON.stringify(body);
    init.headers = { ...init.headers, "Content-Type": "application/json" };
  }
  return fetch(url + path, init);
}

/** Server-sent events of a response. */
async function* events(response: Response): AsyncGenerator<{ name: string; data: unknown }> {
  if (!response.body) throw new Error("no body");
  let pending = "";
  let name = "";
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    pending += chunk;
    for (let end = pending.indexOf("\n"); end >= 0; end = pending.indexOf("\n")) {
      const line = pending.slice(0, end);
      pending = pending.slice(end + 1);
      if (line.startsWith("event:")) name = line.slice(6).trim();
      if (line.startsWith("data:")) yield { name, data: JSON.parse(line.slice(5)) };
    }
  }
}

// A task to follow: the answer comes at once, the events tell the rest.
const accepted = (await (await call("/api/v1/generate", { style: "house", bars: 4, seed: 3 }, { Prefer: "respond-async" })).json()) as Task;
let task = accepted;
for await (const event of events(await call(`/api/v1/tasks/${accepted.id}/events`))) {
  if (event.name === "notes") {
    const { bar, notes } = event.data as { bar: number; notes: Note[] };
    console.log(`bar ${bar + 1}: ${notes.length} notes`);
  }
  if (event.name === "complete" || event.name === "failed" || event.name === "cancelled") task = event.data as Task;
}
if (task.status !== "complete" || !task.result) throw new Error(`the task is ${task.status}`);
for (const file of task.result.files) {
  await writeFile(file.name, Buffer.from(await (await call(file.url)).arrayBuffer()));
  console.log(`wrote ${file.name}, ${file.bytes} bytes, seed ${task.result.seed}`);
}

// The same over a WebSocket, with the temperature changed while it plays.
if (typeof WebSocket !== "undefined") {
  await new Promise<void>((resolve, reject) => {
    const socket = new WebSocket(url.replace(/^http/, "ws") + "/api/v1/stream");
    socket.onopen = () => socket.send(JSON.stringify({ op: "generate", ref: "a", body: { style: "funk", bars: 16 } }));
    socket.onerror = () => reject(new Error("the socket failed"));
    socket.onmessage = (message) => {
      const event = JSON.parse(String(message.data)) as { event: string; id?: string };
      if (event.event === "started") socket.send(JSON.stringify({ op: "update", id: event.id, temperature: 1.2 }));
      if (event.event === "complete") {
        console.log("the socket's task is complete");
        socket.close();
        resolve();
      }
    };
  });
}
