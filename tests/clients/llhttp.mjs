// Node's HTTP server (llhttp), answering like echo_server.py: 200, the body that was read, and what was asked.
// Prints the methods that it knows, and its port. A peer that sends no more still gets its answers.
import { createServer, METHODS } from "node:http";

const server = createServer((request, response) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    const body = Buffer.concat(pieces);
    const line = `${request.method} ${request.url}`.replace(/[^ -~]/g, "?");
    response.writeHead(200, { "Content-Length": body.length, "Request-Line": line });
    response.end(body);
  });
  request.on("error", () => {});
});
// By itself it drops the answers to whole requests in front of a bad one, if they arrived together.
server.on("clientError", (error, socket) => {
  setImmediate(() => (socket.writable ? socket.end("HTTP/1.1 400 Bad Request\r\n\r\n") : socket.destroy()));
});
server.httpAllowHalfOpen = true;
server.listen(0, "127.0.0.1", () => console.log(`${METHODS.join(",")}:${server.address().port}`));
