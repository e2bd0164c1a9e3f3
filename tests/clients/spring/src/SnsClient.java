import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.retries.DefaultRetryStrategy;
import software.amazon.awssdk.services.sns.SnsAsyncClient;
import software.amazon.awssdk.services.sns.model.BatchEntryIdsNotDistinctException;
import software.amazon.awssdk.services.sns.model.InvalidParameterException;
import software.amazon.awssdk.services.sns.model.InvalidParameterValueException;
import software.amazon.awssdk.services.sns.model.MessageAttributeValue;
import software.amazon.awssdk.services.sns.model.NotFoundException;
import software.amazon.awssdk.services.sns.model.PublishBatchRequestEntry;
import software.amazon.awssdk.services.sns.model.PublishResponse;
import software.amazon.awssdk.services.sqs.model.Message;
import software.amazon.awssdk.services.sqs.model.QueueAttributeName;

/** SNS through AWS's SDK for Java 2: the synchronous client over URLConnection and the asynchronous one over Netty. */
final class SnsClient {
  private static software.amazon.awssdk.services.sns.SnsClient client;
  private static SnsAsyncClient async;
  private static software.amazon.awssdk.services.sqs.SqsClient queues;

  private interface WithTopic {
    void run(String topic) throws Exception;
  }

  private interface WithQueue {
    void run(String queue) throws Exception;
  }

  private static void connect(String url) {
    client =
        software.amazon.awssdk.services.sns.SnsClient.builder()
            .endpointOverride(URI.create(url))
            .region(Region.US_EAST_1)
            .credentialsProvider(SqsClient.CREDENTIALS)
            .httpClientBuilder(UrlConnectionHttpClient.builder())
            .overrideConfiguration(options -> options.retryStrategy(DefaultRetryStrategy.doNotRetry()))
            .build();
    async =
        SnsAsyncClient.builder()
            .endpointOverride(URI.create(url))
            .region(Region.US_EAST_1)
            .credentialsProvider(SqsClient.CREDENTIALS)
            .httpClientBuilder(NettyNioAsyncHttpClient.builder().maxConcurrency(50))
            .overrideConfiguration(options -> options.retryStrategy(DefaultRetryStrategy.doNotRetry()))
            .build();
    queues = SqsClient.connect(url);
  }

  private static void withTopic(Map<String, String> attributes, WithTopic body) throws Exception {
    String name = Suite.unique("java") + (attributes.containsKey("FifoTopic") ? ".fifo" : "");
    String topic = client.createTopic(ask -> ask.name(name).attributes(attributes)).topicArn();
    try {
      body.run(topic);
    } finally {
      client.deleteTopic(ask -> ask.topicArn(topic));
    }
  }

  /** A queue that is subscribed to the topic. */
  private static void withQueue(String topic, Map<String, String> attributes, WithQueue body) throws Exception {
    boolean isFifo = topic.endsWith(".fifo");
    String name = Suite.unique("java") + (isFifo ? ".fifo" : "");
    Map<QueueAttributeName, String> kind = isFifo ? Map.of(QueueAttributeName.FIFO_QUEUE, "true") : Map.of();
    String queue = queues.createQueue(ask -> ask.queueName(name).attributes(kind)).queueUrl();
    String arn = "arn:aws:sqs:us-east-1:000000000000:" + name;
    try {
      client.subscribe(ask -> ask.topicArn(topic).protocol("sqs").endpoint(arn).attributes(attributes));
      body.run(queue);
    } finally {
      queues.deleteQueue(ask -> ask.queueUrl(queue));
    }
  }

  /** Receives and deletes so many messages. */
  private static List<Message> take(String queue, int count) throws Exception {
    List<Message> all = new ArrayList<>();
    Suite.waitUntil(
        count + " messages",
        () -> {
          for (Message message :
              queues
                  .receiveMessage(
                      ask -> ask.queueUrl(queue).maxNumberOfMessages(10).waitTimeSeconds(1).messageAttributeNames("All"))
                  .messages()) {
            all.add(message);
            queues.deleteMessage(ask -> ask.queueUrl(queue).receiptHandle(message.receiptHandle()));
          }
          return all.size() >= count;
        });
    return all;
  }

  private static List<String> bodies(List<Message> messages) {
    return messages.stream().map(Message::body).toList();
  }

  /** A member of a document whose values have nothing that is escaped. */
  private static String member(String document, String name) {
    Matcher found = Pattern.compile("\"" + name + "\"\\s*:\\s*\"([^\"]*)\"").matcher(document);
    if (!found.find()) {
      throw new AssertionError("no " + name + " in " + document);
    }
    return found.group(1);
  }

  private static void messages(String url) throws Exception {
    withTopic(
        Map.of("DisplayName", "of Java"),
        topic ->
            withQueue(
                topic,
                Map.of(),
                first ->
                    withQueue(
                        topic,
                        Map.of("RawMessageDelivery", "true"),
                        second -> {
                          Map<String, MessageAttributeValue> values =
                              Map.of(
                                  "text", MessageAttributeValue.builder().dataType("String").stringValue("grüße").build(),
                                  "bytes",
                                      MessageAttributeValue.builder()
                                          .dataType("Binary")
                                          .binaryValue(SdkBytes.fromByteArray(new byte[] {0, -1}))
                                          .build());
                          String id =
                              client
                                  .publish(ask -> ask.topicArn(topic).subject("s").message("hello").messageAttributes(values))
                                  .messageId();
                          String document = take(first, 1).get(0).body();
                          Suite.equal(member(document, "MessageId"), id, "message id");
                          Suite.equal(member(document, "Message"), "hello", "message");
                          Suite.equal(member(document, "TopicArn"), topic, "topic");
                          Message raw = take(second, 1).get(0);
                          Suite.equal(raw.body(), "hello", "raw body");
                          Suite.equal(
                              raw.messageAttributes().get("bytes").binaryValue(), values.get("bytes").binaryValue(), "bytes");
                          Suite.equal(raw.messageAttributes().get("text").stringValue(), "grüße", "text");
                          Suite.equal(
                              client.getTopicAttributes(ask -> ask.topicArn(topic)).attributes().get("DisplayName"),
                              "of Java",
                              "display name");
                          Suite.equal(
                              client.listSubscriptionsByTopicPaginator(ask -> ask.topicArn(topic)).subscriptions().stream()
                                  .count(),
                              2L,
                              "subscriptions");
                        })));
  }

  private static void filters(String url) throws Exception {
    withTopic(
        Map.of(),
        topic ->
            withQueue(
                topic,
                Map.of("RawMessageDelivery", "true", "FilterPolicyScope", "MessageBody", "FilterPolicy", "{\"n\":[{\"numeric\":[\">\",6]}]}"),
                queue -> {
                  List<PublishBatchRequestEntry> entries =
                      IntStream.range(0, 10)
                          .mapToObj(n -> PublishBatchRequestEntry.builder().id("e" + n).message("{\"n\":" + n + "}").build())
                          .toList();
                  int taken =
                      client.publishBatch(ask -> ask.topicArn(topic).publishBatchRequestEntries(entries)).successful().size();
                  Suite.equal(taken, 10, "published");
                  List<String> got = new ArrayList<>(bodies(take(queue, 3)));
                  java.util.Collections.sort(got);
                  Suite.equal(got, List.of("{\"n\":7}", "{\"n\":8}", "{\"n\":9}"), "bodies");
                }));
  }

  private static void fifo(String url) throws Exception {
    withTopic(
        Map.of("FifoTopic", "true", "ContentBasedDeduplication", "true"),
        topic ->
            withQueue(
                topic,
                Map.of("RawMessageDelivery", "true"),
                queue -> {
                  for (String message : List.of("a", "b", "b", "c")) {
                    client.publish(ask -> ask.topicArn(topic).message(message).messageGroupId("g"));
                  }
                  Suite.equal(bodies(take(queue, 3)), List.of("a", "b", "c"), "bodies");
                }));
  }

  private static void webhook(String url) throws Exception {
    BlockingQueue<String> posted = new LinkedBlockingQueue<>();
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
    server.createContext(
        "/",
        exchange -> {
          try (exchange) {
            posted.add(new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8));
            exchange.sendResponseHeaders(200, -1);
          } catch (IOException gone) {
            posted.add("it went away: " + gone);
          }
        });
    server.start();
    try {
      withTopic(
          Map.of(),
          topic -> {
            String endpoint = "http://127.0.0.1:" + server.getAddress().getPort() + "/";
            client.subscribe(ask -> ask.topicArn(topic).protocol("http").endpoint(endpoint));
            String link = member(posted.poll(15, TimeUnit.SECONDS), "SubscribeURL");
            HttpResponse<String> answer =
                HttpClient.newHttpClient()
                    .send(HttpRequest.newBuilder(URI.create(link)).build(), HttpResponse.BodyHandlers.ofString());
            Suite.equal(answer.statusCode(), 200, "confirmed");
            String id = client.publish(ask -> ask.topicArn(topic).message("to a webhook")).messageId();
            String document = posted.poll(15, TimeUnit.SECONDS);
            Suite.equal(member(document, "MessageId"), id, "message id");
            Suite.equal(member(document, "Message"), "to a webhook", "message");
          });
    } finally {
      server.stop(0);
    }
  }

  private static void errors(String url) throws Exception {
    withTopic(
        Map.of(),
        topic -> {
          try {
            client.publish(ask -> ask.topicArn(topic + "x").message("x"));
            throw new AssertionError("a topic that is not there");
          } catch (NotFoundException told) {
            Suite.equal(told.statusCode(), 404, "status");
            Suite.equal(told.awsErrorDetails().errorCode(), "NotFound", "code");
            Suite.equal(told.awsErrorDetails().errorMessage(), "Topic does not exist", "text");
            if (told.requestId() == null) {
              throw new AssertionError("an error without a request id");
            }
          }
          try {
            client.publish(ask -> ask.topicArn(topic).message(""));
            throw new AssertionError("an empty message");
          } catch (InvalidParameterException expected) {
            // As it should be.
          }
          try {
            MessageAttributeValue value = MessageAttributeValue.builder().dataType("Foo").stringValue("x").build();
            client.publish(ask -> ask.topicArn(topic).message("x").messageAttributes(Map.of("a", value)));
            throw new AssertionError("a type that is none");
          } catch (InvalidParameterValueException expected) {
            // As it should be.
          }
          try {
            PublishBatchRequestEntry entry = PublishBatchRequestEntry.builder().id("a").message("x").build();
            client.publishBatch(ask -> ask.topicArn(topic).publishBatchRequestEntries(entry, entry));
            throw new AssertionError("one id twice");
          } catch (BatchEntryIdsNotDistinctException expected) {
            // As it should be.
          }
        });
  }

  private static void asynchronous(String url) throws Exception {
    withTopic(
        Map.of(),
        topic ->
            withQueue(
                topic,
                Map.of("RawMessageDelivery", "true"),
                queue -> {
                  List<CompletableFuture<PublishResponse>> sent = new ArrayList<>();
                  for (int n = 0; n < 200; n++) {
                    String message = "m" + n;
                    sent.add(async.publish(ask -> ask.topicArn(topic).message(message)));
                  }
                  CompletableFuture.allOf(sent.toArray(CompletableFuture[]::new)).get(60, TimeUnit.SECONDS);
                  Suite.equal(new java.util.HashSet<>(bodies(take(queue, 200))).size(), 200, "messages");
                }));
  }

  public static void main(String[] arguments) {
    connect(java.util.Arrays.stream(arguments).filter(word -> !word.startsWith("--")).findFirst().orElseThrow());
    new Suite()
        .add("messages_and_attributes", SnsClient::messages)
        .add("filters", SnsClient::filters)
        .add("fifo_topics", SnsClient::fifo)
        .add("a_webhook", SnsClient::webhook)
        .add("errors_are_classes", SnsClient::errors)
        .add("asynchronous", SnsClient::asynchronous)
        .run(arguments);
  }
}
