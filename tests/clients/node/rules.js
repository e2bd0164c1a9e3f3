// What queues, streams and exchanges can be told to do, as amqplib sees it: values come as JavaScript's types.

const assert = require('node:assert/strict');
const { test, beyondTest, unique, waitUntil, main } = require('./suite');
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
  consumer,
} = require('./tools');

/** Takes one message, which may still be on its way. */
async function get(channel, queue, options) {
  let message;
  await waitUntil(async () => (message = await channel.get(queue, options)), `a message in ${queue}`);
  return message;
}

test('dead_letters_and_their_types', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const dead = await newQueue(channel);
    const queue = await newQueue(channel, { deadLetterExchange: '', deadLetterRoutingKey: dead });
    await publish(channel, '', queue, 'x', { expiration: 60000, headers: { kept: [1, null, { two: 2 }] } });
    channel.nack(await get(channel, queue), false, false);
    const { properties, content } = await get(channel, dead, { noAck: true });
    assert.equal(content.toString(), 'x');
    const { headers } = properties;
    assert.deepEqual(headers.kept, [1, null, { two: 2 }]);
    const [{ time, ...death }, ...more] = headers['x-death'];
    assert.deepEqual(more, []);
    assert.deepEqual(death, {
      count: 1,
      reason: 'rejected',
      queue,
      exchange: '',
      'routing-keys': [queue],
      'original-expiration': '60000',
    });
    assert.equal(time['!'], 'timestamp');
    assert.ok(Math.abs(Date.now() / 1000 - time.value) < 60, `time ${time.value}`);
    assert.deepEqual(
      [headers['x-first-death-exchange'], headers['x-first-death-queue'], headers['x-first-death-reason']],
      ['', queue, 'rejected'],
    );
    assert.equal(properties.expiration, undefined);
  }));

test('time_to_live_and_length', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const dead = await newQueue(channel);
    const queue = await newQueue(channel, {
      messageTtl: 300,
      maxLength: 3,
      deadLetterExchange: '',
      deadLetterRoutingKey: dead,
    });
    await fill(channel, queue, 5);
    await waitUntil(async () => (await depth(channel, dead)) === 5, 'five dead letters');
    const reasons = [];
    for (let number = 0; number < 5; number++) {
      reasons.push((await get(channel, dead, { noAck: true })).properties.headers['x-death'][0].reason);
    }
    assert.deepEqual(reasons, ['maxlen', 'maxlen', 'expired', 'expired', 'expired']);
  }));

test('reject_publish_is_a_nack', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const queue = await newQueue(channel, { maxLength: 2, arguments: { 'x-overflow': 'reject-publish' } });
    const results = [];
    for (let number = 0; number < 6; number++) {
      results.push(
        await publish(channel, '', queue, String(number)).then(
          () => true,
          (error) => {
            assert.equal(error.message, 'message nacked');
            return false;
          },
        ),
      );
    }
    assert.deepEqual(results.slice(0, 2), [true, true]);
    assert.equal(results[5], false);
    assert.equal((await bodies(channel, queue)).length, results.filter(Boolean).length);
  }));

test('priorities', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const queue = await newQueue(channel, { maxPriority: 10 });
    for (const priority of [1, 9, 5, 10, 200, 0]) await publish(channel, '', queue, String(priority), { priority });
    assert.deepEqual(await bodies(channel, queue), ['10', '200', '9', '5', '1', '0']);
  }));

test('a_quorum_queue_counts_deliveries', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const dead = await newQueue(channel);
    const { queue } = await channel.assertQueue(unique('quorum'), {
      deadLetterExchange: '',
      deadLetterRoutingKey: dead,
      arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 2 },
    });
    await fill(channel, queue, 1);
    const reader = await newChannel(connection);
    const counts = [];
    await reader.consume(queue, (message) => {
      counts.push(message.properties.headers['x-delivery-count'] ?? 0);
      reader.nack(message, false, true);
    });
    const letter = await get(channel, dead, { noAck: true });
    assert.equal(letter.properties.headers['x-death'][0].reason, 'delivery_limit');
    assert.deepEqual(counts, [0, 1, 2]);
    await channel.deleteQueue(queue);
  }));

test('a_single_active_consumer', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const queue = await newQueue(channel, { arguments: { 'x-single-active-consumer': true } });
    const [first, second] = [await newChannel(connection), await newChannel(connection)];
    const active = await consumer(first, queue);
    const heir = await consumer(second, queue);
    await fill(channel, queue, 5);
    await waitUntil(() => active.deliveries.length === 5, 'five deliveries');
    assert.equal(heir.deliveries.length, 0);
    await first.close();
    await waitUntil(() => heir.deliveries.length === 5, 'five deliveries to the heir');
    assert.deepEqual(
      heir.deliveries.map(({ content }) => content.toString()),
      ['0', '1', '2', '3', '4'],
    );
  }));

test('a_stream_is_read_from_an_offset', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const { queue } = await channel.assertQueue(unique('stream'), { arguments: { 'x-queue-type': 'stream' } });
    await fill(channel, queue, 500);
    const hourAgo = { '!': 'timestamp', value: Math.floor(Date.now() / 1000) - 3600 };
    for (const [offset, first] of [
      ['first', 0],
      [123, 123],
      [hourAgo, 0],
    ]) {
      const reader = await newChannel(connection);
      await reader.prefetch(50);
      const numbers = [];
      const offsets = [];
      await reader.consume(
        queue,
        (message) => {
          numbers.push(Number(message.content));
          offsets.push(message.properties.headers['x-stream-offset']);
          reader.ack(message);
        },
        { arguments: { 'x-stream-offset': offset } },
      );
      await waitUntil(() => numbers.length >= 500 - first, `messages from ${first}`);
      const expected = Array.from({ length: 500 - first }, (_, at) => at + first);
      assert.deepEqual(numbers, expected);
      assert.deepEqual(offsets, expected);
      await reader.close();
    }
    await channel.deleteQueue(queue);
  }));

test('remote_procedures_by_direct_reply_to', (url) =>
  connected(url, async (connection) => {
    const server = await newChannel(connection);
    const queue = await newQueue(server);
    await server.consume(
      queue,
      ({ properties: { replyTo, correlationId }, content }) => {
        assert.match(replyTo, /^amq\.rabbitmq\.reply-to\./);
        server.sendToQueue(replyTo, Buffer.from(`${content}!`), { correlationId });
      },
      { noAck: true },
    );
    const client = await newChannel(connection);
    const answers = new Map();
    await client.consume(
      'amq.rabbitmq.reply-to',
      ({ properties, content }) => answers.set(properties.correlationId, content.toString()),
      { noAck: true },
    );
    for (let number = 0; number < 100; number++) {
      const options = { correlationId: String(number), replyTo: 'amq.rabbitmq.reply-to' };
      client.sendToQueue(queue, Buffer.from(`question ${number}`), options);
    }
    await waitUntil(() => answers.size === 100, 'a hundred answers');
    for (const [number, answer] of answers) assert.equal(answer, `question ${number}!`);
  }));

test('a_consistent_hash', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const { exchange } = await channel.assertExchange(unique('hash'), 'x-consistent-hash', { autoDelete: true });
    const queues = [await newQueue(channel), await newQueue(channel), await newQueue(channel)];
    for (const queue of queues) await channel.bindQueue(queue, exchange, '10');
    for (let number = 0; number < 600; number++) {
      channel.publish(exchange, `key ${number % 200}`, Buffer.from(String(number % 200)));
    }
    await channel.waitForConfirms();
    const owners = new Map();
    let count = 0;
    for (const queue of queues) {
      for (const body of await bodies(channel, queue)) {
        assert.equal(owners.get(body) ?? queue, queue);
        owners.set(body, queue);
        count++;
      }
    }
    assert.deepEqual([count, owners.size], [600, 200]);
  }));

test('numbers_that_are_none', (url) =>
  connected(url, async (connection) => {
    const queue = unique('wrong');
    // JavaScript's numbers with a fraction travel as doubles.
    for (const [value, why] of [
      [1.5, '"expected integer, got double"'],
      ['100', '"expected integer, got longstr"'],
      [-1, '{value_negative,-1}'],
    ]) {
      const channel = await newChannel(connection);
      await refused(
        channel.assertQueue(queue, { exclusive: true, durable: false, arguments: { 'x-message-ttl': value } }),
        406,
        `PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue '${queue}' in vhost '/': ${why}`,
      );
    }
  }));

beyondTest('a_delayed_message', (url) =>
  connected(url, async (connection) => {
    const channel = await newConfirmChannel(connection);
    const options = { autoDelete: true, arguments: { 'x-delayed-type': 'direct' } };
    const { exchange } = await channel.assertExchange(unique('delayed'), 'x-delayed-message', options);
    const queue = await newQueue(channel);
    await channel.bindQueue(queue, exchange, 'key');
    for (const delay of [600, 300, 100]) {
      await publish(channel, exchange, 'key', String(delay), { headers: { 'x-delay': delay } });
    }
    const { deliveries } = await consumer(channel, queue);
    await waitUntil(() => deliveries.length === 3, 'three messages');
    assert.deepEqual(
      deliveries.map(({ content }) => content.toString()),
      ['100', '300', '600'],
    );
  }));

main();
