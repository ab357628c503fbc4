// An upstream of Node's own HTTP server: events, chunks, connections that are kept, and WebSocket.
import { createHash } from "node:crypto";
import http from "node:http";

let connections = 0;

const server = http.createServer((request, response) => {
  const path = new URL(request.url, "http://here").pathname;
  if (path === "/events") {
    // The next event is made once the client has asked for it at /next.
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write("data: 1\n\n");
    waiting = response;
    response.on("close", () => (left += 1));
  } else if (path === "/next") {
    waiting?.write("data: 2\n\n");
    response.end();
  } else if (path === "/left") {
    response.end(String(left));
  } else if (path === "/echo") {
    response.writeHead(200, { Trailer: "X-Length" });
    let length = 0;
    request.on("data", (chunk) => {
      length += chunk.length;
      response.write(chunk);
    });
    request.on("end", () => {
      response.addTrailers({ "X-Length": String(length), "Set-Cookie": "a=b" });
      response.end();
    });
  } else {
    response.end(JSON.stringify({ connections, headers: request.headers }));
  }
});
let waiting;
let left = 0;

server.on("connection", () => (connections += 1));

// RFC 6455, as far as short text messages go.
server.on("upgrade", (request, socket, first) => {
  const key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  const accept = createHash("sha1").update(key).digest("base64");
  socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  const send = (text) => socket.write(Buffer.concat([Buffer.from([0x81, text.length]), Buffer.from(text)]));
  send(`sub ${request.headers["x-credential-sub"]}`);
  let held = first;
  const read = () => {
    while (held.length >= 6) {
      const length = held[1] & 0x7f;
      if (held.length < 6 + length) return;
      const mask = held.subarray(2, 6);
      const payload = Buffer.from(held.subarray(6, 6 + length).map((byte, i) => byte ^ mask[i % 4]));
      const kind = held[0] & 0x0f;
      held = held.subarray(6 + length);
      if (kind === 8) return socket.end(Buffer.concat([Buffer.from([0x88, payload.length]), payload]));
      send(`echo ${payload}`);
    }
  };
  socket.on("data", (chunk) => {
    held = Buffer.concat([held, chunk]);
    read();
  });
  socket.on("error", () => {});
  read();
});

server.listen(0, "127.0.0.1", () => console.log(`listening on 127.0.0.1:${server.address().port}`));
// Its parent's end is its own.
process.stdin.on("end", () => process.exit()).resume();
