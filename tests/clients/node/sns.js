// SNS through AWS's SDK for JavaScript (v3), and sns-validator, which checks the signatures of what comes as subscribers do.
//
// The URL begins with https: sns-validator takes no certificate from elsewhere. NODE_EXTRA_CA_CERTS says who has signed the broker's.

const assert = require('node:assert/strict');
const http = require('node:http');
const https = require('node:https');
const {
  SNSClient,
  ConfirmSubscriptionCommand,
  CreateTopicCommand,
  DeleteTopicCommand,
  GetSubscriptionAttributesCommand,
  GetTopicAttributesCommand,
  ListSubscriptionsByTopicCommand,
  PublishBatchCommand,
  PublishCommand,
  SetTopicAttributesCommand,
  SubscribeCommand,
  paginateListTopics,
} = require('@aws-sdk/client-sns');
const {
  SQSClient,
  CreateQueueCommand,
  DeleteMessageCommand,
  DeleteQueueCommand,
  ReceiveMessageCommand,
} = require('@aws-sdk/client-sqs');
const MessageValidator = require('sns-validator');
const { beyondTest, main, test, unique, waitUntil } = require('./suite');

const options = (endpoint) => ({
  endpoint,
  region: 'us-east-1',
  credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  maxAttempts: 1,
});
const clients = new Map();

/** One client of each service. */
function clientsOf(endpoint) {
  if (!clients.has(endpoint)) {
    clients.set(endpoint, { sns: new SNSClient(options(endpoint)), sqs: new SQSClient(options(endpoint)) });
  }
  return clients.get(endpoint);
}

/** Runs `body` with a topic that is deleted in the end. */
async function withTopic(url, attributes, body) {
  const { sns, sqs } = clientsOf(url);
  const Name = unique('node') + (attributes.FifoTopic === 'true' ? '.fifo' : '');
  const { TopicArn } = await sns.send(new CreateTopicCommand({ Name, Attributes: attributes }));
  try {
    return await body(TopicArn, sns, sqs);
  } finally {
    await sns.send(new DeleteTopicCommand({ TopicArn }));
  }
}

/** Runs `body` with a queue that is subscribed to the topic. */
async function withQueue(url, TopicArn, attributes, body) {
  const { sns, sqs } = clientsOf(url);
  const fifo = TopicArn.endsWith('.fifo');
  const QueueName = unique('node') + (fifo ? '.fifo' : '');
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName, Attributes: fifo ? { FifoQueue: 'true' } : {} }));
  const Endpoint = `arn:aws:sqs:us-east-1:000000000000:${QueueName}`;
  try {
    await sns.send(new SubscribeCommand({ TopicArn, Protocol: 'sqs', Endpoint, Attributes: attributes }));
    return await body(QueueUrl);
  } finally {
    await sqs.send(new DeleteQueueCommand({ QueueUrl }));
  }
}

/** Receives and deletes so many messages. */
async function take(sqs, QueueUrl, count) {
  const all = [];
  await waitUntil(async () => {
    const ask = { QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, MessageAttributeNames: ['All'] };
    for (const message of (await sqs.send(new ReceiveMessageCommand(ask))).Messages ?? []) {
      all.push(message);
      await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: message.ReceiptHandle }));
    }
    return all.length >= count;
  }, `${count} messages`);
  return all;
}

/** Resolves with the message when its signature is right. */
const validate = (message) =>
  new Promise((resolve, reject) => {
    new MessageValidator(/^(localhost|127\.0\.0\.1)(:\d+)?$/).validate(message, (error, valid) =>
      error ? reject(error) : resolve(valid),
    );
  });

const get = (url) =>
  new Promise((resolve, reject) => {
    const by = url.startsWith('https:') ? https : http;
    by.get(url, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode));
    }).on('error', reject);
  });

/** Runs `body` with a server, and what was posted to it: headers and document. */
async function withWebhook(body) {
  const posted = [];
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      posted.push({ headers: request.headers, document: JSON.parse(Buffer.concat(chunks).toString()) });
      response.end();
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    return await body(`http://127.0.0.1:${server.address().port}/hook`, posted);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

beyondTest('signatures_are_valid', (url) =>
  withTopic(url, {}, (TopicArn, sns, sqs) =>
    withQueue(url, TopicArn, {}, async (QueueUrl) => {
      for (const version of ['1', '2']) {
        const set = { TopicArn, AttributeName: 'SignatureVersion', AttributeValue: version };
        await sns.send(new SetTopicAttributesCommand(set));
        const MessageAttributes = { n: { DataType: 'Number', StringValue: '1' } };
        await sns.send(new PublishCommand({ TopicArn, Message: 'grüße 😀\n"', Subject: 'with', MessageAttributes }));
        await sns.send(new PublishCommand({ TopicArn, Message: 'without a subject' }));
        for (const { Body } of await take(sqs, QueueUrl, 2)) {
          const document = JSON.parse(Body);
          assert.equal(document.SignatureVersion, version);
          assert.equal((await validate(document)).MessageId, document.MessageId);
          await assert.rejects(validate({ ...document, Message: 'another' }), /signature is invalid/);
        }
      }
    }),
  ));

beyondTest('a_webhook_checks_what_it_is_sent', (url) =>
  withTopic(url, {}, (TopicArn, sns) =>
    withWebhook(async (Endpoint, posted) => {
      const told = await sns.send(new SubscribeCommand({ TopicArn, Protocol: 'http', Endpoint }));
      assert.equal(told.SubscriptionArn, 'pending confirmation');
      await waitUntil(() => posted.length === 1, 'the confirmation');
      const { headers, document } = posted[0];
      assert.equal(headers['x-amz-sns-message-type'], 'SubscriptionConfirmation');
      await validate(document);
      assert.equal(await get(document.SubscribeURL), 200);
      await sns.send(new PublishCommand({ TopicArn, Message: 'hello', Subject: 'of a webhook' }));
      await waitUntil(() => posted.length === 2, 'the notification');
      const message = await validate(posted[1].document);
      assert.deepEqual([message.Message, message.Subject], ['hello', 'of a webhook']);
      assert.equal(await get(message.UnsubscribeURL), 200);
      await waitUntil(() => posted.length === 3, 'word of the end');
      // Not for sns-validator: it leaves out the token, which Amazon's guide has signed, too.
      assert.equal(posted[2].document.Type, 'UnsubscribeConfirmation');
      assert.deepEqual((await sns.send(new ListSubscriptionsByTopicCommand({ TopicArn }))).Subscriptions ?? [], []);
    }),
  ));

beyondTest('attributes_and_batches', (url) =>
  withTopic(url, { DisplayName: 'of node' }, (TopicArn, sns, sqs) =>
    withQueue(url, TopicArn, { RawMessageDelivery: 'true', FilterPolicy: '{"n":[{"numeric":[">",4]}]}' }, async (QueueUrl) => {
      const told = await sns.send(new GetTopicAttributesCommand({ TopicArn }));
      assert.deepEqual([told.Attributes.DisplayName, told.Attributes.SubscriptionsConfirmed], ['of node', '1']);
      const PublishBatchRequestEntries = Array.from({ length: 10 }, (_, n) => ({
        Id: `e${n}`,
        Message: `m${n}`,
        MessageAttributes: {
          n: { DataType: 'Number', StringValue: String(n) },
          bytes: { DataType: 'Binary', BinaryValue: Uint8Array.from([n, 255]) },
        },
      }));
      const answer = await sns.send(new PublishBatchCommand({ TopicArn, PublishBatchRequestEntries }));
      assert.equal(answer.Successful.length, 10);
      const messages = await take(sqs, QueueUrl, 5);
      assert.deepEqual(messages.map(({ Body }) => Body).sort(), ['m5', 'm6', 'm7', 'm8', 'm9']);
      for (const { Body, MessageAttributes } of messages) {
        assert.deepEqual([...MessageAttributes.bytes.BinaryValue], [Number(Body.slice(1)), 255]);
      }
    }),
  ));

beyondTest('fifo_topics', (url) =>
  withTopic(url, { FifoTopic: 'true', ContentBasedDeduplication: 'true' }, (TopicArn, sns, sqs) =>
    withQueue(url, TopicArn, { RawMessageDelivery: 'true' }, async (QueueUrl) => {
      const numbers = [];
      for (const Message of ['a', 'b', 'b', 'c']) {
        numbers.push(BigInt((await sns.send(new PublishCommand({ TopicArn, Message, MessageGroupId: 'g' }))).SequenceNumber));
      }
      assert.ok(numbers[0] < numbers[1] && numbers[1] === numbers[2] && numbers[2] < numbers[3], String(numbers));
      const messages = await take(sqs, QueueUrl, 3);
      assert.deepEqual(
        messages.map(({ Body }) => Body),
        ['a', 'b', 'c'],
      );
    }),
  ));

test('errors_are_classes', async (url) => {
  const { sns } = clientsOf(url);
  const refused = (command, name) =>
    assert.rejects(sns.send(command), (error) => {
      assert.equal(error.name, name, error.stack);
      return true;
    });
  await withTopic(url, {}, async (TopicArn) => {
    await refused(new PublishCommand({ TopicArn, Message: '' }), 'InvalidParameterException');
    await refused(new PublishCommand({ TopicArn: `${TopicArn}x`, Message: 'x' }), 'NotFoundException');
    await refused(new ConfirmSubscriptionCommand({ TopicArn, Token: 'x' }), 'InvalidParameterException');
    const MessageAttributes = { a: { DataType: 'Foo', StringValue: 'x' } };
    await refused(new PublishCommand({ TopicArn, Message: 'x', MessageAttributes }), 'InvalidParameterValueException');
    const SubscriptionArn = `${TopicArn}:00000000-0000-0000-0000-000000000000`;
    await refused(new GetSubscriptionAttributesCommand({ SubscriptionArn }), 'NotFoundException');
    const PublishBatchRequestEntries = ['a', 'a'].map((Id) => ({ Id, Message: 'x' }));
    await refused(new PublishBatchCommand({ TopicArn, PublishBatchRequestEntries }), 'BatchEntryIdsNotDistinctException');
  });
});

test('paginator', (url) =>
  withTopic(url, {}, async (TopicArn, client) => {
    const found = [];
    for await (const page of paginateListTopics({ client }, {})) found.push(...(page.Topics ?? []));
    assert.ok(found.some((topic) => topic.TopicArn === TopicArn));
  }));

main();
