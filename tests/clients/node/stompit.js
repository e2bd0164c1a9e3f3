// stompit: STOMP as Node programs speak it, bodies as streams.

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const stompit = require('stompit');
const { test, restartTest, unique, waitUntil, restartBroker, main } = require('./suite');

// An ERROR of the broker is also emitted by the frame itself, which nobody can listen to, sometimes in place of the call's error.
const thrown = [];
process.on('uncaughtException', (error) => {
  if (!error.longMessage) throw error;
  thrown.push(error.message);
});

/** An ERROR with this message must come of it, to the promise or to nobody. */
async function refused(promise, message) {
  promise.then(
    () => thrown.push('success'),
    (error) => thrown.push(error.message),
  );
  await waitUntil(() => thrown.includes(message), `ERROR ${message}`);
  assert.ok(!thrown.splice(0).includes('success'), message);
}

/** Options of `stompit.connect` for the broker's URL. */
function options(url, headers = {}, more = {}) {
  const { hostname, port, username, password } = new URL(url);
  const connectHeaders = { host: '/', login: username, passcode: password, ...headers };
  return { host: hostname, port: Number(port), connectHeaders, ...more };
}

function connect(url, headers, more) {
  return new Promise((resolve, reject) => {
    stompit.connect(options(url, headers, more), (error, client) => (error ? reject(error) : resolve(client)));
  });
}

/** Runs `body` with a client that is disconnected afterwards. */
async function connected(url, body, headers, more) {
  const client = await connect(url, headers, more);
  client.on('error', (error) => (client.failed = error)); // told to the call that caused it, too
  try {
    return await body(client);
  } finally {
    if (!client.failed) await new Promise((resolve) => client.disconnect(resolve));
    client.destroy();
  }
}

/** SEND, and its receipt. */
function send(client, headers, body) {
  return new Promise((resolve, reject) => {
    const all = typeof headers === 'string' ? { destination: headers } : { ...headers };
    const bytes = Buffer.from(body);
    client.send({ 'content-length': bytes.length, ...all }, { onReceipt: resolve, onError: reject }).end(bytes);
  });
}

/** Subscribes and collects what comes, with the bodies read. */
function collect(client, headers) {
  const got = [];
  const subscription = client.subscribe(headers, async (error, message) => {
    if (error) return void (got.error = error);
    const chunks = [];
    message.on('data', (chunk) => chunks.push(chunk));
    message.on('end', () => got.push({ headers: message.headers, body: Buffer.concat(chunks), message }));
    message.on('error', (problem) => (got.error = problem));
  });
  got.subscription = subscription;
  return got;
}

async function take(got, count) {
  await waitUntil(() => got.error || got.length >= count, `${count} messages`);
  if (got.error) throw got.error;
  return got.splice(0, count);
}

const texts = (messages) => messages.map(({ body }) => body.toString());

/** A round trip: what was sent before has been read. */
const settled = (client, command, message, headers = {}) =>
  new Promise((resolve, reject) => client[command](message, headers, { onReceipt: resolve, onError: reject }));

test('every_version', async (url) => {
  for (const version of ['1.0', '1.1', '1.2', '1.0,1.1,1.2']) {
    const queue = `/queue/${unique('js')}`;
    await connected(
      url,
      async (client) => {
        assert.equal(client.headers.version, version.split(',').pop());
        const got = collect(client, { destination: queue, ack: 'client-individual' });
        await send(client, { destination: queue, foo: 'bar', 'content-type': 'text/plain' }, 'hello');
        const [{ headers, body, message }] = await take(got, 1);
        assert.deepEqual([body.toString(), headers.foo, headers['content-type']], ['hello', 'bar', 'text/plain']);
        assert.equal(headers.destination, queue);
        await settled(client, 'ack', message);
      },
      { 'accept-version': version },
    );
  }
});

test('bodies_as_streams', async (url) => {
  const queue = `/queue/${unique('js')}`;
  await connected(url, async (client) => {
    const got = collect(client, { destination: queue });
    const body = crypto.randomBytes(8 << 20);
    await new Promise((resolve, reject) => {
      // In pieces, behind a content-length; then without one, up to NUL.
      const frame = client.send({ destination: queue, 'content-length': body.length }, { onReceipt: resolve, onError: reject });
      for (let at = 0; at < body.length; at += 100_000) frame.write(body.subarray(at, at + 100_000));
      frame.end();
    });
    const frame = client.send({ destination: queue });
    frame.write('a');
    frame.write('b');
    frame.end('c');
    const [large, small] = await take(got, 2);
    assert.ok(large.body.equals(body), '8 MiB as they were');
    assert.equal(small.body.toString(), 'abc');
  });
});

test('headers_are_escaped', async (url) => {
  const queue = `/queue/${unique('js')}`;
  await connected(url, async (client) => {
    const got = collect(client, { destination: queue });
    const values = { colon: 'a:b', line: 'a\nb', back: 'a\\n', utf8: 'grüße 🚀', 'key:colon': 'x' };
    await send(client, { destination: queue, ...values }, '');
    const [{ headers }] = await take(got, 1);
    for (const [key, value] of Object.entries(values)) assert.equal(headers[key], value, key);
  });
});

test('many_messages_in_order', async (url) => {
  const queue = `/queue/${unique('js')}`;
  await connected(url, async (client) => {
    const got = collect(client, { destination: queue, ack: 'client', 'prefetch-count': '50' });
    for (let number = 0; number < 1000; number++) client.send({ destination: queue }).end(String(number));
    for (let number = 0; number < 1000; number += 50) {
      const messages = await take(got, 50);
      assert.deepEqual(texts(messages), Array.from({ length: 50 }, (_, at) => String(number + at)));
      client.ack(messages[49].message);
    }
    assert.equal(got.length, 0);
  });
});

test('refused_and_requeued', async (url) => {
  const queue = `/queue/${unique('js')}`;
  await connected(url, async (client) => {
    const got = collect(client, { destination: queue, ack: 'client-individual' });
    await send(client, queue, 'x');
    const [first] = await take(got, 1);
    await settled(client, 'nack', first.message);
    const [again] = await take(got, 1);
    assert.equal(again.headers.redelivered, 'true');
    await settled(client, 'nack', again.message, { requeue: 'false' });
    await send(client, queue, 'y');
    assert.deepEqual(texts(await take(got, 1)), ['y']);
  });
});

test('transactions', async (url) => {
  const queue = `/queue/${unique('js')}`;
  await connected(url, async (client) => {
    const got = collect(client, { destination: queue });
    const done = (end) => new Promise((resolve, reject) => end({ onReceipt: resolve, onError: reject }));
    const gone = client.begin();
    gone.send({ destination: queue }).end('gone');
    await done((options) => gone.abort(options));
    const kept = client.begin({ transaction: 'kept' });
    kept.send({ destination: queue }).end('1');
    kept.send({ destination: queue }).end('2');
    await done((options) => kept.commit(options));
    await send(client, queue, '3');
    assert.deepEqual(texts(await take(got, 3)), ['1', '2', '3']);
  });
});

test('topics_requests_and_replies', async (url) => {
  const topic = `/topic/${unique('js')}`;
  await connected(url, (client) =>
    connected(url, async (server) => {
      const requests = collect(server, { destination: `${topic}.#` });
      const answers = [];
      client.setImplicitSubscription('/temp-queue/answers', 'auto', (_error, message) =>
        message.readString('utf-8', (_problem, text) => answers.push(text)),
      );
      // The subscription has been made once its connection has had an answer.
      await send(server, `/queue/${unique('fence')}`, '');
      await send(client, { destination: `${topic}.ask`, 'reply-to': '/temp-queue/answers' }, 'ask');
      const [{ headers, body }] = await take(requests, 1);
      await send(server, headers['reply-to'], `answer to ${body}`);
      await waitUntil(() => answers.length === 1, 'the answer');
      assert.deepEqual(answers, ['answer to ask']);
    }),
  );
});

test('unsubscribed', async (url) => {
  const topic = `/topic/${unique('js')}`;
  await connected(url, async (client) => {
    const got = collect(client, { destination: topic });
    await send(client, topic, '1');
    await take(got, 1);
    got.subscription.unsubscribe();
    await send(client, topic, '2');
    assert.equal(got.length, 0);
  });
});

test('heart_beats', async (url) => {
  await connected(
    url,
    async (client) => {
      assert.equal(client.headers['heart-beat'], '1000,1000');
      // It would end the connection itself, were the broker silent; the broker would, were the client.
      await new Promise((resolve) => setTimeout(resolve, 3500));
      await send(client, `/queue/${unique('js')}`, 'still there');
      assert.equal(client.failed, undefined);
    },
    { 'heart-beat': '1000,1000' },
  );
});

test('refusals', async (url) => {
  await refused(connect(url, { passcode: 'wrong' }), 'Bad CONNECT');
  await refused(connect(url, { host: 'nowhere' }), 'Bad CONNECT');
  for (const [destination, message] of [
    ['/nonsense/x', 'Unknown destination'],
    ['/exchange/no-such/x', 'not_found'],
    ['/queue/too/many/words', 'Invalid destination'],
  ]) {
    await connected(url, (client) => refused(send(client, destination, ''), message));
  }
});

test('a_pool_of_channels', async (url) => {
  const queue = `/queue/${unique('js')}`;
  const manager = new stompit.ConnectFailover([options(url)]);
  const pool = new stompit.ChannelPool(manager);
  const channel = () => new Promise((resolve, reject) => pool.channel((error, channel) => (error ? reject(error) : resolve(channel))));
  const all = Array.from({ length: 20 }, async (_, number) => {
    const one = await channel();
    await new Promise((resolve, reject) => one.send({ destination: queue }, String(number), (error) => (error ? reject(error) : resolve())));
    one.close();
  });
  await Promise.all(all);
  await connected(url, async (client) => {
    const got = collect(client, { destination: queue });
    const messages = texts(await take(got, 20)).map(Number);
    assert.deepEqual(messages.sort((a, b) => a - b), Array.from({ length: 20 }, (_, number) => number));
  });
  pool.close();
});

restartTest('reconnects_by_itself', async (url) => {
  const queue = `/queue/${unique('js')}`;
  const servers = new stompit.ConnectFailover([options(url)], { initialReconnectDelay: 50, maxReconnects: 200, useExponentialBackOff: false });
  const got = [];
  const channels = new stompit.ChannelFactory(servers);
  const channel = await new Promise((resolve, reject) => channels.channel((error, channel) => (error ? reject(error) : resolve(channel))));
  channel.subscribe({ destination: queue, ack: 'client-individual' }, (error, message) => {
    if (error) return; // it comes back
    message.readString('utf-8', (_problem, text) => {
      got.push(text);
      channel.ack(message);
    });
  });
  await connected(url, (client) => send(client, { destination: queue, persistent: 'true' }, '1'));
  await waitUntil(() => got.includes('1'), 'the first message');
  await restartBroker('kill');
  await waitUntil(() => connect(url).then((client) => (client.destroy(), true), () => false), 'the broker is back');
  await connected(url, (client) => send(client, { destination: queue, persistent: 'true' }, '2'));
  await waitUntil(() => got.includes('2'), 'the second message');
  channel.close();
});

main();
