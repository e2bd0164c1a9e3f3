// What the programs that use amqplib share: connections, channels whose errors are seen, queues, refusals.

const assert = require('node:assert/strict');
const amqp = require('amqplib');
const { unique, waitUntil } = require('./suite');

/** Runs `body` with a connection that is closed afterwards, whatever state it is in. */
async function connected(url, body) {
  const connection = await amqp.connect(url);
  connection.on('error', () => {}); // told to the call that caused it, too
  try {
    return await body(connection);
  } finally {
    await connection.close().catch(() => {});
  }
}

/** A channel whose errors are seen through `refused`, and not thrown at the process. */
async function newChannel(connection) {
  const channel = await connection.createChannel();
  channel.on('error', (error) => (channel.closedBy = error));
  return channel;
}

async function newConfirmChannel(connection) {
  const channel = await connection.createConfirmChannel();
  channel.on('error', (error) => (channel.closedBy = error));
  return channel;
}

/** Publishes and waits for the confirm. */
function publish(channel, exchange, key, body, options) {
  return new Promise((resolve, reject) => {
    channel.publish(exchange, key, Buffer.from(body), options, (error) => (error ? reject(error) : resolve()));
  });
}

async function fill(channel, queue, count) {
  for (let number = 0; number < count; number++) channel.sendToQueue(queue, Buffer.from(String(number)));
  await channel.waitForConfirms();
}

async function newQueue(channel, options = {}) {
  return (await channel.assertQueue(unique('amqplib'), { exclusive: true, durable: false, ...options })).queue;
}

async function depth(channel, queue) {
  return (await channel.checkQueue(queue)).messageCount;
}

async function bodies(channel, queue) {
  const taken = [];
  for (;;) {
    const message = await channel.get(queue, { noAck: true });
    if (!message) return taken;
    taken.push(message.content.toString());
  }
}

/** The promise must be rejected by the broker's channel.close with this code and text. */
async function refused(promise, code, text) {
  const error = await promise.then(
    () => assert.fail(`not refused with ${code} ${text}`),
    (error) => error,
  );
  assert.equal(error.code, code, error.stack);
  assert.ok(error.message.endsWith(`with message "${text}"`), `expected ${text}, got ${error.message}`);
}

/** The same for what has no answer (an ack, say): the channel's error event tells. */
async function closes(channel, code, text) {
  await waitUntil(() => channel.closedBy, `channel.close ${code} ${text}`);
  assert.equal(channel.closedBy.code, code);
  assert.ok(channel.closedBy.message.endsWith(`with message "${text}"`), channel.closedBy.message);
}

/** Consumes and collects. */
async function consumer(channel, queue, options) {
  const deliveries = [];
  const { consumerTag } = await channel.consume(queue, (message) => deliveries.push(message), options);
  return { deliveries, consumerTag };
}

module.exports = {
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
};
