// MQTT.js over TCP, WebSocket and TLS.
//
// MQTT_WS_URL, MQTT_WSS_URL and MQTT_TLS_URL say where the other listeners are; CERTIFICATES is a folder with ca.pem. What they
// are for is left out without them.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const mqtt = require('mqtt');
const { test, restartTest, unique, waitUntil, restartBroker, main } = require('./suite');

const WS = process.env.MQTT_WS_URL;
const WSS = process.env.MQTT_WSS_URL;
const TLS = process.env.MQTT_TLS_URL;
const CA = process.env.CERTIFICATES && fs.readFileSync(path.join(process.env.CERTIFICATES, 'ca.pem'));

/** Runs `body` with a client that is ended afterwards. */
async function connected(url, options, body) {
  const client = await mqtt.connectAsync(url, { protocolVersion: 5, reconnectPeriod: 0, clientId: unique('js'), ...options });
  client.on('error', () => {}); // told to the call that caused it, too
  try {
    return await body(client);
  } finally {
    await client.endAsync(true);
  }
}

/** Collects what comes. */
function collector(client) {
  const got = [];
  client.on('message', (topic, payload, packet) => got.push({ topic, payload: payload.toString(), packet }));
  return got;
}

/** Every transport that is there, with what it needs. */
function* transports(url) {
  yield ['tcp', url, {}];
  if (WS) yield ['websocket', WS, { wsOptions: { perMessageDeflate: false } }];
  if (WS) yield ['compressed websocket', WS, { wsOptions: { perMessageDeflate: { threshold: 0 } } }];
  if (WSS) yield ['websocket over tls', WSS, { wsOptions: { ca: CA } }];
  if (TLS) yield ['tls', TLS, { ca: CA }];
}

test('every_transport_version_and_quality', async (url) => {
  for (const [name, where, options] of transports(url)) {
    for (const version of [3, 4, 5]) {
      const protocolId = version === 3 ? 'MQIsdp' : 'MQTT';
      await connected(where, { ...options, protocolVersion: version, protocolId }, async (client) => {
        const got = collector(client);
        for (const qos of [0, 1, 2]) {
          const topic = unique('js');
          const [granted] = await client.subscribeAsync(topic, { qos });
          assert.equal(granted.qos, qos);
          await client.publishAsync(topic, `${name} ${qos}`, { qos });
          await waitUntil(() => got.length === 1, `the message by ${name}`);
          const { payload, packet } = got.pop();
          assert.deepEqual([payload, packet.qos, packet.retain], [`${name} ${qos}`, qos, false]);
        }
      });
    }
  }
});

test('transports_talk_to_each_other', async (url) => {
  const topic = unique('js');
  const all = [...transports(url)];
  const clients = await Promise.all(
    all.map(([, where, options]) => mqtt.connectAsync(where, { ...options, protocolVersion: 5, clientId: unique('js') })),
  );
  const collected = clients.map(collector);
  for (const client of clients) await client.subscribeAsync(topic, { qos: 1 });
  for (const client of clients) await client.publishAsync(topic, 'hello', { qos: 1 });
  await waitUntil(() => collected.every((got) => got.length === all.length), 'all messages at all clients');
  await Promise.all(clients.map((client) => client.endAsync()));
});

test('large_payloads_by_every_transport', async (url) => {
  for (const [name, where, options] of transports(url)) {
    await connected(where, options, async (client) => {
      const topic = unique('js');
      const sizes = [];
      client.on('message', (_topic, payload) => {
        assert.ok(payload.every((byte, at) => byte === at % 251), 'bytes as they were');
        sizes.push(payload.length);
      });
      await client.subscribeAsync(topic, { qos: 1 });
      const expected = [0, 1, 125, 126, 65535, 65536, 200_000, 1_000_000];
      for (const size of expected) {
        await client.publishAsync(topic, Buffer.from(Uint8Array.from({ length: size }, (_, at) => at % 251)), { qos: 1 });
      }
      await waitUntil(() => sizes.length === expected.length, `payloads by ${name}, got ${sizes}`);
      assert.deepEqual(sizes, expected);
    });
  }
});

test('many_small_messages_by_every_transport', async (url) => {
  for (const [name, where, options] of transports(url)) {
    await connected(where, options, async (client) => {
      const topic = unique('js');
      const got = collector(client);
      await client.subscribeAsync(topic, { qos: 1 });
      await Promise.all(Array.from({ length: 1000 }, (_, number) => client.publishAsync(topic, String(number), { qos: 1 })));
      await waitUntil(() => got.length === 1000, `1000 messages by ${name}, got ${got.length}`);
      assert.deepEqual(got.map(({ payload }) => Number(payload)), [...Array(1000).keys()]);
    });
  }
});

test('properties_both_ways', (url) =>
  connected(url, {}, async (client) => {
    const topic = unique('js');
    const got = collector(client);
    await client.subscribeAsync(topic, { qos: 2, properties: { subscriptionIdentifier: 42 } });
    const properties = {
      payloadFormatIndicator: true,
      contentType: 'application/json',
      responseTopic: 'back/here',
      correlationData: Buffer.from([0, 1, 255]),
      userProperties: { a: ['1', '2'], b: '3' },
    };
    await client.publishAsync(topic, '{}', { qos: 2, properties: { ...properties, messageExpiryInterval: 100 } });
    await waitUntil(() => got.length === 1, 'the message');
    const { messageExpiryInterval, userProperties, ...found } = got[0].packet.properties;
    assert.deepEqual({ ...userProperties }, properties.userProperties);
    assert.ok(messageExpiryInterval >= 98 && messageExpiryInterval <= 100, `expiry ${messageExpiryInterval}`);
    delete properties.userProperties;
    assert.deepEqual(found, { ...properties, subscriptionIdentifier: 42 });
  }));

test('aliases_are_assigned_by_the_library', async (url) => {
  const topic = unique('js');
  await connected(url, { autoAssignTopicAlias: true, autoUseTopicAlias: true, properties: { topicAliasMaximum: 10 } }, async (client) => {
    const got = collector(client);
    await client.subscribeAsync(`${topic}/#`, { qos: 1 });
    for (let number = 0; number < 60; number++) await client.publishAsync(`${topic}/${number % 15}`, String(number % 15), { qos: 1 });
    await waitUntil(() => got.length === 60, '60 messages');
    // The library puts the topic in place of an alias of the broker.
    for (const message of got) assert.equal(message.topic, `${topic}/${message.payload}`);
  });
});

test('retained_and_cleared', (url) =>
  connected(url, {}, async (client) => {
    const topic = unique('js');
    const got = collector(client);
    await client.publishAsync(topic, 'kept', { qos: 1, retain: true });
    await client.subscribeAsync(topic, { qos: 1 });
    await waitUntil(() => got.length === 1, 'the retained message');
    assert.equal(got[0].packet.retain, true);
    await client.publishAsync(topic, '', { qos: 1, retain: true });
    await waitUntil(() => got.length === 2, 'that it is cleared');
    assert.equal(got[1].packet.retain, false);
  }));

test('a_will_by_every_transport', async (url) => {
  for (const [name, where, options] of transports(url)) {
    await connected(url, {}, async (watcher) => {
      const topic = unique('js');
      const got = collector(watcher);
      await watcher.subscribeAsync(topic, { qos: 1 });
      const will = { topic, payload: Buffer.from(name), qos: 1, properties: { contentType: 'text/plain' } };
      const client = await mqtt.connectAsync(where, { ...options, protocolVersion: 5, reconnectPeriod: 0, clientId: unique('js'), will });
      client.on('error', () => {});
      client.stream.destroy();
      await waitUntil(() => got.length === 1, `the will by ${name}`);
      assert.deepEqual([got[0].payload, got[0].packet.properties.contentType], [name, 'text/plain']);
      await client.endAsync(true);
    });
  }
});

test('a_session_is_resumed', async (url) => {
  const [topic, clientId] = [unique('js'), unique('js')];
  for (const [, where, options] of transports(url)) {
    const lasting = { ...options, clientId, clean: false, properties: { sessionExpiryInterval: 600 } };
    await connected(where, lasting, (client) => client.subscribeAsync(topic, { qos: 1 }));
    await connected(url, {}, (client) => client.publishAsync(topic, 'while away', { qos: 1 }));
    const client = mqtt.connect(where, { ...lasting, protocolVersion: 5, reconnectPeriod: 0 });
    const got = collector(client);
    const connack = await new Promise((resolve, reject) => client.on('connect', resolve).on('error', reject));
    assert.equal(connack.sessionPresent, true);
    await waitUntil(() => got.length === 1, 'what came while it was away');
    await client.endAsync();
  }
  await connected(url, { clientId, clean: true }, async () => {});
});

test('wrong_credentials', async (url) => {
  for (const [, where, options] of transports(url)) {
    for (const version of [4, 5]) {
      await assert.rejects(
        mqtt.connectAsync(where.replace(':guest@', ':wrong@'), { ...options, protocolVersion: version, reconnectPeriod: 0 }, false),
        ({ code }) => [4, 5, 134, 135].includes(code),
      );
    }
  }
});

if (WS) {
  test('the_subprotocol_of_a_websocket', async () => {
    const place = new URL(WS);
    const address = `ws://${place.host}${place.pathname}`;
    const { WebSocket } = require('ws');
    const open = (protocols) =>
      new Promise((resolve) => {
        const socket = new WebSocket(address, protocols);
        socket.on('open', () => resolve(socket.protocol));
        socket.on('error', (error) => resolve(error));
      });
    assert.equal(await open(['mqtt']), 'mqtt');
    assert.equal(await open(['other', 'mqtt']), 'mqtt');
  });
}

if (WS) {
  test('a_websocket_is_compressed_where_both_want_it', async () => {
    const place = new URL(WS);
    const { WebSocket } = require('ws');
    for (const [perMessageDeflate, agreed] of [
      [true, 'permessage-deflate; server_no_context_takeover; client_no_context_takeover'],
      [{ serverMaxWindowBits: 10 }, 'permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10'],
      [false, ''],
    ]) {
      const socket = new WebSocket(`ws://${place.host}${place.pathname}`, ['mqtt'], { perMessageDeflate });
      let answer;
      socket.on('upgrade', (response) => (answer = response.headers['sec-websocket-extensions'] ?? ''));
      await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
      assert.equal(answer, agreed);
      socket.terminate();
    }
  });

  test('text_in_a_websocket', async () => {
    const place = new URL(WS);
    const { WebSocket } = require('ws');
    const socket = new WebSocket(`ws://${place.host}${place.pathname}`, ['mqtt']);
    const closed = new Promise((resolve) => socket.on('close', resolve));
    socket.on('error', () => {});
    socket.on('open', () => socket.send('text, not bytes'));
    let over = false;
    closed.then(() => (over = true));
    await waitUntil(() => over, 'the end of a connection that sends text');
  });
}

restartTest('reconnects_by_itself_and_subscribes_again', async (url) => {
  const topic = unique('js');
  const client = await mqtt.connectAsync(url, { protocolVersion: 5, clientId: unique('js'), reconnectPeriod: 100 });
  client.on('error', () => {});
  const got = collector(client);
  await client.subscribeAsync(topic, { qos: 1 });
  const again = new Promise((resolve) => client.once('connect', resolve));
  await restartBroker('kill');
  await again;
  // Queued by the library while the broker was away, or sent now: it arrives once the subscription is there again.
  await waitUntil(async () => {
    await client.publishAsync(topic, 'after', { qos: 1 });
    return got.length > 0;
  }, 'a message after the restart');
  await client.endAsync();
});

main();
