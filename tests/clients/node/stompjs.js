// @stomp/stompjs over WebSocket, as pages and Node programs use it.
//
// The URL is that of a listener web_stomp: ws://127.0.0.1:PORT/ws. STOMP_WSS_URL says where the one with TLS is, and CERTIFICATES is
// a folder with ca.pem; what they are for is left out without them.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const ws = require('ws');
const { Client, Versions, ReconnectionTimeMode, StompSocketState } = require('@stomp/stompjs');
const { test, beyondTest, restartTest, unique, waitUntil, restartBroker, main } = require('./suite');

const WSS = process.env.STOMP_WSS_URL;
const LOGIN = { login: 'guest', passcode: 'guest' };

/** A client that is connected; what the broker tells as ERROR gathers in `errors`, codes of closes in `closes`. */
async function connect(url, options = {}, socketOptions = {}) {
  const client = new Client({
    webSocketFactory: () => new ws.WebSocket(url, (options.stompVersions ?? Versions.default).protocolVersions(), socketOptions),
    connectHeaders: LOGIN,
    reconnectDelay: 0,
    heartbeatIncoming: 0,
    heartbeatOutgoing: 0,
    ...options,
  });
  Object.assign(client, { errors: [], closes: [], connects: 0 });
  client.onStompError = (frame) => client.errors.push(frame);
  client.onWebSocketClose = (event) => client.closes.push(event.code);
  client.onWebSocketError = () => {};
  client.onConnect = (frame) => {
    client.connected_with = frame.headers;
    client.connects += 1;
  };
  client.activate();
  await waitUntil(() => client.connects + client.errors.length + client.closes.length > 0, 'CONNECTED');
  return client;
}

/** Runs `body` with a client that is ended afterwards. */
async function connected(url, body, options, socketOptions) {
  const client = await connect(url, options, socketOptions);
  try {
    assert.equal(client.connects, 1, `not connected: ${client.errors[0]?.headers.message} ${client.closes}`);
    return await body(client);
  } finally {
    await client.deactivate({ force: !client.connected });
  }
}

/** Resolves with the RECEIPT of what `act` sends with these headers. */
function receipt(client, act) {
  const id = unique('receipt');
  return new Promise((resolve, reject) => {
    client.watchForReceipt(id, resolve);
    setTimeout(() => reject(new Error(`no receipt; errors: ${client.errors.map(({ headers }) => headers.message)}`)), 15_000).unref();
    act({ receipt: id });
  });
}

/** Subscribes, and collects what comes once the broker has taken note. */
async function subscribed(client, destination, headers = {}) {
  const got = [];
  let subscription;
  await receipt(client, (more) => {
    subscription = client.subscribe(destination, (message) => got.push(message), { ...headers, ...more });
  });
  return { got, subscription };
}

const queue = () => `/queue/${unique('stompjs')}`;
const topic = () => `/topic/${unique('stompjs')}`;

test('every_version_by_its_subprotocol', async (url) => {
  for (const version of ['1.0', '1.1', '1.2']) {
    const stompVersions = new Versions([version]);
    await connected(
      url,
      async (client) => {
        assert.equal(client.connected_with.version ?? '1.0', version);
        assert.equal(client.webSocket.protocol, `v${version.replace('.', '')}.stomp`);
        const destination = topic();
        const { got } = await subscribed(client, destination);
        client.publish({ destination, body: `by ${version} \u20ac`, headers: { own: 'header' } });
        await waitUntil(() => got.length === 1, `the message by ${version}`);
        assert.deepEqual([got[0].body, got[0].headers.own, got[0].headers.destination], [`by ${version} \u20ac`, 'header', destination]);
      },
      { stompVersions },
    );
  }
});

test('the_best_version_that_both_know', (url) =>
  connected(url, async (client) => {
    assert.equal(client.connected_with.version, '1.2');
    assert.equal(client.webSocket.protocol, 'v12.stomp');
    assert.ok(client.connected_with.session && client.connected_with.server);
  }));

test('messages_are_text', (url) =>
  connected(url, async (client) => {
    const kinds = new Set();
    client.webSocket.addEventListener('message', ({ data }) => kinds.add(typeof data));
    const destination = topic();
    const { got } = await subscribed(client, destination);
    client.publish({ destination, body: 'text \u{1f30d}' });
    await waitUntil(() => got.length === 1, 'the message');
    assert.deepEqual([...kinds], ['string']);
  }));

test('queues_topics_and_exchanges', (url) =>
  connected(url, async (client) => {
    const [work, news] = [queue(), unique('news')];
    const one = await subscribed(client, `/topic/${news}.*.today`);
    const all = await subscribed(client, `/topic/${news}.#`);
    const direct = await subscribed(client, `/exchange/amq.direct/${news}`);
    client.publish({ destination: `/topic/${news}.sport.today`, body: 'goal' });
    client.publish({ destination: `/topic/${news}.sport`, body: 'none' });
    client.publish({ destination: `/exchange/amq.direct/${news}`, body: 'straight' });
    await receipt(client, (headers) => client.publish({ destination: work, body: 'kept', headers }));
    await waitUntil(() => all.got.length === 2 && one.got.length === 1 && direct.got.length === 1, 'what was subscribed to');
    assert.deepEqual([one, all, direct].map(({ got }) => got.map(({ body }) => body)), [['goal'], ['goal', 'none'], ['straight']]);
    // What was sent to a queue before waits there.
    const { got } = await subscribed(client, work);
    await waitUntil(() => got.length === 1, 'the message that waited');
    assert.equal(got[0].body, 'kept');
  }));

test('receipts_of_everything', (url) =>
  connected(url, async (client) => {
    const destination = queue();
    const { got, subscription } = await subscribed(client, destination, { ack: 'client-individual' });
    await receipt(client, (headers) => client.publish({ destination, body: 'one', headers: { persistent: 'true', ...headers } }));
    await waitUntil(() => got.length === 1, 'the message');
    await receipt(client, (headers) => got[0].ack(headers));
    const transaction = unique('tx');
    await receipt(client, (headers) => client._stompHandler._transmit({ command: 'BEGIN', headers: { transaction, ...headers } }));
    await receipt(client, (headers) => client._stompHandler._transmit({ command: 'COMMIT', headers: { transaction, ...headers } }));
    await receipt(client, (headers) => subscription.unsubscribe(headers));
  }));

test('many_receipts_outstanding', (url) =>
  connected(url, async (client) => {
    const destination = queue();
    const sent = Array.from({ length: 1000 }, (_, number) =>
      receipt(client, (headers) => client.publish({ destination, body: String(number), headers: { persistent: 'true', ...headers } })),
    );
    await Promise.all(sent);
    const { got } = await subscribed(client, destination);
    await waitUntil(() => got.length === 1000, '1000 messages');
    assert.deepEqual(got.map(({ body }) => Number(body)), [...Array(1000).keys()]);
  }));

test('acknowledgements_one_by_one_and_up_to', async (url) => {
  for (const [ack, left] of [
    ['client-individual', ['0', '2']],
    ['client', ['2']],
  ]) {
    const destination = queue();
    await connected(url, async (client) => {
      const { got } = await subscribed(client, destination, { ack });
      for (const body of ['0', '1', '2']) client.publish({ destination, body });
      await waitUntil(() => got.length === 3, 'three messages');
      await receipt(client, (headers) => got[1].ack(headers));
    });
    // What the connection has not acknowledged is there for the next one.
    await connected(url, async (client) => {
      const { got } = await subscribed(client, destination);
      await waitUntil(() => got.length === left.length, `what was not acknowledged, ${ack}`);
      assert.deepEqual(got.map(({ body }) => body), left);
      assert.ok(got.every(({ headers }) => headers.redelivered === 'true'));
    });
  }
});

test('a_nack_requeues', (url) =>
  connected(url, async (client) => {
    const destination = queue();
    const { got } = await subscribed(client, destination, { ack: 'client-individual' });
    client.publish({ destination, body: 'again' });
    await waitUntil(() => got.length === 1, 'the message');
    got[0].nack();
    await waitUntil(() => got.length === 2, 'the message again');
    assert.deepEqual(got.map(({ headers }) => headers.redelivered), ['false', 'true']);
    await receipt(client, (headers) => got[1].ack(headers));
  }));

test('transactions', (url) =>
  connected(url, async (client) => {
    const destination = queue();
    const { got } = await subscribed(client, destination);
    const aborted = client.begin();
    client.publish({ destination, body: 'never', headers: { transaction: aborted.id } });
    aborted.abort();
    const committed = client.begin();
    for (const body of ['1', '2']) client.publish({ destination, body, headers: { transaction: committed.id } });
    await receipt(client, (headers) => client.publish({ destination, body: 'outside', headers }));
    await waitUntil(() => got.length === 1, 'the one outside');
    committed.commit();
    await waitUntil(() => got.length === 3, 'the two of the transaction');
    assert.deepEqual(got.map(({ body }) => body), ['outside', '1', '2']);
  }));

test('headers_that_need_escapes', (url) =>
  connected(url, async (client) => {
    const destination = topic();
    const { got } = await subscribed(client, destination);
    // The library does not escape names, and undoes a backslash before an n wrongly.
    const odd = { colon: 'a:b', line: 'a\nb', back: 'a\\b', empty: '' };
    client.publish({ destination, headers: odd, body: '' });
    await waitUntil(() => got.length === 1, 'the message');
    for (const [name, value] of Object.entries(odd)) assert.equal(got[0].headers[name], value, name);
  }));

// RabbitMQ sends text that is none: the library closes with 1007.
beyondTest('headers_with_any_character', (url) =>
  connected(url, async (client) => {
    const destination = topic();
    const { got } = await subscribed(client, destination);
    client.publish({ destination, headers: { 'key \u20ac': '\u{1f30d}' }, body: 'x' });
    await waitUntil(() => got.length === 1, 'the message');
    assert.equal(got[0].headers['key \u20ac'], '\u{1f30d}');
  }));

// The same.
beyondTest('binary_bodies', (url) =>
  connected(url, async (client) => {
    const destination = topic();
    const { got } = await subscribed(client, destination);
    const body = Uint8Array.from({ length: 1000 }, (_, at) => at % 256);
    client.publish({ destination, binaryBody: body, headers: { 'content-type': 'application/octet-stream' } });
    await waitUntil(() => got.length === 1, 'the message');
    assert.ok(Buffer.from(got[0].binaryBody).equals(Buffer.from(body)), 'bytes as they were');
  }));

test('large_messages', async (url) => {
  for (const [splitLargeFrames, forceBinaryWSFrames] of [
    [false, false],
    [true, false],
    [true, true],
  ]) {
    await connected(
      url,
      async (client) => {
        const destination = topic();
        const { got } = await subscribed(client, destination);
        for (const size of [0, 1, 8 * 1024, 65_535, 65_536, 200_000, 3_000_000]) {
          const body = 'abcdefghij\u20ac'.repeat(size / 11 + 1).slice(0, size);
          client.publish({ destination, body });
          await waitUntil(() => got.length === 1, `a body of ${size} characters, split ${splitLargeFrames}`);
          assert.equal(got.pop().body === body, true, `a body of ${size} characters, split ${splitLargeFrames}`);
        }
      },
      { splitLargeFrames, forceBinaryWSFrames, maxWebSocketChunkSize: 4000 },
    );
  }
});

test('heart_beats', (url) =>
  connected(
    url,
    async (client) => {
      assert.match(client.connected_with['heart-beat'], /^\d+,\d+$/);
      const beats = [];
      client.webSocket.addEventListener('message', ({ data }) => data === '\n' && beats.push(Date.now()));
      await waitUntil(() => beats.length >= 3, 'three heart-beats', 20);
      // Ours go out, too: the broker would have closed otherwise.
      assert.ok(client.connected);
    },
    { heartbeatIncoming: 1000, heartbeatOutgoing: 1000 },
  ));

test('who_is_silent_is_closed', async (url) => {
  const socket = new ws.WebSocket(url, ['v12.stomp']);
  let closed = false;
  socket.on('close', () => (closed = true));
  socket.on('error', () => {});
  await new Promise((resolve) => socket.on('open', resolve));
  socket.send('CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\nheart-beat:1000,0\n\n\0');
  await new Promise((resolve) => socket.once('message', resolve));
  assert.equal(closed, false);
  await waitUntil(() => closed, 'the end of who promised heart-beats and sends none', 20);
});

test('an_error_is_told', (url) =>
  connected(url, async (client) => {
    client.publish({ destination: '/nowhere/at/all', body: 'x' });
    await waitUntil(() => client.errors.length === 1, 'ERROR');
    assert.equal(client.errors[0].headers.message, 'Unknown destination');
  }));

test('wrong_credentials', async (url) => {
  const client = await connect(url, { connectHeaders: { login: 'guest', passcode: 'wrong' } });
  assert.equal(client.connects, 0);
  assert.equal(client.errors[0].headers.message, 'Bad CONNECT');
  await client.deactivate({ force: true });
});

test('a_clean_goodbye', async (url) => {
  const client = await connect(url);
  await client.deactivate();
  assert.deepEqual([client.errors, client.closes], [[], [1000]]);
});

test('two_clients_and_a_reply', (url) =>
  connected(url, (server) =>
    connected(url, async (client) => {
      const requests = queue();
      server.subscribe(requests, (message) =>
        server.publish({
          destination: message.headers['reply-to'],
          body: `re: ${message.body}`,
          headers: { 'correlation-id': message.headers['correlation-id'] },
        }),
      );
      await receipt(server, (headers) => server.publish({ destination: topic(), headers }));
      const replies = [];
      // A temporary queue needs no SUBSCRIBE; what comes has its name as the subscription.
      client.onUnhandledMessage = (message) => replies.push(message);
      client.publish({ destination: requests, body: 'ping', headers: { 'reply-to': '/temp-queue/answers', 'correlation-id': '7' } });
      await waitUntil(() => replies.length === 1, 'the reply');
      assert.deepEqual([replies[0].body, replies[0].headers['correlation-id'], replies[0].headers.subscription], ['re: ping', '7', '/temp-queue/answers']);
    }),
  ));

test('a_socket_that_is_compressed_or_not', async (url) => {
  for (const perMessageDeflate of [true, false]) {
    await connected(
      url,
      async (client) => {
        const destination = topic();
        const { got } = await subscribed(client, destination);
        client.publish({ destination, body: 'abc '.repeat(20_000) });
        await waitUntil(() => got.length === 1, 'the message');
        assert.equal(got[0].body.length, 80_000);
      },
      {},
      { perMessageDeflate },
    );
  }
});

beyondTest('basic_authentication_is_a_login', async (url) => {
  const headers = { Authorization: `Basic ${Buffer.from('guest:guest').toString('base64')}` };
  await connected(url, async () => {}, { connectHeaders: {} }, { headers });
  const wrong = { Authorization: `Basic ${Buffer.from('guest:wrong').toString('base64')}` };
  const client = await connect(url, { connectHeaders: {} }, { headers: wrong });
  assert.equal(client.errors[0].headers.message, 'Bad CONNECT');
  await client.deactivate({ force: true });
});

beyondTest('no_subprotocol', async (url) => {
  const socket = new ws.WebSocket(url);
  const answer = new Promise((resolve, reject) => socket.on('message', (data) => resolve(String(data))).on('error', reject));
  socket.on('open', () => socket.send('STOMP\naccept-version:1.1,1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0'));
  assert.match(await answer, /^CONNECTED\n/);
  assert.equal(socket.protocol, '');
  socket.terminate();
});

if (WSS) {
  beyondTest('over_tls', (_url) =>
    connected(
      WSS,
      async (client) => {
        const destination = topic();
        const { got } = await subscribed(client, destination);
        client.publish({ destination, body: 'secret '.repeat(50_000) });
        await waitUntil(() => got.length === 1, 'the message');
        assert.equal(got[0].body, 'secret '.repeat(50_000));
      },
      {},
      { ca: fs.readFileSync(path.join(process.env.CERTIFICATES, 'ca.pem')) },
    ),
  );
}

restartTest('it_comes_back_by_itself', async (url) => {
  const destination = queue();
  const got = [];
  const client = await connect(url, { reconnectDelay: 200, reconnectTimeMode: ReconnectionTimeMode.LINEAR });
  const subscribe = () => client.subscribe(destination, (message) => got.push(message.body));
  await receipt(client, (headers) => client.publish({ destination, body: 'kept', headers: { persistent: 'true', ...headers } }));
  await restartBroker('kill');
  await waitUntil(() => client.connects === 2 && client.webSocket?.readyState === StompSocketState.OPEN, 'the second CONNECTED', 30);
  subscribe();
  await waitUntil(() => got.length === 1, 'what was confirmed before');
  assert.deepEqual(got, ['kept']);
  await client.deactivate();
});

main();
