import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.activemq.transport.stomp.StompConnection;
import org.apache.activemq.transport.stomp.StompFrame;

/**
 * org.apache.activemq:activemq-stomp, ActiveMQ's own client of STOMP, and ActiveMQ's dialect. With --common the broker is
 * ActiveMQ 5.17.
 */
final class ActiveMqStomp {
  private static final int PATIENCE_MS = 15_000;
  private static int receipts;

  /** What one does with a connection. */
  interface Body {
    void run(StompConnection connection) throws Exception;
  }

  static StompConnection open(String url, Map<String, String> headers) throws Exception {
    URI place = URI.create(url);
    String[] login = place.getUserInfo().split(":");
    HashMap<String, String> all = new HashMap<>(Map.of("login", login[0], "passcode", login[1], "accept-version", "1.1", "host", "/"));
    all.putAll(headers);
    StompConnection connection = new StompConnection();
    connection.open(place.getHost(), place.getPort());
    connection.getStompSocket().setTcpNoDelay(true);
    connection.setVersion(all.get("accept-version"));
    connection.connect(all); // fails unless CONNECTED comes
    return connection;
  }

  static void connected(String url, Map<String, String> headers, Body body) throws Exception {
    StompConnection connection = open(url, headers);
    try {
      body.run(connection);
      connection.disconnect("bye");
      while (!"bye".equals(connection.receive(PATIENCE_MS).getHeaders().get("receipt-id"))) {
        // messages that nobody has asked for
      }
    } finally {
      connection.close();
    }
  }

  static void connected(String url, Body body) throws Exception {
    connected(url, Map.of(), body);
  }

  static HashMap<String, String> headers(String... pairs) {
    HashMap<String, String> headers = new HashMap<>();
    for (int at = 0; at < pairs.length; at += 2) {
      headers.put(pairs[at], pairs[at + 1]);
    }
    return headers;
  }

  static StompFrame expect(StompConnection connection, String action) throws Exception {
    StompFrame frame = connection.receive(PATIENCE_MS);
    Suite.equal(frame.getAction(), action, "a frame: " + frame);
    return frame;
  }

  static String body(StompFrame frame) {
    return new String(frame.getContent(), StandardCharsets.UTF_8);
  }

  static void subscribe(StompConnection connection, String destination, String id, String ack, String... more) throws Exception {
    HashMap<String, String> headers = headers(more);
    headers.put("id", id);
    headers.put("receipt", "sub-" + ++receipts);
    connection.subscribe(destination, ack, headers);
    Suite.equal(expect(connection, "RECEIPT").getHeaders().get("receipt-id"), "sub-" + receipts, "receipt of SUBSCRIBE");
  }

  /** Sends, and waits for the receipt; messages that come before it are returned. */
  static List<StompFrame> send(StompConnection connection, String destination, String body, String... more) throws Exception {
    HashMap<String, String> headers = headers(more);
    headers.put("receipt", "send-" + ++receipts);
    connection.send(destination, body, null, headers);
    List<StompFrame> before = new ArrayList<>();
    for (;;) {
      StompFrame frame = connection.receive(PATIENCE_MS);
      if (("send-" + receipts).equals(frame.getHeaders().get("receipt-id"))) {
        Suite.equal(frame.getAction(), "RECEIPT", "answer to SEND: " + frame);
        return before;
      }
      before.add(frame);
    }
  }

  static String queue() {
    return "/queue/" + Suite.unique("java");
  }

  static String topic() {
    return "/topic/" + Suite.unique("java");
  }

  static void everyVersion(String url) throws Exception {
    for (String version : List.of("1.0", "1.1", "1.2")) {
      connected(url, Map.of("accept-version", version), connection -> {
        String queue = queue();
        subscribe(connection, queue, "1", "client");
        connection.send(queue, "grüße", null, headers("foo", "bar"));
        StompFrame message = expect(connection, "MESSAGE");
        Suite.equal(List.of(body(message), message.getHeaders().get("foo"), message.getHeaders().get("destination")),
            List.of("grüße", "bar", queue), "message");
        connection.ack(message);
      });
    }
  }

  static void transactions(String url) throws Exception {
    connected(url, connection -> {
      String queue = queue();
      subscribe(connection, queue, "1", "auto");
      connection.begin("gone");
      connection.send(queue, "gone", "gone", null);
      connection.abort("gone");
      connection.begin("kept");
      connection.send(queue, "1", "kept", null);
      connection.send(queue, "2", "kept", null);
      connection.commit("kept");
      Suite.equal(body(expect(connection, "MESSAGE")), "1", "committed");
      Suite.equal(body(expect(connection, "MESSAGE")), "2", "committed");
    });
  }

  static void acknowledgements(String url) throws Exception {
    String queue = queue();
    Map<String, String> old = Map.of("accept-version", "1.0"); // it names no subscription in ACK
    connected(url, old, connection -> {
      subscribe(connection, queue, "1", "client");
      for (int number = 0; number < 4; number++) {
        connection.send(queue, "" + number);
      }
      List<StompFrame> messages = new ArrayList<>();
      for (int number = 0; number < 4; number++) {
        messages.add(expect(connection, "MESSAGE"));
      }
      connection.ack(messages.get(2)); // and those before it
    });
    connected(url, old, connection -> {
      subscribe(connection, queue, "1", "client");
      StompFrame left = expect(connection, "MESSAGE");
      Suite.equal(body(left), "3", "what was not acknowledged");
      connection.ack(left);
    });
  }

  static void selectors(String url) throws Exception {
    connected(url, connection -> {
      String queue = queue();
      subscribe(connection, queue, "1", "auto", "selector", "color = 'red' AND n BETWEEN 2 AND 4");
      for (int number = 0; number < 8; number++) {
        connection.send(queue, "" + number, null, headers("color", number % 2 == 0 ? "red" : "blue", "n", "" + number));
      }
      Suite.equal(body(expect(connection, "MESSAGE")), "2", "selected");
      Suite.equal(body(expect(connection, "MESSAGE")), "4", "selected");
      Suite.equal(send(connection, queue(), "").size(), 0, "further messages");
    });
  }

  static void groups(String url) throws Exception {
    connected(url, one -> connected(url, two -> connected(url, sender -> {
      String queue = queue();
      subscribe(one, queue, "1", "auto", "activemq.prefetchSize", "100");
      subscribe(two, queue, "1", "auto", "activemq.prefetchSize", "100");
      for (int number = 0; number < 20; number++) {
        sender.send(queue, "" + number, null, headers("JMSXGroupID", "group " + number % 4));
      }
      int all = 0;
      Map<StompConnection, Set<Integer>> groups = new HashMap<>();
      for (StompConnection connection : List.of(one, two)) {
        Set<Integer> mine = new TreeSet<>();
        for (StompFrame frame : send(connection, queue(), "a mark")) {
          mine.add(Integer.parseInt(body(frame)) % 4);
          all++;
        }
        groups.put(connection, mine);
      }
      // What came behind the mark is read until all are there.
      for (StompConnection connection : List.of(one, two)) {
        while (all < 20 && connection == two) {
          groups.get(two).add(Integer.parseInt(body(expect(two, "MESSAGE"))) % 4);
          all++;
        }
      }
      Set<Integer> both = new TreeSet<>(groups.get(one));
      both.retainAll(groups.get(two));
      Suite.equal(both, Set.of(), "groups at both consumers");
    })));
  }

  static void durableSubscriptions(String url) throws Exception {
    String topic = topic();
    Map<String, String> client = Map.of("client-id", Suite.unique("client"));
    connected(url, client, connection -> subscribe(connection, topic, "1", "auto", "activemq.subscriptionName", "sub"));
    connected(url, sender -> send(sender, topic, "kept", "persistent", "true"));
    connected(url, client, connection -> {
      subscribe(connection, topic, "1", "auto", "activemq.subscriptionName", "sub");
      Suite.equal(body(expect(connection, "MESSAGE")), "kept", "a message that came meanwhile");
    });
  }

  static void virtualTopicsAndComposites(String url) throws Exception {
    connected(url, connection -> {
      String name = Suite.unique("java");
      String queue = queue();
      subscribe(connection, "/queue/Consumer.A.VirtualTopic." + name, "a", "auto");
      subscribe(connection, "/queue/Consumer.B.VirtualTopic." + name, "b", "auto");
      subscribe(connection, queue, "c", "auto");
      connection.send("/topic/VirtualTopic." + name + "," + queue, "x");
      Set<String> subscriptions = new TreeSet<>();
      for (int number = 0; number < 3; number++) {
        subscriptions.add(expect(connection, "MESSAGE").getHeaders().get("subscription"));
      }
      Suite.equal(subscriptions, Set.of("a", "b", "c"), "each has it");
    });
  }

  static void schedules(String url) throws Exception {
    connected(url, connection -> {
      String queue = queue();
      subscribe(connection, queue, "1", "auto");
      connection.send(queue, "later", null, headers("AMQ_SCHEDULED_DELAY", "1000"));
      connection.send(queue, "now");
      Suite.equal(body(expect(connection, "MESSAGE")), "now", "first");
      Suite.equal(body(expect(connection, "MESSAGE")), "later", "second");
    });
  }

  static void requestsAndReplies(String url) throws Exception {
    connected(url, server -> connected(url, client -> {
      String queue = queue();
      subscribe(server, queue, "1", "auto");
      subscribe(client, "/temp-queue/answers", "2", "auto");
      client.send(queue, "ask", null, headers("reply-to", "/temp-queue/answers"));
      server.send(expect(server, "MESSAGE").getHeaders().get("reply-to"), "answer");
      Suite.equal(body(expect(client, "MESSAGE")), "answer", "answer");
    }));
  }

  static void errors(String url) throws Exception {
    connected(url, connection -> {
      connection.subscribe(queue(), "auto", headers("id", "1", "selector", "a = = 1"));
      Suite.equal(connection.receive(PATIENCE_MS).getAction(), "ERROR", "answer to a selector that is none");
    });
  }

  public static void main(String[] arguments) {
    new Suite()
        .add("every_version", ActiveMqStomp::everyVersion)
        .add("transactions", ActiveMqStomp::transactions)
        .add("acknowledgements", ActiveMqStomp::acknowledgements)
        .add("selectors", ActiveMqStomp::selectors)
        .add("groups", ActiveMqStomp::groups)
        .add("durable_subscriptions", ActiveMqStomp::durableSubscriptions)
        .add("virtual_topics_and_composites", ActiveMqStomp::virtualTopicsAndComposites)
        .add("schedules", ActiveMqStomp::schedules)
        .add("requests_and_replies", ActiveMqStomp::requestsAndReplies)
        .add("errors", ActiveMqStomp::errors)
        .run(arguments);
  }
}
