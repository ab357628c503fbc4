// Node's own WebSocket client: prints what it hears, says three things, and ends in order.
const socket = new WebSocket(process.argv[2]);
let heard = 0;
socket.onmessage = (event) => {
  console.log(event.data);
  heard += 1;
  if (heard <= 3) socket.send(`word ${heard}`);
  else socket.close(1000);
};
socket.onclose = (event) => console.log(`closed ${event.code} ${event.wasClean}`);
socket.onerror = () => console.log("error");
