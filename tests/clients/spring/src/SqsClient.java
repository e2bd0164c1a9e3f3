import java.net.URI;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.retries.DefaultRetryStrategy;
import software.amazon.awssdk.services.sqs.SqsAsyncClient;
import software.amazon.awssdk.services.sqs.batchmanager.SqsAsyncBatchManager;
import software.amazon.awssdk.services.sqs.model.ChangeMessageVisibilityBatchRequestEntry;
import software.amazon.awssdk.services.sqs.model.DeleteMessageBatchRequestEntry;
import software.amazon.awssdk.services.sqs.model.EmptyBatchRequestException;
import software.amazon.awssdk.services.sqs.model.Message;
import software.amazon.awssdk.services.sqs.model.MessageAttributeValue;
import software.amazon.awssdk.services.sqs.model.MessageSystemAttributeName;
import software.amazon.awssdk.services.sqs.model.QueueAttributeName;
import software.amazon.awssdk.services.sqs.model.QueueDoesNotExistException;
import software.amazon.awssdk.services.sqs.model.ReceiptHandleIsInvalidException;
import software.amazon.awssdk.services.sqs.model.SendMessageBatchRequestEntry;
import software.amazon.awssdk.services.sqs.model.SqsException;

/**
 * SQS through AWS's SDK for Java 2: the synchronous client over URLConnection and the asynchronous one over Netty. Both check the
 * MD5 of all bodies and attributes.
 */
final class SqsClient {
  static final StaticCredentialsProvider CREDENTIALS =
      StaticCredentialsProvider.create(AwsBasicCredentials.create("test", "test"));

  private static software.amazon.awssdk.services.sqs.SqsClient client;
  private static SqsAsyncClient async;

  static software.amazon.awssdk.services.sqs.SqsClient connect(String url) {
    return software.amazon.awssdk.services.sqs.SqsClient.builder()
        .endpointOverride(URI.create(url))
        .region(Region.US_EAST_1)
        .credentialsProvider(CREDENTIALS)
        .httpClientBuilder(UrlConnectionHttpClient.builder().socketTimeout(Duration.ofSeconds(30)))
        .overrideConfiguration(options -> options.retryStrategy(DefaultRetryStrategy.doNotRetry()))
        .build();
  }

  static SqsAsyncClient connectAsync(String url) {
    return SqsAsyncClient.builder()
        .endpointOverride(URI.create(url))
        .region(Region.US_EAST_1)
        .credentialsProvider(CREDENTIALS)
        .httpClientBuilder(NettyNioAsyncHttpClient.builder().maxConcurrency(100))
        .overrideConfiguration(options -> options.retryStrategy(DefaultRetryStrategy.doNotRetry()))
        .build();
  }

  /** Something that is done with a queue, by its URL. */
  private interface WithQueue {
    void run(String queue) throws Exception;
  }

  private static void withQueue(Map<QueueAttributeName, String> attributes, WithQueue body) throws Exception {
    String name = Suite.unique("java") + (attributes.containsKey(QueueAttributeName.FIFO_QUEUE) ? ".fifo" : "");
    String queue = client.createQueue(ask -> ask.queueName(name).attributes(attributes)).queueUrl();
    try {
      body.run(queue);
    } finally {
      client.deleteQueue(ask -> ask.queueUrl(queue));
    }
  }

  private static void send(String queue, String body) {
    client.sendMessage(ask -> ask.queueUrl(queue).messageBody(body));
  }

  private static List<Message> receive(String queue, int count, int waitSeconds) {
    return client
        .receiveMessage(
            ask ->
                ask.queueUrl(queue)
                    .maxNumberOfMessages(count)
                    .waitTimeSeconds(waitSeconds)
                    .messageAttributeNames("All")
                    .messageSystemAttributeNames(MessageSystemAttributeName.ALL))
        .messages();
  }

  private static List<String> bodies(Collection<Message> messages) {
    return messages.stream().map(Message::body).toList();
  }

  private static String attribute(String queue, QueueAttributeName name) {
    return client.getQueueAttributes(ask -> ask.queueUrl(queue).attributeNames(name)).attributes().get(name);
  }

  private static void messages(String url) throws Exception {
    withQueue(
        Map.of(),
        queue -> {
          Map<String, MessageAttributeValue> values =
              Map.of(
                  "text", MessageAttributeValue.builder().dataType("String").stringValue("grüße").build(),
                  "number", MessageAttributeValue.builder().dataType("Number.long").stringValue("-7").build(),
                  "bytes",
                      MessageAttributeValue.builder()
                          .dataType("Binary")
                          .binaryValue(SdkBytes.fromByteArray(new byte[] {0, (byte) 255}))
                          .build());
          String id = client.sendMessage(ask -> ask.queueUrl(queue).messageBody("höllo").messageAttributes(values)).messageId();
          Message message = receive(queue, 10, 5).get(0);
          Suite.equal(message.body(), "höllo", "body");
          Suite.equal(message.messageId(), id, "message id");
          Suite.equal(message.messageAttributes(), values, "attributes");
          client.changeMessageVisibility(
              ask -> ask.queueUrl(queue).receiptHandle(message.receiptHandle()).visibilityTimeout(0));
          Message again = receive(queue, 10, 5).get(0);
          Suite.equal(again.attributes().get(MessageSystemAttributeName.APPROXIMATE_RECEIVE_COUNT), "2", "receives");
          client.deleteMessage(ask -> ask.queueUrl(queue).receiptHandle(again.receiptHandle()));
          Suite.equal(attribute(queue, QueueAttributeName.APPROXIMATE_NUMBER_OF_MESSAGES_NOT_VISIBLE), "0", "in flight");
        });
  }

  private static void batches(String url) throws Exception {
    withQueue(
        Map.of(),
        queue -> {
          List<SendMessageBatchRequestEntry> entries =
              IntStream.range(0, 10)
                  .mapToObj(n -> SendMessageBatchRequestEntry.builder().id("e" + n).messageBody("m" + n).build())
                  .toList();
          Suite.equal(client.sendMessageBatch(ask -> ask.queueUrl(queue).entries(entries)).successful().size(), 10, "sent");
          List<Message> all = new ArrayList<>();
          Suite.waitUntil("ten messages", () -> all.addAll(receive(queue, 10, 1)) && all.size() == 10);
          List<ChangeMessageVisibilityBatchRequestEntry> changes =
              IntStream.range(0, 10)
                  .mapToObj(
                      n ->
                          ChangeMessageVisibilityBatchRequestEntry.builder()
                              .id("e" + n)
                              .receiptHandle(all.get(n).receiptHandle())
                              .visibilityTimeout(60)
                              .build())
                  .toList();
          Suite.equal(
              client.changeMessageVisibilityBatch(ask -> ask.queueUrl(queue).entries(changes)).successful().size(), 10, "changed");
          List<DeleteMessageBatchRequestEntry> deletes =
              IntStream.range(0, 10)
                  .mapToObj(
                      n -> DeleteMessageBatchRequestEntry.builder().id("e" + n).receiptHandle(all.get(n).receiptHandle()).build())
                  .toList();
          Suite.equal(client.deleteMessageBatch(ask -> ask.queueUrl(queue).entries(deletes)).successful().size(), 10, "deleted");
          Suite.equal(attribute(queue, QueueAttributeName.APPROXIMATE_NUMBER_OF_MESSAGES_NOT_VISIBLE), "0", "in flight");
        });
  }

  private static void fifo(String url) throws Exception {
    withQueue(
        Map.of(QueueAttributeName.FIFO_QUEUE, "true", QueueAttributeName.CONTENT_BASED_DEDUPLICATION, "true"),
        queue -> {
          for (int n = 0; n < 6; n++) {
            String body = "m" + n;
            String group = "g" + n % 2;
            client.sendMessage(ask -> ask.queueUrl(queue).messageBody(body).messageGroupId(group));
            client.sendMessage(ask -> ask.queueUrl(queue).messageBody(body).messageGroupId(group));
          }
          List<Message> first = receive(queue, 3, 5);
          List<Message> rest = receive(queue, 10, 5);
          List<Message> all = new ArrayList<>(first);
          all.addAll(rest);
          Map<String, List<String>> groups = new java.util.TreeMap<>();
          for (Message message : all) {
            groups
                .computeIfAbsent(message.attributes().get(MessageSystemAttributeName.MESSAGE_GROUP_ID), group -> new ArrayList<>())
                .add(message.body());
          }
          Suite.equal(groups, Map.of("g0", List.of("m0", "m2", "m4"), "g1", List.of("m1", "m3", "m5")), "groups in order");
        });
  }

  private static void errors(String url) throws Exception {
    try {
      client.getQueueUrl(ask -> ask.queueName(Suite.unique("nowhere")));
      throw new AssertionError("a queue that is not there");
    } catch (QueueDoesNotExistException told) {
      Suite.equal(told.statusCode(), 400, "status");
      Suite.equal(told.awsErrorDetails().errorCode(), "AWS.SimpleQueueService.NonExistentQueue", "code");
      if (told.requestId() == null) {
        throw new AssertionError("an error without a request id");
      }
    }
    withQueue(
        Map.of(),
        queue -> {
          try {
            client.deleteMessage(ask -> ask.queueUrl(queue).receiptHandle("x"));
            throw new AssertionError("a handle that is none");
          } catch (ReceiptHandleIsInvalidException expected) {
            // As it should be.
          }
          try {
            client.sendMessageBatch(ask -> ask.queueUrl(queue).entries(List.of()));
            throw new AssertionError("an empty batch");
          } catch (EmptyBatchRequestException expected) {
            // As it should be.
          }
          try {
            receive(queue, 11, 0);
            throw new AssertionError("eleven messages");
          } catch (SqsException told) {
            Suite.equal(told.awsErrorDetails().errorCode(), "InvalidParameterValue", "code");
          }
        });
  }

  private static void asynchronous(String url) throws Exception {
    withQueue(
        Map.of(),
        queue -> {
          // Forty polls wait while four hundred messages are sent.
          Set<String> seen = ConcurrentHashMap.newKeySet();
          List<CompletableFuture<Void>> pollers =
              IntStream.range(0, 40).mapToObj(n -> poll(queue, seen)).toList();
          List<CompletableFuture<?>> sent = new ArrayList<>();
          for (int n = 0; n < 400; n++) {
            String body = "m" + n;
            sent.add(async.sendMessage(ask -> ask.queueUrl(queue).messageBody(body)));
          }
          CompletableFuture.allOf(sent.toArray(CompletableFuture[]::new)).get(60, TimeUnit.SECONDS);
          Suite.waitUntil("every message once", 60, () -> seen.size() == 400);
          CompletableFuture.allOf(pollers.toArray(CompletableFuture[]::new)).get(60, TimeUnit.SECONDS);
        });
  }

  /** Receives and deletes until nothing has come for two seconds. */
  private static CompletableFuture<Void> poll(String queue, Set<String> seen) {
    return async
        .receiveMessage(ask -> ask.queueUrl(queue).maxNumberOfMessages(10).waitTimeSeconds(2))
        .thenCompose(
            answer -> {
              if (answer.messages().isEmpty()) {
                return CompletableFuture.completedFuture(null);
              }
              List<DeleteMessageBatchRequestEntry> deletes = new ArrayList<>();
              for (Message message : answer.messages()) {
                if (!seen.add(message.body())) {
                  throw new AssertionError(message.body() + " came twice");
                }
                String id = "e" + deletes.size();
                deletes.add(DeleteMessageBatchRequestEntry.builder().id(id).receiptHandle(message.receiptHandle()).build());
              }
              return async
                  .deleteMessageBatch(ask -> ask.queueUrl(queue).entries(deletes))
                  .thenCompose(deleted -> poll(queue, seen));
            });
  }

  /** The SDK's own batching: single calls that it gathers, and receives that it makes ahead. */
  private static void batchManager(String url) throws Exception {
    withQueue(
        Map.of(),
        queue -> {
          try (SqsAsyncBatchManager batches = async.batchManager()) {
            List<CompletableFuture<?>> sent = new ArrayList<>();
            for (int n = 0; n < 50; n++) {
              String body = "m" + n;
              sent.add(batches.sendMessage(ask -> ask.queueUrl(queue).messageBody(body)));
            }
            CompletableFuture.allOf(sent.toArray(CompletableFuture[]::new)).get(60, TimeUnit.SECONDS);
            List<CompletableFuture<?>> deleted = new ArrayList<>();
            Suite.waitUntil(
                "fifty messages",
                () -> {
                  for (Message message : batches.receiveMessage(ask -> ask.queueUrl(queue)).get(30, TimeUnit.SECONDS).messages()) {
                    deleted.add(batches.deleteMessage(ask -> ask.queueUrl(queue).receiptHandle(message.receiptHandle())));
                  }
                  return deleted.size() == 50;
                });
            CompletableFuture.allOf(deleted.toArray(CompletableFuture[]::new)).get(60, TimeUnit.SECONDS);
          }
          Suite.equal(attribute(queue, QueueAttributeName.APPROXIMATE_NUMBER_OF_MESSAGES), "0", "left");
        });
  }

  private static void asynchronousErrors(String url) throws Exception {
    try {
      async.getQueueUrl(ask -> ask.queueName(Suite.unique("nowhere"))).get(30, TimeUnit.SECONDS);
      throw new AssertionError("a queue that is not there");
    } catch (ExecutionException told) {
      Suite.equal(told.getCause().getClass(), QueueDoesNotExistException.class, "exception");
    }
  }

  private static void survives(String url) throws Exception {
    withQueue(
        Map.of(),
        queue -> {
          for (int n = 0; n < 20; n++) {
            send(queue, "m" + n);
          }
          Suite.restartBroker("kill");
          Suite.waitUntil(
              "the broker is back",
              () -> {
                try {
                  client.listQueues();
                  return true;
                } catch (RuntimeException refused) {
                  return false;
                }
              });
          Set<String> seen = new java.util.HashSet<>();
          Suite.waitUntil("all messages after the crash", () -> seen.addAll(bodies(receive(queue, 10, 1))) && seen.size() == 20);
          CompletableFuture<?> again = async.sendMessage(ask -> ask.queueUrl(queue).messageBody("after"));
          again.handle((sent, error) -> error).get(30, TimeUnit.SECONDS);
          async.sendMessage(ask -> ask.queueUrl(queue).messageBody("after")).get(30, TimeUnit.SECONDS);
        });
  }

  public static void main(String[] arguments) {
    String url = java.util.Arrays.stream(arguments).filter(word -> !word.startsWith("--")).findFirst().orElseThrow();
    client = connect(url);
    async = connectAsync(url);
    new Suite()
        .add("messages_and_attributes", SqsClient::messages)
        .add("batches", SqsClient::batches)
        .add("fifo_groups", SqsClient::fifo)
        .add("errors_are_classes", SqsClient::errors)
        .add("asynchronous_polls", SqsClient::asynchronous)
        .add("batch_manager", SqsClient::batchManager)
        .add("asynchronous_errors", SqsClient::asynchronousErrors)
        .addRestart("survives", SqsClient::survives)
        .run(arguments);
  }
}
