// What a web page does: MQTT over WebSocket. The same code runs in a browser.
//
// npm install mqtt; node mqtt_websocket.js [ws://localhost:15675/ws]

const mqtt = require('mqtt');

const url = process.argv[2] ?? 'ws://localhost:15675/ws';
const client = mqtt.connect(url, { protocolVersion: 5, username: 'guest', password: 'guest' });

client.on('connect', async () => {
  // A chat: everybody in the room gets what is said, with the name of who said it as a property.
  await client.subscribeAsync('chat/room', { qos: 1 });
  await client.publishAsync('chat/room', 'Hello, room', { qos: 1, properties: { userProperties: { from: 'me' } } });
});

client.on('message', (topic, payload, packet) => {
  console.log(`${topic}: ${packet.properties?.userProperties?.from} says ${payload}`);
  client.end();
});

client.on('error', (error) => {
  console.error(error.message);
  process.exitCode = 1;
  client.end();
});
