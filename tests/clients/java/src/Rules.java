import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.LongString;
import com.rabbitmq.client.RpcClient;
import com.rabbitmq.client.RpcClientParams;
import com.rabbitmq.client.RpcServer;
import java.util.ArrayList;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/** What queues, streams and exchanges can be told to do, as com.rabbitmq:amqp-client sees it: values come as Java's types. */
public final class Rules {
  public static void main(String[] arguments) {
    new Suite()
        .add("dead_letters_and_their_types", Rules::deadLetters)
        .add("expiry_counts_up", Rules::expiryCountsUp)
        .add("length_refuses_with_a_nack", Rules::lengthRefuses)
        .add("priorities", Rules::priorities)
        .add("a_quorum_queue_counts_deliveries", Rules::quorum)
        .add("a_single_active_consumer", Rules::singleActiveConsumer)
        .add("a_stream_is_read_from_an_offset", Rules::stream)
        .add("remote_procedures_by_direct_reply_to", Rules::directReplyTo)
        .add("a_consistent_hash", Rules::consistentHash)
        .add("arguments_of_every_integer_type", Rules::integerTypes)
        .add("arguments_of_a_wrong_type", Rules::wrongTypes)
        .addBeyond("a_delayed_message", Rules::delayed)
        .run(arguments);
  }

  private static Map<String, Object> deadLettersTo(String queue) {
    return new HashMap<>(Map.of("x-dead-letter-exchange", "", "x-dead-letter-routing-key", queue));
  }

  private static Map<String, Object> with(Map<String, Object> arguments, String name, Object value) {
    arguments.put(name, value);
    return arguments;
  }

  private static GetResponse get(Channel channel, String queue, boolean autoAck) throws Exception {
    GetResponse[] got = new GetResponse[1];
    Suite.waitUntil("a message in " + queue, () -> (got[0] = channel.basicGet(queue, autoAck)) != null);
    return got[0];
  }

  private static AMQP.BasicProperties.Builder properties() {
    return new AMQP.BasicProperties.Builder();
  }

  @SuppressWarnings("unchecked")
  private static List<Map<String, Object>> deaths(AMQP.BasicProperties properties) {
    return (List<Map<String, Object>>) properties.getHeaders().get("x-death");
  }

  private static void deadLetters(String url) throws Exception {
    try (Connection connection = AmqpClient.connect(url)) {
      Channel channel = AmqpClient.confirming(connection);
      String dead = AmqpClient.newQueue(channel);
      String queue = AmqpClient.newQueue(channel, deadLettersTo(dead));
      AmqpClient.publish(channel, "", queue, properties().expiration("60000").build(), AmqpClient.bytes("x"));
      channel.basicReject(get(channel, queue, false).getEnvelope().getDeliveryTag(), false);
      GetResponse letter = get(channel, dead, true);
      Map<String, Object> death = deaths(letter.getProps()).get(0);
      Suite.equal(death.get("count"), 1L, "count is a long");
      Suite.equal(death.get("queue") instanceof LongString, true, "queue is a LongString");
      Suite.equal(death.get("queue").toString(), queue, "queue");
      Suite.equal(death.get("reason").toString(), "rejected", "reason");
      Suite.equal(death.get("exchange").toString(), "", "exchange");
      Suite.equal(((List<?>) death.get("routing-keys")).stream().map(Object::toString).toList(), List.of(queue), "keys");
      Suite.equal(death.get("original-expiration").toString(), "60000", "original-expiration");
      Date time = (Date) death.get("time");
      Suite.equal(Math.abs(System.currentTimeMillis() - time.getTime()) < 60_000, true, "time " + time);
      Map<String, Object> headers = letter.getProps().getHeaders();
      Suite.equal(headers.get("x-first-death-queue").toString(), queue, "x-first-death-queue");
      Suite.equal(headers.get("x-first-death-reason").toString(), "rejected", "x-first-death-reason");
      Suite.equal(headers.get("x-first-death-exchange").toString(), "", "x-first-death-exchange");
      Suite.equal(letter.getProps().getExpiration(), null, "expiration");
    }
  }

  private static void expiryCountsUp(String url) throws Exception {
    try (Connection connection = AmqpClient.connect(url)) {
      Channel channel = AmqpClient.confirming(connection);
      String work = Suite.unique("work");
      String retry = Suite.unique("retry");
      channel.queueDeclare(work, false, true, false, deadLettersTo(retry));
      channel.queueDeclare(retry, false, true, false, with(deadLettersTo(work), "x-message-ttl", 50));
      AmqpClient.fill(channel, work, 1);
      for (long attempt = 0; attempt < 4; attempt++) {
        GetResponse got = get(channel, work, false);
        if (attempt > 0) {
          for (Map<String, Object> death : deaths(got.getProps())) {
            Suite.equal(death.get("count"), attempt, "count of " + death);
          }
          Suite.equal(deaths(got.getProps()).size(), 2, "rows");
        }
        channel.basicNack(got.getEnvelope().getDeliveryTag(), false, false);
      }
    }
  }

  private static void lengthRefuses(String url) throws Exception {
    try (Connection connection = AmqpClient.connect(url)) {
      Channel channel = AmqpClient.confirming(connection);
      String queue = AmqpClient.newQueue(channel, Map.of("x-max-length", 2, "x-overflow", "reject-publish"));
      List<Boolean> acknowledged = new ArrayList<>();
      for (int number = 0; number < 6; number++) {
        channel.basicPublish("", queue, null, AmqpClient.bytes(number));
        acknowledged.add(channel.waitForConfirms(15_000));
      }
      Suite.equal(acknowledged.subList(0, 2), List.of(true, true), "the first two");
      Suite.equal(acknowledged.get(5), false, "the last one is refused by basic.nack");
      long kept = acknowledged.stream().filter(ack -> ack).count();
      Suite.equal((long) AmqpClient.bodies(channel, queue).size(), kept, "what was acknowledged is there");
    }
  }

  private static void priorities(String url) throws Exception {
    try (Connection connection = AmqpClient.connect(url)) {
      Channel channel = AmqpClient.confirming(connection);
      String queue = AmqpClient.newQueue(channel, Map.of("x-max-priority", 10));
      for (int priority : new int[] {1, 9, 5, 10, 200, 0}) {
        AmqpClient.publish(channel, "", queue, properties().priority(priority).build(), AmqpClient.bytes(priority));
      }
      Suite.equal(AmqpClient.bodies(channel, queue), List.of("10", "200", "9", "5", "1", "0"), "order");
    }
  }

  private static void quorum(String url) throws Exception {
    try (Connection connection = AmqpClient.connect(url)) {
      Channel channel = AmqpClient.confirming(connection);
      String dead = AmqpClient.newQueue(channel);
      String queue = Suite.unique("quorum");
      Map<String, Object> arguments = with(deadLettersTo(dead), "x-queue-type", "quorum");
      channel.queueDeclare(queue, true, false, false, with(arguments, "x-delivery-limit", 2));
      AmqpClient.fill(channel, queue, 1);
      Channel reading = connection.createChannel();
      AmqpClient.Collector collector = AmqpClient.Collector.of(reading, queue);
      for (int attempt = 0; attempt < 3; attempt++) {
        int count = attempt + 1;
        Suite.waitUntil(count + " deliveries", () -> collector.deliveries.size() >= count);
        Delivery delivery = collector.deliveries.get(attempt);
        Map<String, Object> headers = delivery.getProperties().getHeaders();
        Object deliveries = headers == null ? null : headers.get("x-delivery-count");
        Suite.equal(deliveries, attempt == 0 ? null : (Object) (long) attempt, "x-delivery-count");
        reading.basicNack(delivery.getEnvelope().getDeliveryTag(), false, true);
      }
      Suite.equal(deaths(get(channel, dead, true).getProps()).get(0).get("reason").toString(), "delivery_limit", "why");
      channel.queueDelete(queue);
    }
  }

  private static void singleActiveConsumer(String url) throws Exception {
    try (Connection connection = AmqpClient.connect(url)) {
      Channel channel = AmqpClient.confirming(connection);
      String queue = AmqpClient.newQueue(channel, Map.of("x-single-active-consumer", true));
      Channel first = connection.createChannel();
      Channel second = connection.createChannel();
      AmqpClient.Collector active = AmqpClient.Collector.of(first, queue);
      AmqpClient.Collector heir = AmqpClient.Collector.of(second, queue);
      AmqpClient.fill(channel, queue, 5);
      active.exactly(5, queue);
      Suite.equal(heir.deliveries.size(), 0, "deliveries of the one that waits");
      first.close();
      heir.exactly(5, queue);
      Suite.equal(heir.deliveries.stream().map(it -> AmqpClient.text(it.getBody())).toList(), AmqpClient.numbers(5), "order");
    }
  }

  private static void stream(String url) throws Exception {
    try (Connection connection = AmqpClient.connect(url)) {
      Channel channel = AmqpClient.confirming(connection);
      String queue = Suite.unique("stream");
      channel.queueDeclare(queue, true, false, false, Map.of("x-queue-type", "stream", "x-max-age", "1D"));
      AmqpClient.fill(channel, queue, 500);
      Map<Object, Integer> firsts = new HashMap<>(Map.of("first", 0, 123, 123, 400L, 400));
      firsts.put(new Date(System.currentTimeMillis() - 3_600_000), 0);
      for (Map.Entry<Object, Integer> entry : firsts.entrySet()) {
        Channel reading = connection.createChannel();
        reading.basicQos(50);
        List<Long> offsets = new ArrayList<>();
        List<String> numbers = new ArrayList<>();
        reading.basicConsume(queue, false, Map.of("x-stream-offset", entry.getKey()), new DefaultConsumer(reading) {
          @Override
          public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] body)
              throws java.io.IOException {
            synchronized (offsets) {
              offsets.add((Long) properties.getHeaders().get("x-stream-offset"));
              numbers.add(AmqpClient.text(body));
            }
            getChannel().basicAck(envelope.getDeliveryTag(), false);
          }
        });
        int count = 500 - entry.getValue();
        Suite.waitUntil(count + " messages from " + entry.getKey(), () -> {
          synchronized (offsets) {
            return offsets.size() >= count;
          }
        });
        reading.close();
        synchronized (offsets) {
          Suite.equal(offsets, IntStream.range(entry.getValue(), 500).mapToObj(number -> (long) number).toList(), "offsets");
          Suite.equal(numbers, AmqpClient.numbers(500).subList(entry.getValue(), 500), "from " + entry.getKey());
        }
      }
      channel.queueDelete(queue);
    }
  }

  /** The client's own RpcClient and RpcServer. */
  private static void directReplyTo(String url) throws Exception {
    try (Connection connection = AmqpClient.connect(url)) {
      Channel serving = connection.createChannel();
      String queue = AmqpClient.newQueue(serving);
      RpcServer server = new RpcServer(serving, queue) {
        @Override
        public byte[] handleCall(Delivery request, AMQP.BasicProperties reply) {
          Suite.equal(request.getProperties().getReplyTo().startsWith("amq.rabbitmq.reply-to."), true, "reply-to");
          return AmqpClient.bytes(AmqpClient.text(request.getBody()) + "!");
        }
      };
      Thread thread = new Thread(() -> {
        try {
          server.mainloop();
        } catch (Exception ended) {
          // The connection is closed at the end of the case.
        }
      });
      thread.setDaemon(true);
      thread.start();
      RpcClientParams parameters = new RpcClientParams().channel(connection.createChannel()).exchange("").routingKey(queue);
      RpcClient client = new RpcClient(parameters.replyTo("amq.rabbitmq.reply-to").timeout(15_000));
      for (int number = 0; number < 100; number++) {
        Suite.equal(client.stringCall("question " + number), "question " + number + "!", "answer");
      }
    }
  }

  private static void consistentHash(String url) throws Exception {
    try (Connection connection = AmqpClient.connect(url)) {
      Channel channel = AmqpClient.confirming(connection);
      String exchange = Suite.unique("hash");
      channel.exchangeDeclare(exchange, "x-consistent-hash", false, true, Map.of());
      List<String> queues = new ArrayList<>();
      for (int at = 0; at < 3; at++) {
        queues.add(AmqpClient.newQueue(channel));
        channel.queueBind(queues.get(at), exchange, "10");
      }
      for (int number = 0; number < 600; number++) {
        channel.basicPublish(exchange, "key " + number % 200, null, AmqpClient.bytes(number % 200));
      }
      channel.waitForConfirmsOrDie(15_000);
      Map<String, String> owners = new HashMap<>();
      int count = 0;
      for (String queue : queues) {
        for (String body : AmqpClient.bodies(channel, queue)) {
          Suite.equal(owners.computeIfAbsent(body, absent -> queue), queue, "queue of key " + body);
          count++;
        }
      }
      Suite.equal(List.of(count, owners.size()), List.of(600, 200), "messages and keys");
    }
  }

  /** Java programs send bytes, shorts, ints and longs as they please. */
  private static void integerTypes(String url) throws Exception {
    try (Connection connection = AmqpClient.connect(url)) {
      for (Object number : new Object[] {(byte) 100, (short) 100, 100, 100L}) {
        Channel channel = AmqpClient.confirming(connection);
        String queue = AmqpClient.newQueue(channel, Map.of("x-message-ttl", number, "x-max-priority", number));
        AmqpClient.fill(channel, queue, 1);
        Suite.waitUntil("expired", () -> AmqpClient.depth(channel, queue) == 0);
        for (Object same : new Object[] {(byte) 100, 100, 100L}) {
          connection.createChannel().queueDeclare(queue, false, true, false, Map.of("x-message-ttl", same, "x-max-priority", same));
        }
      }
    }
  }

  private static void wrongTypes(String url) throws Exception {
    try (Connection connection = AmqpClient.connect(url)) {
      String queue = Suite.unique("wrong");
      Map<Object, String> types = Map.of(1.5, "double", 1.5f, "float", new byte[] {1}, "binary", new Date(), "timestamp");
      for (Map.Entry<Object, String> type : types.entrySet()) {
        AmqpClient.refused(
            406,
            "PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue '" + queue + "' in vhost '/': "
                + "\"expected integer, got " + type.getValue() + "\"",
            () -> connection.createChannel().queueDeclare(queue, false, true, false, Map.of("x-message-ttl", type.getKey())));
      }
    }
  }

  private static void delayed(String url) throws Exception {
    try (Connection connection = AmqpClient.connect(url)) {
      Channel channel = AmqpClient.confirming(connection);
      String exchange = Suite.unique("delayed");
      channel.exchangeDeclare(exchange, "x-delayed-message", false, true, Map.of("x-delayed-type", "direct"));
      String queue = AmqpClient.newQueue(channel);
      channel.queueBind(queue, exchange, "key");
      for (Object delay : new Object[] {600, 300L, (short) 100}) {
        AMQP.BasicProperties properties = properties().headers(Map.of("x-delay", delay)).build();
        AmqpClient.publish(channel, exchange, "key", properties, AmqpClient.bytes(delay));
      }
      List<String> order = new ArrayList<>();
      for (int at = 0; at < 3; at++) {
        order.add(AmqpClient.text(get(channel, queue, true).getBody()));
      }
      Suite.equal(order, List.of("100", "300", "600"), "order");
    }
  }
}
