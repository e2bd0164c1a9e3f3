// CloudAMQP's amqp-client.js over WebSocket, as a page uses it: it names no subprotocol.
//
// The URL is that of a WebSocket listener: ws://127.0.0.1:PORT/ws. CERTIFICATES is a folder with ca.pem where it is wss://.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const ws = require('ws');
const { AMQPWebSocketClient } = require('@cloudamqp/amqp-client');
const { test, restartTest, unique, waitUntil, restartBroker, main } = require('./suite');

const MIB = 1024 * 1024;
const CA = process.env.CERTIFICATES && fs.readFileSync(path.join(process.env.CERTIFICATES, 'ca.pem'));

// What a browser has, and this version of Node has not.
globalThis.WebSocket = class extends ws.WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { ca: CA });
  }
};

/** Runs `body` with a connection that is closed afterwards. */
async function connected(url, body, options = {}) {
  const client = new AMQPWebSocketClient({ url, vhost: '/', username: 'guest', password: 'guest', ...options });
  client.onerror = () => {}; // told to the call that caused it, too
  await client.connect();
  try {
    return await body(client);
  } finally {
    if (!client.closed) await client.close();
  }
}

/** A queue of this connection's own, and its channel. */
async function newQueue(client, options = { exclusive: true, durable: false }) {
  const channel = await client.channel();
  const { name } = await channel.queueDeclare(unique('amqp-client'), options);
  return { channel, queue: name };
}

test('declare_publish_with_confirms_and_consume', (url) =>
  connected(url, async (client) => {
    const { channel, queue } = await newQueue(client);
    await channel.confirmSelect();
    const got = [];
    const consumer = await channel.basicConsume(queue, { noAck: false }, (message) => {
      got.push([message.bodyString(), message.properties.contentType, message.properties.headers]);
      return message.ack();
    });
    const properties = { contentType: 'text/plain', deliveryMode: 2, headers: { n: 1, text: 'ä', flag: true } };
    for (let number = 1; number <= 100; number++) {
      // Resolves with the confirm.
      assert.equal(await channel.basicPublish('', queue, `message ${number} \u20ac`, properties), number);
    }
    await waitUntil(() => got.length === 100, 'a hundred messages');
    assert.deepEqual(got[99], ['message 100 \u20ac', 'text/plain', properties.headers]);
    await channel.basicCancel(consumer.tag);
    assert.equal((await channel.queueDeclare(queue, { passive: true })).messageCount, 0);
  }));

test('many_confirms_outstanding', (url) =>
  connected(url, async (client) => {
    const { channel, queue } = await newQueue(client);
    await channel.confirmSelect();
    const tags = await Promise.all(Array.from({ length: 2000 }, (_, number) => channel.basicPublish('', queue, String(number))));
    assert.deepEqual(tags, Array.from({ length: 2000 }, (_, number) => number + 1));
    assert.equal((await channel.queuePurge(queue)).messageCount, 2000);
  }));

test('bodies_of_many_sizes', async (url) => {
  for (const frameMax of [8192, 131072]) {
    await connected(
      url,
      async (client) => {
        const { channel, queue } = await newQueue(client);
        await channel.confirmSelect();
        for (const size of [0, 1, 8183, 8184, 8185, 65535, 65536, 5 * MIB]) {
          const body = Uint8Array.from({ length: size }, (_, at) => (at * 7) % 251);
          await channel.basicPublish('', queue, body);
          const message = await channel.basicGet(queue, { noAck: true });
          assert.ok(Buffer.from(message.rawBody ?? message.body ?? []).equals(Buffer.from(body)), `body of ${size} bytes`);
        }
      },
      { frameMax },
    );
  }
});

test('large_bodies_are_consumed', (url) =>
  connected(url, async (client) => {
    const { channel, queue } = await newQueue(client);
    await channel.prefetch(2);
    const sizes = [];
    await channel.basicConsume(queue, { noAck: false }, (message) => {
      sizes.push(message.bodySize);
      return message.ack();
    });
    for (let turn = 0; turn < 5; turn++) await channel.basicPublish('', queue, new Uint8Array(3 * MIB));
    await waitUntil(() => sizes.length === 5, 'five large messages');
    assert.deepEqual(new Set(sizes), new Set([3 * MIB]));
  }));

test('exchanges_and_returns', (url) =>
  connected(url, async (client) => {
    const { channel, queue } = await newQueue(client);
    const exchange = unique('amqp-client');
    await channel.exchangeDeclare(exchange, 'topic', { durable: false, autoDelete: true });
    await channel.queueBind(queue, exchange, 'a.*');
    await channel.confirmSelect();
    const returned = [];
    channel.onReturn = (message) => returned.push([message.replyCode, message.routingKey]);
    await channel.basicPublish(exchange, 'a.b', 'routed', {}, true);
    await channel.basicPublish(exchange, 'nowhere', 'lost', {}, true);
    assert.deepEqual(returned, [[312, 'nowhere']]);
    assert.equal((await channel.basicGet(queue, { noAck: true })).bodyString(), 'routed');
    assert.equal(await channel.basicGet(queue, { noAck: true }), null);
  }));

test('an_error_closes_the_channel_and_not_the_connection', (url) =>
  connected(url, async (client) => {
    const channel = await client.channel();
    const missing = unique('missing');
    await assert.rejects(channel.queueDeclare(missing, { passive: true }), ({ message }) =>
      message.includes(`NOT_FOUND - no queue '${missing}' in vhost '/'`),
    );
    await newQueue(client);
  }));

test('wrong_credentials', (url) =>
  assert.rejects(connected(url, () => {}, { password: 'wrong' }), ({ message }) => message.includes('ACCESS_REFUSED - Login was refused')));

test('close_is_clean', async (url) => {
  const client = new AMQPWebSocketClient({ url });
  const errors = [];
  client.onerror = (error) => errors.push(error);
  await client.connect();
  await client.channel();
  await client.close('done');
  assert.equal(client.closed, true);
  assert.deepEqual(errors, []);
});

test('the_amqp_subprotocol_by_name', async (url) => {
  const socket = new WebSocket(url, ['amqp']);
  socket.binaryType = 'arraybuffer';
  const first = new Promise((resolve, reject) => {
    socket.on('message', (data) => resolve(Buffer.from(data)));
    socket.on('error', reject);
  });
  socket.on('open', () => socket.send(Buffer.from('AMQP\0\0\x09\x01', 'latin1')));
  const start = await first;
  assert.equal(socket.protocol, 'amqp');
  // A method frame of channel 0: connection.start.
  assert.deepEqual([start[0], start.readUInt16BE(1), start.readUInt16BE(7), start.readUInt16BE(9)], [1, 0, 10, 10]);
  socket.terminate();
});

restartTest('a_restart_is_told', async (url) => {
  const client = new AMQPWebSocketClient({ url });
  client.onerror = () => {};
  const gone = new Promise((resolve) => (client.ondisconnect = resolve));
  await client.connect();
  const channel = await client.channel();
  const { name: queue } = await channel.queueDeclare(unique('amqp-client'), { durable: true });
  await channel.confirmSelect();
  await channel.basicPublish('', queue, 'kept', { deliveryMode: 2 });
  await restartBroker('kill');
  assert.match(String(await gone), /not cleanly closed/);
  await connected(url, async (again) => {
    const channel = await again.channel();
    assert.equal((await channel.basicGet(queue, { noAck: true })).bodyString(), 'kept');
    await channel.queueDelete(queue);
  });
});

main();
