// SQS through AWS's SDK for JavaScript (v3) and the BBC's sqs-consumer and sqs-producer. The SDK checks the MD5 of all bodies.

const assert = require('node:assert/strict');
const {
  SQSClient,
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  DeleteMessageCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ListQueuesCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  paginateListQueues,
} = require('@aws-sdk/client-sqs');
const { Consumer } = require('sqs-consumer');
const { Producer } = require('sqs-producer');
const { main, restartBroker, restartTest, test, unique, waitUntil } = require('./suite');

const clients = new Map();

/** One client, which tries everything once. */
function clientOf(endpoint) {
  if (!clients.has(endpoint)) {
    const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
    clients.set(endpoint, new SQSClient({ endpoint, region: 'us-east-1', credentials, maxAttempts: 1 }));
  }
  return clients.get(endpoint);
}

/** Runs `body` with a queue that is deleted in the end. */
async function withQueue(url, attributes, body) {
  const client = clientOf(url);
  const name = unique('node') + (attributes.FifoQueue === 'true' ? '.fifo' : '');
  const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName: name, Attributes: attributes }));
  try {
    return await body(QueueUrl, client);
  } finally {
    await client.send(new DeleteQueueCommand({ QueueUrl }));
  }
}

const receive = async (client, QueueUrl, more = {}) =>
  (
    await client.send(
      new ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: 10,
        MessageAttributeNames: ['All'],
        MessageSystemAttributeNames: ['All'],
        ...more,
      }),
    )
  ).Messages ?? [];

const attribute = async (client, QueueUrl, name) =>
  (await client.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: [name] }))).Attributes?.[name];

async function refused(promise, name, code) {
  const error = await promise.then(
    () => assert.fail(`not refused with ${name}`),
    (error) => error,
  );
  assert.equal(error.name, name, error.stack);
  if (code) assert.equal(error.Code ?? error.Error?.Code, code, JSON.stringify(error));
}

test('messages_and_attributes', (url) =>
  withQueue(url, {}, async (QueueUrl, client) => {
    const MessageAttributes = {
      text: { DataType: 'String', StringValue: 'grüße' },
      number: { DataType: 'Number', StringValue: '1.5' },
      bytes: { DataType: 'Binary.png', BinaryValue: Uint8Array.from([0, 255]) },
    };
    const sent = await client.send(new SendMessageCommand({ QueueUrl, MessageBody: 'höllo 😀', MessageAttributes }));
    const [message] = await receive(client, QueueUrl, { WaitTimeSeconds: 5 });
    assert.equal(message.Body, 'höllo 😀');
    assert.equal(message.MessageId, sent.MessageId);
    assert.equal(message.MD5OfMessageAttributes, sent.MD5OfMessageAttributes);
    for (const [name, value] of Object.entries(MessageAttributes)) {
      assert.equal(message.MessageAttributes[name].DataType, value.DataType);
      assert.equal(message.MessageAttributes[name].StringValue, value.StringValue);
      if (value.BinaryValue) assert.deepEqual([...message.MessageAttributes[name].BinaryValue], [...value.BinaryValue]);
    }
    const { ReceiptHandle } = message;
    await client.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout: 0 }));
    const [again] = await receive(client, QueueUrl, { WaitTimeSeconds: 5 });
    assert.equal(again.Attributes.ApproximateReceiveCount, '2');
    await client.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: again.ReceiptHandle }));
    assert.equal(await attribute(client, QueueUrl, 'ApproximateNumberOfMessagesNotVisible'), '0');
  }));

test('batches_in_parallel', (url) =>
  withQueue(url, {}, async (QueueUrl, client) => {
    const batch = (start) =>
      client.send(
        new SendMessageBatchCommand({
          QueueUrl,
          Entries: Array.from({ length: 10 }, (_, n) => ({ Id: `e${n}`, MessageBody: String(start + n) })),
        }),
      );
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => batch(n * 10)));
    assert.equal(answers.flatMap((answer) => answer.Successful).length, 200);
    const seen = new Set();
    while (seen.size < 200) {
      const messages = await receive(client, QueueUrl, { WaitTimeSeconds: 5 });
      assert.notEqual(messages.length, 0, `only ${seen.size} messages came`);
      for (const message of messages) seen.add(message.Body);
      const Entries = messages.map(({ ReceiptHandle }, n) => ({ Id: `e${n}`, ReceiptHandle }));
      const { Successful } = await client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }));
      assert.equal(Successful.length, messages.length);
    }
    assert.deepEqual(await receive(client, QueueUrl), []);
  }));

test('fifo_order_and_deduplication', (url) =>
  withQueue(url, { FifoQueue: 'true', ContentBasedDeduplication: 'true' }, async (QueueUrl, client) => {
    const send = (MessageBody, MessageGroupId) => client.send(new SendMessageCommand({ QueueUrl, MessageBody, MessageGroupId }));
    const first = await send('1', 'a');
    assert.equal((await send('1', 'a')).MessageId, first.MessageId);
    const second = await send('2', 'a');
    assert.ok(BigInt(second.SequenceNumber) > BigInt(first.SequenceNumber));
    const messages = await receive(client, QueueUrl, { WaitTimeSeconds: 5 });
    assert.deepEqual(
      messages.map((message) => message.Body),
      ['1', '2'],
    );
    assert.equal(messages[0].Attributes.MessageGroupId, 'a');
  }));

test('errors_are_classes', async (url) => {
  const client = clientOf(url);
  await refused(
    client.send(new GetQueueUrlCommand({ QueueName: unique('nowhere') })),
    'QueueDoesNotExist',
    'AWS.SimpleQueueService.NonExistentQueue',
  );
  await withQueue(url, {}, async (QueueUrl) => {
    await refused(client.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: 'x' })), 'ReceiptHandleIsInvalid');
    await refused(
      client.send(new SendMessageBatchCommand({ QueueUrl, Entries: [] })),
      'EmptyBatchRequest',
      'AWS.SimpleQueueService.EmptyBatchRequest',
    );
  });
});

test('paginator', async (url) => {
  const client = clientOf(url);
  const QueueNamePrefix = unique('pages');
  const made = [];
  for (let number = 0; number < 5; number++) {
    const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName: `${QueueNamePrefix}-${number}` }));
    made.push(QueueUrl);
  }
  const found = [];
  for await (const page of paginateListQueues({ client, pageSize: 2 }, { QueueNamePrefix })) found.push(...(page.QueueUrls ?? []));
  assert.deepEqual(found.sort(), made);
  for (const QueueUrl of made) await client.send(new DeleteQueueCommand({ QueueUrl }));
});

test('consumer_and_producer', (url) =>
  withQueue(url, { VisibilityTimeout: '2' }, async (queueUrl, sqs) => {
    const producer = Producer.create({ queueUrl, sqs });
    await producer.send(Array.from({ length: 30 }, (_, n) => ({ id: `m${n}`, body: `m${n}` })));
    const handled = new Map();
    const problems = [];
    const consumer = Consumer.create({
      queueUrl,
      sqs,
      batchSize: 10,
      waitTimeSeconds: 5,
      // One of them fails at first: it comes again when its time is over.
      handleMessage: async (message) => {
        const before = handled.get(message.Body) ?? 0;
        handled.set(message.Body, before + 1);
        if (message.Body === 'm7' && before === 0) throw new Error('no luck');
        return message;
      },
    });
    for (const name of ['error', 'timeout_error']) consumer.on(name, (error) => problems.push(error));
    consumer.on('processing_error', () => {});
    consumer.start();
    try {
      await waitUntil(() => handled.size === 30 && handled.get('m7') === 2, 'all messages, one of them twice');
      await waitUntil(
        async () => (await attribute(sqs, queueUrl, 'ApproximateNumberOfMessagesNotVisible')) === '0',
        'everything is deleted',
      );
    } finally {
      consumer.stop({ abort: true });
    }
    assert.deepEqual(problems, []);
    assert.equal([...handled.values()].reduce((sum, count) => sum + count), 31);
  }));

test('consumer_of_batches', (url) =>
  withQueue(url, {}, async (queueUrl, sqs) => {
    const producer = Producer.create({ queueUrl, sqs });
    const handled = [];
    const consumer = Consumer.create({
      queueUrl,
      sqs,
      batchSize: 10,
      waitTimeSeconds: 20,
      heartbeatInterval: 1,
      visibilityTimeout: 30,
      handleMessageBatch: async (messages) => {
        handled.push(...messages.map((message) => message.Body));
        return messages;
      },
    });
    const problems = [];
    consumer.on('error', (error) => problems.push(error));
    consumer.start();
    try {
      // It waits already: what is sent wakes it.
      await new Promise((resolve) => setTimeout(resolve, 500));
      await producer.send(Array.from({ length: 20 }, (_, n) => ({ id: `m${n}`, body: `m${n}` })));
      await waitUntil(() => handled.length >= 20, 'all messages');
    } finally {
      consumer.stop({ abort: true });
    }
    assert.deepEqual(problems, []);
    assert.equal(new Set(handled).size, 20);
  }));

restartTest('survives', (url) =>
  withQueue(url, {}, async (QueueUrl, client) => {
    for (let n = 0; n < 20; n++) await client.send(new SendMessageCommand({ QueueUrl, MessageBody: `m${n}` }));
    await restartBroker('kill');
    const isBack = () =>
      client.send(new ListQueuesCommand({ QueueNamePrefix: 'x' })).then(
        () => true,
        () => false,
      );
    await waitUntil(isBack, 'the broker is back');
    const bodies = new Set();
    await waitUntil(async () => {
      for (const message of await receive(client, QueueUrl, { WaitTimeSeconds: 1 })) bodies.add(message.Body);
      return bodies.size === 20;
    }, 'all messages after the crash');
  }));

main();
