// What a program that uses amqplib expects of a broker.

const assert = require('node:assert/strict');
const amqp = require('amqplib');
const { test, restartTest, unique, waitUntil, restartBroker, main } = require('./suite');
const {
  connected,
  newChannel,
  newConfirmChannel,
  publish,
  fill,
  newQueue,
  depth,
  bodies,
  refused,
  closes,
  consumer,
} = require('./tools');

const MIB = 1024 * 1024;

// --- queues ----------------------------------------------------------------------------------------------------------

test('declare_answers_with_name_and_counts', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const queue = unique('amqplib');
    assert.deepEqual(await channel.assertQueue(queue), { queue, messageCount: 0, consumerCount: 0 });
    await fill(channel, queue, 3);
    await channel.prefetch(1);
    const { deliveries } = await consumer(channel, queue);
    await waitUntil(() => deliveries.length === 1, 'one delivery');
    assert.deepEqual(await channel.checkQueue(queue), { queue, messageCount: 2, consumerCount: 1 });
    assert.deepEqual(await channel.deleteQueue(queue), { messageCount: 2 });
  }));

test('server_names_a_queue', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const { queue } = await channel.assertQueue('', { exclusive: true });
    assert.match(queue, /^amq\.gen-/);
    await publish(channel, '', queue, 'hello');
    assert.deepEqual(await bodies(channel, ''), ['hello']); // '' is the queue declared last
  }));

test('exclusive_queue_is_locked_to_its_connection', (url) =>
  connected(url, (first) =>
    connected(url, async (second) => {
      const queue = await newQueue(await newChannel(first));
      const locked =
        `RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '${queue}' in vhost '/'. It could be ` +
        'originally declared on another connection or the exclusive property value does not match that of the ' +
        'original declaration.';
      await refused((await newChannel(second)).checkQueue(queue), 405, locked);
      await refused((await newChannel(second)).purgeQueue(queue), 405, locked);
      await first.close();
      const gone = `NOT_FOUND - no queue '${queue}' in vhost '/'`;
      await refused((await newChannel(second)).checkQueue(queue), 404, gone);
    }),
  ));

test('auto_delete_queue_goes_with_its_last_consumer', (url) =>
  connected(url, async (connection) => {
    const channel = await newChannel(connection);
    const queue = await newQueue(channel, { autoDelete: true, exclusive: false });
    const { consumerTag } = await consumer(channel, queue);
    await channel.cancel(consumerTag);
    await refused(channel.checkQueue(queue), 404, `NOT_FOUND - no queue '${queue}' in vhost '/'`);
  }));

test('channel_errors_leave_the_connection_usable', (url) =>
  connected(url, async (connection) => {
    const missing = unique('missing');
    await refused((await newChannel(connection)).checkQueue(missing), 404, `NOT_FOUND - no queue '${missing}' in vhost '/'`);
    await refused(
      (await newChannel(connection)).checkExchange(missing),
      404,
      `NOT_FOUND - no exchange '${missing}' in vhost '/'`,
    );
    const queue = await newQueue(await newChannel(connection), { exclusive: false });
    await refused(
      (await newChannel(connection)).assertQueue(queue, { durable: true }),
      406,
      `PRECONDITION_FAILED - inequivalent arg 'durable' for queue '${queue}' in vhost '/': ` +
        "received 'true' but current is 'false'",
    );
    await refused(
      (await newChannel(connection)).assertQueue('amq.mine'),
      403,
      "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
    );
    await refused(
      (await newChannel(connection)).assertExchange('amq.topic', 'fanout'),
      406,
      "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.topic' in vhost '/': " +
        "received 'fanout' but current is 'topic'",
    );
    const channel = await newChannel(connection);
    channel.ack({ fields: { deliveryTag: 42 } });
    await closes(channel, 406, 'PRECONDITION_FAILED - unknown delivery tag 42');
    await (await newChannel(connection)).deleteQueue(queue);
  }));

test('purge_and_conditional_delete', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const queue = await newQueue(channel);
    await fill(channel, queue, 5);
    await refused(
      (await newChannel(connection)).deleteQueue(queue, { ifEmpty: true }),
      406,
      `PRECONDITION_FAILED - queue '${queue}' in vhost '/' not empty`,
    );
    assert.deepEqual(await channel.purgeQueue(queue), { messageCount: 5 });
    const { consumerTag } = await consumer(channel, queue);
    await refused(
      (await newChannel(connection)).deleteQueue(queue, { ifUnused: true }),
      406,
      `PRECONDITION_FAILED - queue '${queue}' in vhost '/' in use`,
    );
    await channel.cancel(consumerTag);
    const exchange = unique('amqplib');
    await channel.assertExchange(exchange, 'direct', { durable: false });
    await channel.bindQueue(queue, exchange, 'key');
    await refused(
      (await newChannel(connection)).deleteExchange(exchange, { ifUnused: true }),
      406,
      `PRECONDITION_FAILED - exchange '${exchange}' in vhost '/' in use`,
    );
    await channel.deleteExchange(exchange);
    assert.deepEqual(await channel.deleteQueue(queue, { ifEmpty: true, ifUnused: true }), { messageCount: 0 });
    assert.deepEqual(await channel.deleteQueue(queue), { messageCount: 0 });
  }));

// --- exchanges -------------------------------------------------------------------------------------------------------

/** Declares an exchange and a queue for each binding ({ name: [key, arguments] }), and runs `body(route, parts)`. */
async function withBindings(url, type, bindings, body) {
  await connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const exchange = unique('amqplib');
    await channel.assertExchange(exchange, type, { durable: false });
    const queues = {};
    for (const [name, [key, args]] of Object.entries(bindings)) {
      queues[name] = await newQueue(channel);
      await channel.bindQueue(queues[name], exchange, key, args);
    }
    const route = async (key, headers) => {
      await publish(channel, exchange, key, 'body', { headers });
      const got = [];
      for (const [name, queue] of Object.entries(queues)) {
        const taken = await bodies(channel, queue);
        assert.ok(taken.length <= 1, `${name} got it ${taken.length} times`);
        if (taken.length === 1) got.push(name);
      }
      return got.join(' ');
    };
    await body(route, { channel, exchange, queues });
    await channel.deleteExchange(exchange);
  });
}

test('direct_exchange', (url) =>
  withBindings(url, 'direct', { a: ['red'], b: ['green'] }, async (route, { channel, exchange, queues }) => {
    await channel.bindQueue(queues.a, exchange, 'green');
    assert.equal(await route('red'), 'a');
    assert.equal(await route('green'), 'a b');
    await channel.unbindQueue(queues.a, exchange, 'green');
    assert.equal(await route('green'), 'b');
    assert.equal(await route('blue'), '');
  }));

test('fanout_exchange', (url) =>
  withBindings(url, 'fanout', { a: ['x'], b: ['y'], c: [''] }, async (route, { channel, exchange, queues }) => {
    assert.equal(await route('anything'), 'a b c');
    await channel.unbindQueue(queues.b, exchange, 'y');
    assert.equal(await route(''), 'a c');
  }));

test('topic_exchange', (url) =>
  withBindings(
    url,
    'topic',
    { exact: ['a.b'], star: ['a.*'], hash: ['a.#'], all: ['#'], end: ['#.c'] },
    async (route, { channel, exchange, queues }) => {
      assert.equal(await route('a.b'), 'exact star hash all');
      assert.equal(await route('a'), 'hash all');
      assert.equal(await route('a.b.c'), 'hash all end');
      assert.equal(await route('c'), 'all end');
      await channel.unbindQueue(queues.all, exchange, '#');
      assert.equal(await route('x'), '');
    },
  ));

test('headers_exchange', (url) =>
  withBindings(
    url,
    'headers',
    { all: ['', { 'x-match': 'all', a: 1, b: 'two' }], any: ['', { 'x-match': 'any', a: 1, b: 'two' }] },
    async (route) => {
      assert.equal(await route('', { a: 1, b: 'two', c: true }), 'all any');
      assert.equal(await route('', { b: 'two' }), 'any');
      assert.equal(await route('', { a: 2 }), '');
    },
  ));

test('exchange_to_exchange', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const [source, sink] = [unique('source'), unique('sink')];
    await channel.assertExchange(source, 'topic', { durable: false });
    await channel.assertExchange(sink, 'fanout', { durable: false });
    const queue = await newQueue(channel);
    await channel.bindQueue(queue, sink, '');
    await channel.bindExchange(sink, source, 'to.*');
    await publish(channel, source, 'to.a', 'over two exchanges');
    assert.deepEqual(await bodies(channel, queue), ['over two exchanges']);
    await channel.unbindExchange(sink, source, 'to.*');
    await publish(channel, source, 'to.a', 'nowhere');
    assert.deepEqual(await bodies(channel, queue), []);
    await channel.deleteExchange(source);
    await channel.deleteExchange(sink);
  }));

// --- publishing ------------------------------------------------------------------------------------------------------

test('many_confirms_outstanding', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const queue = await newQueue(channel);
    const confirmed = [];
    let multiple = 0;
    channel.on('ack', (ack) => (multiple += ack.multiple ? 1 : 0));
    for (let number = 0; number < 1000; number++) {
      channel.sendToQueue(queue, Buffer.from(String(number)), { persistent: true }, (error) => {
        assert.equal(error, null);
        confirmed.push(number);
      });
    }
    await channel.waitForConfirms();
    assert.equal(confirmed.length, 1000);
    assert.equal(new Set(confirmed).size, 1000, 'each once');
    assert.deepEqual(await bodies(channel, queue), Array.from({ length: 1000 }, (_, number) => String(number)));
  }));

test('mandatory_return_comes_before_its_confirm', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const events = [];
    channel.on('return', (message) => events.push(message));
    const key = unique('nowhere');
    await publish(channel, 'amq.direct', key, 'lost', { mandatory: true, messageId: '7' }).then(() => events.push('ack'));
    assert.equal(events.length, 2);
    assert.equal(events[1], 'ack');
    const { fields, properties, content } = events[0];
    assert.deepEqual(fields, { replyCode: 312, replyText: 'NO_ROUTE', exchange: 'amq.direct', routingKey: key });
    assert.equal(properties.messageId, '7');
    assert.equal(content.toString(), 'lost');
  }));

test('bodies_of_many_sizes', (url) =>
  connected(`${url}?frameMax=4096`, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const queue = await newQueue(channel);
    for (const size of [0, 1, 4087, 4088, 4089, 2 * 4088, 5 * MIB]) {
      const body = Buffer.alloc(size, 'abcdefghijk');
      await publish(channel, '', queue, body, { persistent: true });
      const { content } = await channel.get(queue, { noAck: true });
      assert.ok(content.equals(body), `body of ${size} bytes`);
    }
  }));

test('all_properties_round_trip', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const queue = await newQueue(channel);
    const sent = {
      contentType: 'application/json',
      contentEncoding: 'utf-8',
      headers: { key: 'value' },
      deliveryMode: 2,
      priority: 7,
      correlationId: 'correlation',
      replyTo: 'reply-here',
      expiration: '60000',
      messageId: 'message-1',
      timestamp: 1700000000,
      type: 'order',
      userId: decodeURIComponent(new URL(url).username),
      appId: 'shop',
    };
    await publish(channel, '', queue, '{}', sent);
    const { properties } = await channel.get(queue, { noAck: true });
    assert.deepEqual({ ...properties }, { ...sent, clusterId: undefined });
  }));

test('headers_of_every_type_round_trip', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const queue = await newQueue(channel);
    const headers = {
      string: 'grüße',
      empty: '',
      binary: Buffer.from([0, 255, 128]),
      true: true,
      false: false,
      byte: -7,
      short: 300,
      int: -70000,
      long: 2 ** 40,
      double: 3.25,
      float: { '!': 'float', value: 1.5 },
      ubyte: { '!': 'unsignedbyte', value: 200 },
      ushort: { '!': 'unsignedshort', value: 60000 },
      uint: { '!': 'unsignedint', value: 4000000000 },
      time: { '!': 'timestamp', value: 1700000000 },
      decimal: { '!': 'decimal', value: { digits: 314, places: 2 } },
      none: null,
      table: { a: 1, b: { c: [true, null] }, empty: {} },
      array: ['x', 1, { y: 2 }, [3, [4]], []],
    };
    await publish(channel, '', queue, '', { headers });
    const { properties } = await channel.get(queue, { noAck: true });
    const expected = { ...headers, float: 1.5, ubyte: 200, ushort: 60000, uint: 4000000000 };
    assert.deepEqual(properties.headers, expected);
    assert.deepEqual(Object.keys(properties.headers), Object.keys(headers), 'order of the headers');
  }));

// --- consuming -------------------------------------------------------------------------------------------------------

test('prefetch_limits_what_is_unacknowledged', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const queue = await newQueue(channel);
    await fill(channel, queue, 20);
    await channel.prefetch(4);
    const { deliveries } = await consumer(channel, queue);
    await waitUntil(() => deliveries.length >= 4, 'four deliveries');
    assert.equal(await depth(channel, queue), 16);
    assert.equal(deliveries.length, 4);
    channel.ack(deliveries[1], true);
    await waitUntil(() => deliveries.length >= 6, 'two more');
    assert.equal(await depth(channel, queue), 14);
    assert.equal(deliveries.length, 6);
    channel.ackAll();
    await waitUntil(() => deliveries.length >= 10, 'four more');
    assert.equal(await depth(channel, queue), 10);
    assert.deepEqual(
      deliveries.map(({ fields, content }) => [fields.deliveryTag, content.toString()]),
      Array.from({ length: 10 }, (_, number) => [number + 1, String(number)]),
    );
  }));

test('prefetch_of_a_channel_is_shared', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const queue = await newQueue(channel);
    await fill(channel, queue, 20);
    await channel.prefetch(3, true);
    const consumers = [await consumer(channel, queue), await consumer(channel, queue)];
    const count = () => consumers.reduce((sum, { deliveries }) => sum + deliveries.length, 0);
    await waitUntil(() => count() >= 3, 'three deliveries');
    assert.equal(await depth(channel, queue), 17);
    assert.equal(count(), 3);
  }));

test('nack_with_requeue_puts_back_in_place', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const queue = await newQueue(channel);
    await fill(channel, queue, 5);
    const taken = [];
    for (let number = 0; number < 4; number++) taken.push(await channel.get(queue));
    assert.deepEqual(
      taken.map(({ fields }) => [fields.redelivered, fields.messageCount]),
      [
        [false, 4],
        [false, 3],
        [false, 2],
        [false, 1],
      ],
    );
    channel.nack(taken[1], true, true); // 0 and 1
    channel.reject(taken[2], true);
    channel.nack(taken[3], false, false); // dropped
    await waitUntil(async () => (await depth(channel, queue)) === 4, 'three are back');
    const again = [];
    for (let number = 0; number < 4; number++) again.push(await channel.get(queue, { noAck: true }));
    assert.deepEqual(
      again.map(({ fields, content }) => [content.toString(), fields.redelivered]),
      [
        ['0', true],
        ['1', true],
        ['2', true],
        ['4', false],
      ],
    );
    assert.equal(await channel.get(queue), false);
  }));

test('recover_redelivers', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const queue = await newQueue(channel);
    await fill(channel, queue, 2);
    const { deliveries } = await consumer(channel, queue);
    await waitUntil(() => deliveries.length === 2, 'two deliveries');
    await channel.recover();
    await waitUntil(() => deliveries.length === 4, 'both again');
    assert.deepEqual(
      deliveries.map(({ fields, content }) => [content.toString(), fields.redelivered]),
      [
        ['0', false],
        ['1', false],
        ['0', true],
        ['1', true],
      ],
    );
  }));

test('exclusive_consumer', (url) =>
  connected(url, async (connection) => {
    const channel = await newChannel(connection);
    const queue = await newQueue(channel);
    await consumer(channel, queue, { exclusive: true });
    await refused(
      consumer(await newChannel(connection), queue),
      403,
      `ACCESS_REFUSED - queue '${queue}' in vhost '/' in exclusive use`,
    );
  }));

test('consumer_is_told_of_deleted_queue', (url) =>
  connected(url, async (connection) => {
    const channel = await newChannel(connection);
    const queue = await newQueue(channel);
    const { deliveries } = await consumer(channel, queue);
    await (await newChannel(connection)).deleteQueue(queue);
    await waitUntil(() => deliveries.length === 1, 'basic.cancel from the broker');
    assert.equal(deliveries[0], null); // how amqplib tells it
  }));

// --- time ------------------------------------------------------------------------------------------------------------

test('expiration_and_queue_ttl', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const queue = await newQueue(channel);
    await publish(channel, '', queue, 'short', { expiration: 200 });
    await publish(channel, '', queue, 'long', { expiration: 60000 });
    await waitUntil(async () => (await depth(channel, queue)) === 1, 'the first is gone');
    assert.deepEqual(await bodies(channel, queue), ['long']);
    const short = await newQueue(channel, { messageTtl: 200 });
    await fill(channel, short, 3);
    await waitUntil(async () => (await depth(channel, short)) === 0, 'all are gone');
    const unused = await newQueue(channel, { exclusive: false, expires: 300 });
    const returned = [];
    channel.on('return', (message) => returned.push(message));
    await waitUntil(async () => {
      await publish(channel, '', unused, 'anybody there?', { mandatory: true });
      return returned.length > 0;
    }, 'the unused queue is gone');
  }));

// --- connections -----------------------------------------------------------------------------------------------------

test('wrong_password_and_virtual_host', async (url) => {
  const wrong = new URL(url);
  wrong.password = 'wrong';
  await assert.rejects(amqp.connect(wrong.href), {
    message:
      'Handshake terminated by server: 403 (ACCESS-REFUSED) with message "ACCESS_REFUSED - Login was refused using ' +
      'authentication mechanism PLAIN. For details see the broker logfile."',
  });
  const nowhere = new URL(url);
  nowhere.pathname = '/nowhere';
  // The library shows neither code nor text of a connection.close at this point.
  await assert.rejects(amqp.connect(nowhere.href), /ConnectionClose/);
});

test('connection_error', async (url) => {
  const connection = await amqp.connect(url);
  const failed = new Promise((resolve) => connection.on('error', resolve));
  const closed = new Promise((resolve) => connection.on('close', resolve));
  const channel = await newChannel(connection);
  await assert.rejects(channel.assertExchange(unique('amqplib'), 'nonsense'));
  const text = '503 (COMMAND-INVALID) with message "COMMAND_INVALID - unknown exchange type \'nonsense\'"';
  assert.equal((await failed).message, `Connection closed: ${text}`);
  await closed;
});

test('heartbeats_keep_an_idle_connection', (url) =>
  connected(`${url}?heartbeat=1`, async (connection) => {
    // Each side gives up after two silent intervals: alive after three means that both have sent.
    await new Promise((resolve) => setTimeout(resolve, 3500));
    await newQueue(await newChannel(connection));
  }));

test('secret_is_updated', (url) =>
  connected(url, async (connection) => {
    await connection.updateSecret(Buffer.from(new URL(url).password), 'rotation');
    await newQueue(await newChannel(connection));
  }));

// --- restarts --------------------------------------------------------------------------------------------------------

restartTest('recovery_after_a_kill', async (url) => {
  const queue = unique('durable');
  const channels = [];
  const connection = await amqp.connect(url, {
    recovery: {
      initialDelay: 50,
      maxDelay: 500,
      setup: async (model) => {
        const channel = await model.createConfirmChannel();
        channel.on('error', () => {});
        await channel.assertQueue(queue, { durable: true });
        channels.push(channel);
      },
    },
  });
  connection.on('error', () => {});
  for (let number = 0; number < 50; number++) {
    channels[0].sendToQueue(queue, Buffer.from(String(number)), { persistent: true });
  }
  await channels[0].waitForConfirms();
  const reconnected = new Promise((resolve) => connection.once('connect', resolve));
  await restartBroker('kill');
  await reconnected;
  await waitUntil(() => channels.length === 2, 'the setup has run again', 60);
  assert.deepEqual(await bodies(channels[1], queue), Array.from({ length: 50 }, (_, number) => String(number)));
  await channels[1].deleteQueue(queue);
  await connection.close();
});

restartTest('shutdown_is_announced', async (url) => {
  const connection = await amqp.connect(url);
  connection.on('error', () => {});
  const closed = new Promise((resolve) => connection.on('close', resolve));
  await restartBroker('stop');
  const text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
  assert.equal((await closed).message, `Connection closed: 320 (CONNECTION-FORCED) with message "${text}"`);
});

main();
