import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AlreadyClosedException;
import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.BuiltinExchangeType;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.LongString;
import com.rabbitmq.client.Method;
import com.rabbitmq.client.Recoverable;
import com.rabbitmq.client.RecoveryListener;
import com.rabbitmq.client.ShutdownSignalException;
import com.rabbitmq.client.impl.CredentialsProvider;
import com.rabbitmq.client.impl.CredentialsRefreshService;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;

/** What a program that uses com.rabbitmq:amqp-client expects of a broker. */
public final class AmqpClient {
  private static final int MIB = 1024 * 1024;
  private static final AMQP.BasicProperties NONE = new AMQP.BasicProperties();

  public static void main(String[] arguments) {
    new Suite()
        .add("declares_and_counts", AmqpClient::declaresAndCounts)
        .add("server_names_a_queue", AmqpClient::serverNamesAQueue)
        .add("exclusive_queue_is_locked_to_its_connection", AmqpClient::exclusiveQueueIsLocked)
        .add("auto_delete_queue_goes_with_its_last_consumer", AmqpClient::autoDeleteQueue)
        .add("channel_errors_leave_the_connection_usable", AmqpClient::channelErrors)
        .add("purge_and_conditional_delete", AmqpClient::purgeAndConditionalDelete)
        .add("direct_exchange", AmqpClient::directExchange)
        .add("fanout_exchange", AmqpClient::fanoutExchange)
        .add("topic_exchange", AmqpClient::topicExchange)
        .add("headers_exchange", AmqpClient::headersExchange)
        .add("exchange_to_exchange", AmqpClient::exchangeToExchange)
        .add("many_confirms_outstanding", AmqpClient::manyConfirmsOutstanding)
        .add("mandatory_return_comes_before_its_confirm", AmqpClient::mandatoryReturn)
        .add("bodies_of_many_sizes", AmqpClient::bodiesOfManySizes)
        .add("all_properties_round_trip", AmqpClient::allProperties)
        .add("headers_of_every_type_round_trip", AmqpClient::headersOfEveryType)
        .add("prefetch_limits_what_is_unacknowledged", AmqpClient::prefetch)
        .add("prefetch_of_a_channel_is_shared", AmqpClient::sharedPrefetch)
        .add("nack_with_requeue_puts_back_in_place", AmqpClient::nackWithRequeue)
        .add("recover_redelivers", AmqpClient::recoverRedelivers)
        .add("exclusive_consumer", AmqpClient::exclusiveConsumer)
        .add("consumer_is_told_of_deleted_queue", AmqpClient::consumerIsTold)
        .add("no_wait_methods", AmqpClient::noWaitMethods)
        .add("expiration_and_queue_ttl", AmqpClient::expirationAndTtl)
        .add("transactions", AmqpClient::transactions)
        .add("wrong_password_and_virtual_host", AmqpClient::wrongPasswordAndVirtualHost)
        .add("connection_error", AmqpClient::connectionError)
        .add("negotiates", AmqpClient::negotiates)
        .add("heartbeats_keep_an_idle_connection", AmqpClient::heartbeats)
        .add("secret_is_updated", AmqpClient::secretIsUpdated)
        .addRestart("recovery_after_a_kill", AmqpClient::recoveryAfterAKill)
        .addRestart("shutdown_is_announced", AmqpClient::shutdownIsAnnounced)
        .run(arguments);
  }

  static ConnectionFactory factory(String url) throws Exception {
    ConnectionFactory factory = new ConnectionFactory();
    factory.setUri(url);
    factory.setAutomaticRecoveryEnabled(false);
    return factory;
  }

  static Connection connect(String url) throws Exception {
    return factory(url).newConnection();
  }

  static Channel confirming(Connection connection) throws Exception {
    Channel channel = connection.createChannel();
    channel.confirmSelect();
    return channel;
  }

  /** Declares a queue of the case's own, which goes with the connection. */
  static String newQueue(Channel channel, Map<String, Object> arguments) throws IOException {
    return channel.queueDeclare(Suite.unique("java"), false, true, false, arguments).getQueue();
  }

  static String newQueue(Channel channel) throws IOException {
    return newQueue(channel, Map.of());
  }

  /** Publishes and waits for the confirm. */
  static void publish(
      Channel channel, String exchange, String key, AMQP.BasicProperties properties, byte[] body) throws Exception {
    channel.basicPublish(exchange, key, properties, body);
    channel.waitForConfirmsOrDie(15_000);
  }

  static void fill(Channel channel, String queue, int count) throws Exception {
    for (int number = 0; number < count; number++) {
      channel.basicPublish("", queue, NONE, bytes(number));
    }
    channel.waitForConfirmsOrDie(15_000);
  }

  static byte[] bytes(Object text) {
    return text.toString().getBytes(StandardCharsets.UTF_8);
  }

  static String text(byte[] body) {
    return new String(body, StandardCharsets.UTF_8);
  }

  static long depth(Channel channel, String queue) throws IOException {
    return channel.queueDeclarePassive(queue).getMessageCount();
  }

  static List<String> bodies(Channel channel, String queue) throws IOException {
    List<String> taken = new ArrayList<>();
    for (GetResponse got = channel.basicGet(queue, true); got != null; got = channel.basicGet(queue, true)) {
      taken.add(text(got.getBody()));
    }
    return taken;
  }

  static List<String> numbers(int count) {
    return IntStream.range(0, count).mapToObj(Integer::toString).toList();
  }

  interface Action {
    void run() throws Exception;
  }

  /** The action must end with the broker closing the channel (or connection) with this code and text. */
  static void refused(int code, String text, Action action) throws Exception {
    try {
      action.run();
    } catch (IOException | AlreadyClosedException problem) {
      Throwable cause = problem instanceof ShutdownSignalException ? problem : problem.getCause();
      closedWith(code, text, (ShutdownSignalException) cause);
      return;
    }
    throw new AssertionError("not refused with " + code + " " + text);
  }

  private static void closedWith(int code, String text, ShutdownSignalException signal) {
    Method reason = signal.getReason();
    String actual =
        reason instanceof AMQP.Channel.Close close
            ? close.getReplyCode() + " " + close.getReplyText()
            : ((AMQP.Connection.Close) reason).getReplyCode() + " " + ((AMQP.Connection.Close) reason).getReplyText();
    Suite.equal(actual, code + " " + text, "close");
  }

  /** Collects deliveries, in the order in which they came. */
  static final class Collector extends DefaultConsumer {
    final List<Delivery> deliveries = new CopyOnWriteArrayList<>();
    final CompletableFuture<String> cancelled = new CompletableFuture<>();

    Collector(Channel channel) {
      super(channel);
    }

    static Collector of(Channel channel, String queue) throws IOException {
      Collector collector = new Collector(channel);
      channel.basicConsume(queue, false, collector);
      return collector;
    }

    @Override
    public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] body) {
      deliveries.add(new Delivery(envelope, properties, body));
    }

    @Override
    public void handleCancel(String tag) {
      cancelled.complete(tag);
    }

    /** Waits for this many in all, and has a round trip made to see that no more come. */
    void exactly(int count, String queue) throws Exception {
      Suite.waitUntil(count + " deliveries", () -> deliveries.size() >= count);
      depth(getChannel(), queue);
      Suite.equal(deliveries.size(), count, "deliveries");
    }

    String view() {
      return AmqpClient.view(deliveries.stream().map(it -> text(it.getBody()) + "/" + it.getEnvelope().isRedeliver()).toList());
    }
  }

  private static String view(List<String> parts) {
    return String.join(" ", parts);
  }

  // --- queues

  private static void declaresAndCounts(String url) throws Exception {
    try (Connection connection = connect(url)) {
      Channel channel = confirming(connection);
      String queue = Suite.unique("java");
      AMQP.Queue.DeclareOk answer = channel.queueDeclare(queue, true, false, false, null);
      Suite.equal(List.of(answer.getQueue(), answer.getMessageCount(), answer.getConsumerCount()), List.of(queue, 0, 0), "new");
      fill(channel, queue, 3);
      channel.basicQos(1);
      Collector.of(channel, queue).exactly(1, queue);
      Suite.equal(channel.messageCount(queue), 2L, "ready");
      Suite.equal(channel.consumerCount(queue), 1L, "consumers");
      Suite.equal(channel.queueDelete(queue).getMessageCount(), 2, "messages deleted with the queue");
    }
  }

  private static void serverNamesAQueue(String url) throws Exception {
    try (Connection connection = connect(url)) {
      Channel channel = confirming(connection);
      String queue = channel.queueDeclare().getQueue();
      Suite.equal(queue.startsWith("amq.gen-"), true, queue);
      fill(channel, queue, 1);
      Suite.equal(bodies(channel, ""), numbers(1), "an empty name is the queue declared last");
    }
  }

  private static void exclusiveQueueIsLocked(String url) throws Exception {
    try (Connection second = connect(url)) {
      Connection first = connect(url);
      String queue = newQueue(first.createChannel());
      refused(
          405,
          "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '" + queue + "' in vhost '/'. It could be "
              + "originally declared on another connection or the exclusive property value does not match that of the "
              + "original declaration.",
          () -> second.createChannel().queueDeclarePassive(queue));
      first.close();
      refused(
          404,
          "NOT_FOUND - no queue '" + queue + "' in vhost '/'",
          () -> second.createChannel().queueDeclarePassive(queue));
    }
  }

  private static void autoDeleteQueue(String url) throws Exception {
    try (Connection connection = connect(url)) {
      Channel channel = connection.createChannel();
      String queue = channel.queueDeclare(Suite.unique("java"), false, false, true, null).getQueue();
      channel.basicCancel(channel.basicConsume(queue, new DefaultConsumer(channel)));
      refused(404, "NOT_FOUND - no queue '" + queue + "' in vhost '/'", () -> channel.queueDeclarePassive(queue));
    }
  }

  private static void channelErrors(String url) throws Exception {
    try (Connection connection = connect(url)) {
      String missing = Suite.unique("missing");
      refused(
          404,
          "NOT_FOUND - no queue '" + missing + "' in vhost '/'",
          () -> connection.createChannel().queueDeclarePassive(missing));
      refused(
          404,
          "NOT_FOUND - no exchange '" + missing + "' in vhost '/'",
          () -> connection.createChannel().exchangeDeclarePassive(missing));
      String queue = connection.createChannel().queueDeclare(Suite.unique("java"), false, false, false, null).getQueue();
      refused(
          406,
          "PRECONDITION_FAILED - inequivalent arg 'durable' for queue '" + queue + "' in vhost '/': "
              + "received 'true' but current is 'false'",
          () -> connection.createChannel().queueDeclare(queue, true, false, false, null));
      connection.createChannel().queueDelete(queue);
      refused(
          403,
          "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
          () -> connection.createChannel().queueDeclare("amq.mine", false, false, false, null));
      refused(
          403,
          "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
          () -> connection.createChannel().exchangeDeclare("amq.mine", "direct"));
      Channel channel = connection.createChannel();
      CompletableFuture<ShutdownSignalException> closed = new CompletableFuture<>();
      channel.addShutdownListener(closed::complete);
      channel.basicAck(42, false);
      closedWith(406, "PRECONDITION_FAILED - unknown delivery tag 42", closed.get(15, TimeUnit.SECONDS));
      newQueue(connection.createChannel());
    }
  }

  private static void purgeAndConditionalDelete(String url) throws Exception {
    try (Connection connection = connect(url)) {
      Channel channel = confirming(connection);
      String queue = newQueue(channel);
      fill(channel, queue, 5);
      refused(
          406,
          "PRECONDITION_FAILED - queue '" + queue + "' in vhost '/' not empty",
          () -> connection.createChannel().queueDelete(queue, false, true));
      Suite.equal(channel.queuePurge(queue).getMessageCount(), 5, "purged");
      String tag = channel.basicConsume(queue, new DefaultConsumer(channel));
      refused(
          406,
          "PRECONDITION_FAILED - queue '" + queue + "' in vhost '/' in use",
          () -> connection.createChannel().queueDelete(queue, true, false));
      channel.basicCancel(tag);
      String exchange = Suite.unique("java");
      channel.exchangeDeclare(exchange, BuiltinExchangeType.FANOUT);
      channel.queueBind(queue, exchange, "");
      refused(
          406,
          "PRECONDITION_FAILED - exchange '" + exchange + "' in vhost '/' in use",
          () -> connection.createChannel().exchangeDelete(exchange, true));
      channel.queueDelete(queue, true, true);
      channel.exchangeDelete(exchange, true); // the queue took its bindings along
    }
  }

  // --- exchanges

  private record Binding(String queue, String key, Map<String, Object> arguments) {
    Binding(String queue, String key) {
      this(queue, key, Map.of());
    }
  }

  /** An exchange with bindings to queues, through which single messages are sent. */
  private static final class Routing implements AutoCloseable {
    final Connection connection;
    final Channel channel;
    final String exchange = Suite.unique("java");
    final Map<String, String> queues = new LinkedHashMap<>();

    Routing(String url, BuiltinExchangeType type, Binding... bindings) throws Exception {
      connection = connect(url);
      channel = confirming(connection);
      channel.exchangeDeclare(exchange, type);
      for (Binding binding : bindings) {
        if (!queues.containsKey(binding.queue)) {
          queues.put(binding.queue, newQueue(channel));
        }
        channel.queueBind(queues.get(binding.queue), exchange, binding.key, binding.arguments);
      }
    }

    void unbind(Binding binding) throws Exception {
      channel.queueUnbind(queues.get(binding.queue), exchange, binding.key, binding.arguments);
    }

    /** Tells which queues one message got to. */
    String route(String key, Map<String, Object> headers) throws Exception {
      publish(channel, exchange, key, new AMQP.BasicProperties.Builder().headers(headers).build(), bytes(key));
      Set<String> reached = new TreeSet<>();
      for (Map.Entry<String, String> queue : queues.entrySet()) {
        List<String> taken = bodies(channel, queue.getValue());
        Suite.equal(taken.size() <= 1, true, queue.getKey() + " got it " + taken.size() + " times");
        if (!taken.isEmpty()) {
          reached.add(queue.getKey());
        }
      }
      return String.join(" ", reached);
    }

    String route(String key) throws Exception {
      return route(key, null);
    }

    @Override
    public void close() throws Exception {
      channel.exchangeDelete(exchange);
      connection.close();
    }
  }

  private static void directExchange(String url) throws Exception {
    Binding[] bindings = {new Binding("a", "red"), new Binding("a", "green"), new Binding("b", "green")};
    try (Routing routing = new Routing(url, BuiltinExchangeType.DIRECT, bindings)) {
      Suite.equal(routing.route("red"), "a", "red");
      Suite.equal(routing.route("green"), "a b", "green");
      Suite.equal(routing.route("blue"), "", "blue");
      routing.unbind(bindings[1]);
      Suite.equal(routing.route("green"), "b", "green, unbound from a");
    }
  }

  private static void fanoutExchange(String url) throws Exception {
    Binding[] bindings = {new Binding("a", "x"), new Binding("a", "y"), new Binding("b", "")};
    try (Routing routing = new Routing(url, BuiltinExchangeType.FANOUT, bindings)) {
      Suite.equal(routing.route("anything"), "a b", "bound");
      routing.unbind(bindings[2]);
      Suite.equal(routing.route("anything"), "a", "b unbound");
    }
  }

  private static void topicExchange(String url) throws Exception {
    Binding[] bindings = {
      new Binding("all", "#"), new Binding("exact", "a.b"), new Binding("hash", "a.#"), new Binding("star", "a.*")
    };
    try (Routing routing = new Routing(url, BuiltinExchangeType.TOPIC, bindings)) {
      Suite.equal(routing.route("a.b"), "all exact hash star", "a.b");
      Suite.equal(routing.route("a"), "all hash", "a");
      Suite.equal(routing.route("a.b.c"), "all hash", "a.b.c");
      Suite.equal(routing.route(""), "all", "empty key");
      routing.unbind(bindings[0]);
      Suite.equal(routing.route("x"), "", "x, # unbound");
    }
  }

  private static void headersExchange(String url) throws Exception {
    Binding[] bindings = {
      new Binding("all", "", Map.of("x-match", "all", "a", 1, "b", "two")),
      new Binding("any", "", Map.of("x-match", "any", "a", 1, "b", "two"))
    };
    try (Routing routing = new Routing(url, BuiltinExchangeType.HEADERS, bindings)) {
      Suite.equal(routing.route("", Map.of("a", 1, "b", "two", "c", true)), "all any", "both");
      Suite.equal(routing.route("", Map.of("b", "two")), "any", "one");
      Suite.equal(routing.route("", Map.of("a", 2)), "", "another value");
      routing.unbind(bindings[1]);
      Suite.equal(routing.route("", Map.of("b", "two")), "", "unbound");
    }
  }

  private static void exchangeToExchange(String url) throws Exception {
    try (Routing sink = new Routing(url, BuiltinExchangeType.FANOUT, new Binding("a", ""))) {
      String source = Suite.unique("source");
      sink.channel.exchangeDeclare(source, BuiltinExchangeType.TOPIC);
      sink.channel.exchangeBind(sink.exchange, source, "to.*");
      publish(sink.channel, source, "to.a", NONE, bytes("through"));
      publish(sink.channel, source, "from.a", NONE, bytes("not"));
      Suite.equal(bodies(sink.channel, sink.queues.get("a")), List.of("through"), "bound");
      sink.channel.exchangeUnbind(sink.exchange, source, "to.*");
      publish(sink.channel, source, "to.a", NONE, bytes("not"));
      Suite.equal(bodies(sink.channel, sink.queues.get("a")), List.of(), "unbound");
      sink.channel.exchangeDelete(source);
    }
  }

  // --- publishing

  private static void manyConfirmsOutstanding(String url) throws Exception {
    try (Connection connection = connect(url)) {
      int count = 1000;
      Channel channel = confirming(connection);
      ConcurrentSkipListSet<Long> outstanding = new ConcurrentSkipListSet<>();
      List<String> problems = new CopyOnWriteArrayList<>();
      channel.addConfirmListener(
          (tag, multiple) -> {
            // A tag that is confirmed twice, or never was published, is not in the set.
            if (!outstanding.contains(tag)) {
              problems.add("unexpected ack of " + tag);
            }
            if (multiple) {
              outstanding.headSet(tag, true).clear();
            } else {
              outstanding.remove(tag);
            }
          },
          (tag, multiple) -> problems.add("nack of " + tag));
      String queue = newQueue(channel);
      for (int number = 0; number < count; number++) {
        outstanding.add(channel.getNextPublishSeqNo());
        channel.basicPublish("", queue, new AMQP.BasicProperties.Builder().deliveryMode(2).build(), bytes(number));
      }
      Suite.waitUntil("all are confirmed", outstanding::isEmpty);
      Suite.equal(problems, List.of(), "problems");
      Suite.equal(bodies(channel, queue), numbers(count), "content");
    }
  }

  private static void mandatoryReturn(String url) throws Exception {
    try (Connection connection = connect(url)) {
      Channel channel = confirming(connection);
      List<String> events = new CopyOnWriteArrayList<>();
      channel.addReturnListener(
          returned ->
              events.add(
                  String.join(
                      " ",
                      Integer.toString(returned.getReplyCode()),
                      returned.getReplyText(),
                      returned.getExchange(),
                      returned.getRoutingKey(),
                      returned.getProperties().getMessageId(),
                      text(returned.getBody()))));
      channel.addConfirmListener((tag, multiple) -> events.add("ack " + tag), (tag, multiple) -> events.add("nack " + tag));
      String key = Suite.unique("nowhere");
      AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder().messageId("7").build();
      channel.basicPublish("amq.direct", key, true, properties, bytes("lost"));
      Suite.waitUntil("return and confirm", () -> events.size() == 2);
      Suite.equal(events, List.of("312 NO_ROUTE amq.direct " + key + " 7 lost", "ack 1"), "events");
      refused(
          540,
          "NOT_IMPLEMENTED - immediate=true",
          () -> {
            channel.basicPublish("", key, false, true, NONE, bytes(""));
            newQueue(channel);
          });
    } catch (AlreadyClosedException expected) {
      // the connection, by the last check
    }
  }

  private static void bodiesOfManySizes(String url) throws Exception {
    ConnectionFactory factory = factory(url);
    factory.setRequestedFrameMax(4096);
    try (Connection connection = factory.newConnection()) {
      Channel channel = confirming(connection);
      String queue = newQueue(channel);
      for (int size : new int[] {0, 1, 4087, 4088, 4089, 2 * 4088, 5 * MIB}) {
        byte[] body = new byte[size];
        for (int at = 0; at < size; at++) {
          body[at] = (byte) (at % 251);
        }
        publish(channel, "", queue, new AMQP.BasicProperties.Builder().deliveryMode(2).build(), body);
        Suite.equal(Arrays.equals(channel.basicGet(queue, true).getBody(), body), true, "body of " + size + " bytes");
      }
    }
  }

  private static void allProperties(String url) throws Exception {
    try (Connection connection = connect(url)) {
      Channel channel = confirming(connection);
      String queue = newQueue(channel);
      AMQP.BasicProperties sent =
          new AMQP.BasicProperties.Builder()
              .contentType("application/json")
              .contentEncoding("utf-8")
              .headers(Map.of("number", 7))
              .deliveryMode(2)
              .priority(7)
              .correlationId("correlation")
              .replyTo("reply-here")
              .expiration("60000")
              .messageId("message-1")
              .timestamp(new Date(1_700_000_000_000L))
              .type("order")
              .userId(factory(url).getUsername())
              .appId("shop")
              .clusterId("cluster")
              .build();
      publish(channel, "", queue, sent, bytes("{}"));
      Suite.equal(channel.basicGet(queue, true).getProps(), sent, "properties");
    }
  }

  private static void headersOfEveryType(String url) throws Exception {
    try (Connection connection = connect(url)) {
      Channel channel = confirming(connection);
      String queue = newQueue(channel);
      Map<String, Object> headers = new HashMap<>();
      headers.put("string", "grüße");
      headers.put("empty", "");
      headers.put("binary", new byte[] {0, -1, -128});
      headers.put("true", true);
      headers.put("byte", (byte) -7);
      headers.put("short", (short) -300);
      headers.put("int", -70_000);
      headers.put("long", Long.MIN_VALUE);
      headers.put("float", 1.5f);
      headers.put("double", 3.25);
      headers.put("decimal", new BigDecimal("3.14"));
      headers.put("time", new Date(1_700_000_000_000L));
      headers.put("none", null);
      headers.put("table", Map.of("a", 1, "b", Map.of("c", Arrays.asList(true, null)), "empty", Map.of()));
      headers.put("array", List.of("x", 1, Map.of("y", 2), List.of(3)));
      publish(channel, "", queue, new AMQP.BasicProperties.Builder().headers(headers).build(), bytes(""));
      Map<String, Object> back = channel.basicGet(queue, true).getProps().getHeaders();
      Suite.equal(back.keySet(), headers.keySet(), "names");
      for (Map.Entry<String, Object> header : headers.entrySet()) {
        Suite.equal(plain(back.get(header.getKey())), header.getValue(), "header " + header.getKey());
      }
    }
  }

  /** The library gives strings back as LongString. */
  private static Object plain(Object value) {
    if (value instanceof LongString string) {
      return string.toString();
    }
    if (value instanceof List<?> list) {
      return list.stream().map(AmqpClient::plain).collect(ArrayList::new, List::add, List::addAll);
    }
    if (value instanceof Map<?, ?> map) {
      Map<Object, Object> plain = new HashMap<>();
      map.forEach((name, inner) -> plain.put(name, plain(inner)));
      return plain;
    }
    return value;
  }

  // --- consuming

  private static void prefetch(String url) throws Exception {
    try (Connection connection = connect(url)) {
      Channel channel = confirming(connection);
      String queue = newQueue(channel);
      fill(channel, queue, 20);
      channel.basicQos(4);
      Collector collector = Collector.of(channel, queue);
      collector.exactly(4, queue);
      channel.basicAck(2, true);
      collector.exactly(6, queue);
      channel.basicAck(4, false);
      collector.exactly(7, queue);
      channel.basicAck(0, true);
      collector.exactly(11, queue);
      Suite.equal(collector.deliveries.stream().map(it -> text(it.getBody())).toList(), numbers(11), "order");
      Suite.equal(depth(channel, queue), 9L, "ready");
    }
  }

  private static void sharedPrefetch(String url) throws Exception {
    try (Connection connection = connect(url)) {
      Channel channel = confirming(connection);
      String queue = newQueue(channel);
      fill(channel, queue, 20);
      channel.basicQos(3, true);
      Collector first = Collector.of(channel, queue);
      Collector second = Collector.of(channel, queue);
      Suite.waitUntil("three deliveries", () -> first.deliveries.size() + second.deliveries.size() >= 3);
      Suite.equal(depth(channel, queue), 17L, "ready");
      Suite.equal(first.deliveries.size() + second.deliveries.size(), 3, "deliveries");
    }
  }

  private static void nackWithRequeue(String url) throws Exception {
    try (Connection connection = connect(url)) {
      Channel channel = confirming(connection);
      String queue = newQueue(channel);
      fill(channel, queue, 5);
      for (int number = 0; number < 4; number++) {
        GetResponse got = channel.basicGet(queue, false);
        Suite.equal(text(got.getBody()) + got.getEnvelope().isRedeliver(), number + "false", "first time");
        Suite.equal(got.getMessageCount(), 4 - number, "left");
      }
      channel.basicNack(2, true, true);
      channel.basicReject(3, true);
      channel.basicNack(4, false, false);
      Suite.waitUntil("three are back", () -> depth(channel, queue) == 4);
      Collector again = Collector.of(channel, queue);
      again.exactly(4, queue);
      Suite.equal(again.view(), "0/true 1/true 2/true 4/false", "second time");
    }
  }

  private static void recoverRedelivers(String url) throws Exception {
    try (Connection connection = connect(url)) {
      Channel channel = confirming(connection);
      String queue = newQueue(channel);
      fill(channel, queue, 2);
      Collector collector = Collector.of(channel, queue);
      collector.exactly(2, queue);
      channel.basicRecover(true);
      collector.exactly(4, queue);
      Suite.equal(collector.view(), "0/false 1/false 0/true 1/true", "deliveries");
    }
  }

  private static void exclusiveConsumer(String url) throws Exception {
    try (Connection connection = connect(url)) {
      Channel channel = connection.createChannel();
      String queue = newQueue(channel);
      channel.basicConsume(queue, false, "", false, true, null, new DefaultConsumer(channel));
      Channel other = connection.createChannel();
      refused(
          403,
          "ACCESS_REFUSED - queue '" + queue + "' in vhost '/' in exclusive use",
          () -> other.basicConsume(queue, new DefaultConsumer(other)));
    }
  }

  private static void consumerIsTold(String url) throws Exception {
    try (Connection connection = connect(url)) {
      Channel channel = connection.createChannel();
      String queue = newQueue(channel);
      Collector collector = Collector.of(channel, queue);
      connection.createChannel().queueDelete(queue);
      Suite.equal(collector.cancelled.get(15, TimeUnit.SECONDS), collector.getConsumerTag(), "cancelled");
      newQueue(channel);
    }
  }

  private static void noWaitMethods(String url) throws Exception {
    try (Connection connection = connect(url)) {
      Channel channel = confirming(connection);
      String queue = Suite.unique("java");
      String exchange = Suite.unique("java");
      channel.queueDeclareNoWait(queue, false, true, false, null);
      channel.exchangeDeclareNoWait(exchange, "direct", false, false, false, null);
      channel.queueBindNoWait(queue, exchange, "key", null);
      publish(channel, exchange, "key", NONE, bytes("0"));
      Suite.equal(bodies(channel, queue), numbers(1), "content");
      channel.exchangeDeleteNoWait(exchange, false);
      channel.queueDeleteNoWait(queue, false, false);
      refused(404, "NOT_FOUND - no queue '" + queue + "' in vhost '/'", () -> channel.queueDeclarePassive(queue));
    }
  }

  // --- time

  private static void expirationAndTtl(String url) throws Exception {
    try (Connection connection = connect(url)) {
      Channel channel = confirming(connection);
      String queue = newQueue(channel);
      publish(channel, "", queue, new AMQP.BasicProperties.Builder().expiration("200").build(), bytes("short"));
      publish(channel, "", queue, new AMQP.BasicProperties.Builder().expiration("60000").build(), bytes("long"));
      Suite.waitUntil("the first is gone", () -> depth(channel, queue) == 1);
      Suite.equal(bodies(channel, queue), List.of("long"), "left");

      String shortLived = newQueue(channel, Map.of("x-message-ttl", 200));
      fill(channel, shortLived, 3);
      Suite.waitUntil("all are gone", () -> depth(channel, shortLived) == 0);

      String unused = channel.queueDeclare(Suite.unique("java"), false, false, false, Map.of("x-expires", 300)).getQueue();
      CountDownLatch returned = new CountDownLatch(1);
      channel.addReturnListener(message -> returned.countDown());
      Suite.waitUntil(
          "the unused queue is gone",
          () -> {
            channel.basicPublish("", unused, true, NONE, bytes("anybody there?"));
            return returned.getCount() == 0;
          });
    }
  }

  // --- transactions

  private static void transactions(String url) throws Exception {
    try (Connection connection = connect(url)) {
      Channel channel = connection.createChannel();
      Channel watcher = connection.createChannel();
      String queue = newQueue(channel);
      channel.txSelect();
      channel.basicPublish("", queue, NONE, bytes("0"));
      channel.basicPublish("", queue, NONE, bytes("1"));
      Suite.equal(depth(channel, queue), 0L, "before the commit");
      channel.txCommit();
      Suite.equal(depth(watcher, queue), 2L, "after the commit");
      channel.basicPublish("", queue, NONE, bytes("2"));
      channel.txRollback();
      Suite.equal(depth(watcher, queue), 2L, "after the rollback");
      channel.basicAck(channel.basicGet(queue, false).getEnvelope().getDeliveryTag(), false);
      channel.txRollback();
      channel.close();
      Suite.equal(bodies(watcher, queue), numbers(2), "the acknowledgement was rolled back");
      refused(
          406, "PRECONDITION_FAILED - channel is not transactional", () -> connection.createChannel().txCommit());
    }
  }

  // --- connections

  private static void wrongPasswordAndVirtualHost(String url) throws Exception {
    ConnectionFactory wrong = factory(url);
    wrong.setPassword("wrong");
    try {
      wrong.newConnection();
      throw new AssertionError("let in with a wrong password");
    } catch (AuthenticationFailureException problem) {
      Suite.equal(
          problem.getMessage(),
          "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.",
          "refusal");
    }
    ConnectionFactory nowhere = factory(url);
    nowhere.setVirtualHost("nowhere");
    refused(530, "NOT_ALLOWED - vhost nowhere not found", nowhere::newConnection);
  }

  private static void connectionError(String url) throws Exception {
    Connection connection = connect(url);
    CompletableFuture<ShutdownSignalException> closed = new CompletableFuture<>();
    connection.addShutdownListener(closed::complete);
    refused(
        503,
        "COMMAND_INVALID - unknown exchange type 'nonsense'",
        () -> connection.createChannel().exchangeDeclare(Suite.unique("java"), "nonsense"));
    closedWith(503, "COMMAND_INVALID - unknown exchange type 'nonsense'", closed.get(15, TimeUnit.SECONDS));
  }

  private static void negotiates(String url) throws Exception {
    ConnectionFactory factory = factory(url);
    factory.setRequestedChannelMax(3);
    factory.setRequestedFrameMax(8192);
    factory.setRequestedHeartbeat(7);
    try (Connection connection = factory.newConnection()) {
      List<Integer> negotiated = List.of(connection.getChannelMax(), connection.getFrameMax(), connection.getHeartbeat());
      Suite.equal(negotiated, List.of(3, 8192, 7), "channel_max, frame_max, heartbeat");
      for (int number = 1; number <= 3; number++) {
        newQueue(connection.createChannel());
      }
    }
  }

  private static void heartbeats(String url) throws Exception {
    ConnectionFactory factory = factory(url);
    factory.setRequestedHeartbeat(1);
    try (Connection connection = factory.newConnection()) {
      // Each side gives up after two silent intervals: alive after three means that both have sent.
      Thread.sleep(3500);
      newQueue(connection.createChannel());
    }
  }

  private static void secretIsUpdated(String url) throws Exception {
    ConnectionFactory factory = factory(url);
    CredentialsProvider credentials = new ExpiringCredentials(factory.getUsername(), factory.getPassword());
    ManualRefresh refresh = new ManualRefresh();
    factory.setCredentialsProvider(credentials);
    factory.setCredentialsRefreshService(refresh);
    try (Connection connection = factory.newConnection()) {
      Suite.equal(refresh.action.call(), true, "answer to connection.update-secret");
      newQueue(connection.createChannel());
    }
  }

  private record ExpiringCredentials(String getUsername, String getPassword) implements CredentialsProvider {
    @Override
    public Duration getTimeBeforeExpiration() {
      return Duration.ofHours(1);
    }
  }

  /** Keeps what the library would do when the secret is about to expire; the case calls it. */
  private static final class ManualRefresh implements CredentialsRefreshService {
    Callable<Boolean> action;

    @Override
    public String register(CredentialsProvider provider, Callable<Boolean> refreshAction) {
      action = refreshAction;
      return "registration";
    }

    @Override
    public void unregister(CredentialsProvider provider, String registration) {}

    @Override
    public boolean isApproachingExpiration(Duration timeBeforeExpiration) {
      return false;
    }
  }

  // --- restarts

  private static void recoveryAfterAKill(String url) throws Exception {
    ConnectionFactory factory = factory(url);
    factory.setAutomaticRecoveryEnabled(true);
    factory.setTopologyRecoveryEnabled(true);
    factory.setNetworkRecoveryInterval(200);
    try (Connection connection = factory.newConnection()) {
      Channel channel = confirming(connection);
      String durable = channel.queueDeclare(Suite.unique("durable"), true, false, false, null).getQueue();
      AMQP.BasicProperties persistent = new AMQP.BasicProperties.Builder().deliveryMode(2).build();
      for (int number = 0; number < 50; number++) {
        channel.basicPublish("", durable, persistent, bytes(number));
      }
      channel.waitForConfirmsOrDie(15_000);
      // Of a server-named exclusive queue with a binding and a consumer nothing survives: the library declares it again.
      String transientQueue = channel.queueDeclare().getQueue();
      channel.queueBind(transientQueue, "amq.topic", "recovered.#");
      Collector collector = new Collector(channel);
      channel.basicConsume(transientQueue, true, collector);

      CountDownLatch recovered = new CountDownLatch(1);
      ((Recoverable) connection)
          .addRecoveryListener(
              new RecoveryListener() {
                @Override
                public void handleRecovery(Recoverable recoverable) {
                  recovered.countDown();
                }

                @Override
                public void handleRecoveryStarted(Recoverable recoverable) {}
              });
      Suite.restartBroker("kill");
      Suite.equal(recovered.await(60, TimeUnit.SECONDS), true, "recovered");

      Suite.equal(bodies(channel, durable), numbers(50), "durable content");
      publish(channel, "amq.topic", "recovered.key", NONE, bytes("again"));
      Suite.waitUntil("delivery to the recovered consumer", () -> collector.deliveries.size() == 1);
      Suite.equal(collector.view(), "again/false", "delivery");
      channel.queueDelete(durable);
    }
  }

  private static void shutdownIsAnnounced(String url) throws Exception {
    Connection connection = connect(url);
    CompletableFuture<ShutdownSignalException> closed = new CompletableFuture<>();
    connection.addShutdownListener(closed::complete);
    Suite.restartBroker("stop");
    closedWith(
        320,
        "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
        closed.get(15, TimeUnit.SECONDS));
  }
}
