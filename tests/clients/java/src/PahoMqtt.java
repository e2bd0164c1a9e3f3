import java.nio.charset.StandardCharsets;
import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.eclipse.paho.client.mqttv3.IMqttDeliveryToken;
import org.eclipse.paho.client.mqttv3.MqttCallbackExtended;
import org.eclipse.paho.mqttv5.common.packet.MqttProperties;
import org.eclipse.paho.mqttv5.common.packet.MqttReturnCode;
import org.eclipse.paho.mqttv5.common.packet.UserProperty;

/** MQTT as Eclipse Paho's Java clients speak it: 3.1 and 3.1.1 (mqttv3), and 5.0 (mqttv5). */
public final class PahoMqtt {
  public static void main(String[] arguments) {
    new Suite()
        .add("old_every_version_and_quality", PahoMqtt::oldQualities)
        .add("old_will_and_retained", PahoMqtt::oldWill)
        .add("old_session_is_resumed", PahoMqtt::oldSession)
        .add("old_wrong_credentials", PahoMqtt::oldCredentials)
        .add("old_many_in_order", PahoMqtt::oldMany)
        .add("every_quality", PahoMqtt::qualities)
        .add("properties_both_ways", PahoMqtt::properties)
        .add("session_and_expiry", PahoMqtt::session)
        .add("will_with_properties", PahoMqtt::will)
        .add("reason_codes", PahoMqtt::reasonCodes)
        .add("shared_subscription", PahoMqtt::shared)
        .addRestart("old_reconnects_by_itself", PahoMqtt::oldReconnects)
        .addRestart("reconnects_by_itself", PahoMqtt::reconnects)
        .run(arguments);
  }

  private static String tcp(String url) {
    return "tcp://" + URI.create(url).getAuthority().replaceAll(".*@", "");
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  // --- 3.1 and 3.1.1

  /** A client of mqttv3 and what has come to it. */
  private static final class Old implements MqttCallbackExtended, AutoCloseable {
    final org.eclipse.paho.client.mqttv3.MqttClient client;
    final org.eclipse.paho.client.mqttv3.MqttConnectOptions options = new org.eclipse.paho.client.mqttv3.MqttConnectOptions();
    final BlockingQueue<org.eclipse.paho.client.mqttv3.MqttMessage> messages = new LinkedBlockingQueue<>();
    final BlockingQueue<Boolean> connections = new LinkedBlockingQueue<>();

    Old(String url, String name) throws Exception {
      client = new org.eclipse.paho.client.mqttv3.MqttClient(tcp(url), name, null);
      client.setCallback(this);
      client.setTimeToWait(15_000);
      options.setUserName("guest");
      options.setPassword("guest".toCharArray());
      options.setMqttVersion(4);
      options.setMaxInflight(1000);
    }

    Old(String url) throws Exception {
      this(url, Suite.unique("java").substring(0, 18));
    }

    boolean connect() throws Exception {
      return client.connectWithResult(options).getSessionPresent();
    }

    String take() throws Exception {
      return text(message());
    }

    org.eclipse.paho.client.mqttv3.MqttMessage message() throws Exception {
      var message = messages.poll(15, TimeUnit.SECONDS);
      if (message == null) {
        throw new AssertionError("no message within 15 s");
      }
      return message;
    }

    static String text(org.eclipse.paho.client.mqttv3.MqttMessage message) {
      return new String(message.getPayload(), StandardCharsets.UTF_8);
    }

    @Override
    public void connectComplete(boolean reconnect, String server) {
      connections.add(reconnect);
    }

    @Override
    public void connectionLost(Throwable cause) {}

    @Override
    public void messageArrived(String topic, org.eclipse.paho.client.mqttv3.MqttMessage message) {
      messages.add(message);
    }

    @Override
    public void deliveryComplete(IMqttDeliveryToken token) {}

    @Override
    public void close() throws Exception {
      if (client.isConnected()) {
        client.disconnect();
      }
      client.close();
    }
  }

  private static void oldQualities(String url) throws Exception {
    for (int version : new int[] {3, 4}) {
      try (Old device = new Old(url)) {
        device.options.setMqttVersion(version);
        device.connect();
        for (int sent = 0; sent <= 2; sent++) {
          for (int granted = 0; granted <= 2; granted++) {
            String topic = Suite.unique("java");
            device.client.subscribe(topic, granted);
            device.client.publish(topic, bytes("payload"), sent, false);
            var message = device.message();
            Suite.equal(List.of(Old.text(message), message.getQos(), message.isRetained()), List.of("payload", Math.min(sent, granted), false), "message");
          }
        }
      }
    }
  }

  private static void oldWill(String url) throws Exception {
    String topic = Suite.unique("java");
    try (Old watcher = new Old(url); Old late = new Old(url)) {
      watcher.connect();
      watcher.client.subscribe(topic, 1);
      Old dying = new Old(url);
      dying.options.setWill(topic, bytes("gone"), 1, true);
      dying.connect();
      // Neither DISCONNECT nor time for it.
      dying.client.disconnectForcibly(0, 1, false);
      dying.client.close();
      Suite.equal(watcher.take(), "gone", "will");
      late.connect();
      late.client.subscribe(topic, 1);
      var message = late.message();
      Suite.equal(List.of(Old.text(message), message.isRetained()), List.of("gone", true), "retained will");
      late.client.publish(topic, new byte[0], 1, true);
    }
  }

  private static void oldSession(String url) throws Exception {
    String topic = Suite.unique("java");
    String name = Suite.unique("java");
    try (Old device = new Old(url, name)) {
      device.options.setCleanSession(false);
      Suite.equal(device.connect(), false, "session present at first");
      device.client.subscribe(topic, 2);
    }
    try (Old publisher = new Old(url)) {
      publisher.connect();
      for (int number = 0; number < 20; number++) {
        publisher.client.publish(topic, bytes("" + number), 2, false);
      }
    }
    try (Old device = new Old(url, name)) {
      device.options.setCleanSession(false);
      Suite.equal(device.connect(), true, "session present");
      for (int number = 0; number < 20; number++) {
        Suite.equal(device.take(), "" + number, "order");
      }
    }
    try (Old device = new Old(url, name)) {
      Suite.equal(device.connect(), false, "session present after a clean one");
    }
  }

  private static void oldCredentials(String url) throws Exception {
    try (Old device = new Old(url)) {
      device.options.setPassword("wrong".toCharArray());
      device.connect();
      throw new AssertionError("let in");
    } catch (org.eclipse.paho.client.mqttv3.MqttException refused) {
      Suite.equal(Set.of(4, 5).contains(refused.getReasonCode()), true, "return code " + refused.getReasonCode());
    }
  }

  private static void oldMany(String url) throws Exception {
    String topic = Suite.unique("java");
    try (Old device = new Old(url); Old publisher = new Old(url)) {
      device.connect();
      publisher.connect();
      device.client.subscribe(topic, 1);
      for (int number = 0; number < 500; number++) {
        publisher.client.publish(topic, bytes("" + number), 1, false);
      }
      for (int number = 0; number < 500; number++) {
        Suite.equal(device.take(), "" + number, "order");
      }
    }
  }

  private static void oldReconnects(String url) throws Exception {
    String topic = Suite.unique("java");
    String name = Suite.unique("java");
    try (Old device = new Old(url, name)) {
      device.options.setCleanSession(false);
      device.options.setAutomaticReconnect(true);
      device.options.setMaxReconnectDelay(500);
      device.connect();
      device.connections.take();
      device.client.subscribe(topic, 1);
      Suite.restartBroker("kill");
      Suite.equal(device.connections.poll(60, TimeUnit.SECONDS), true, "a reconnection");
      device.client.publish(topic, bytes("after"), 1, false);
      Suite.equal(device.take(), "after", "payload");
    }
    try (Old device = new Old(url, name)) {
      device.connect();
    }
  }

  // --- 5.0

  /** A client of mqttv5 and what has come to it. */
  private static final class Five implements org.eclipse.paho.mqttv5.client.MqttCallback, AutoCloseable {
    final org.eclipse.paho.mqttv5.client.MqttClient client;
    final org.eclipse.paho.mqttv5.client.MqttConnectionOptions options = new org.eclipse.paho.mqttv5.client.MqttConnectionOptions();
    final BlockingQueue<org.eclipse.paho.mqttv5.common.MqttMessage> messages = new LinkedBlockingQueue<>();
    final BlockingQueue<Boolean> connections = new LinkedBlockingQueue<>();

    Five(String url, String name) throws Exception {
      client = new org.eclipse.paho.mqttv5.client.MqttClient(tcp(url), name, new org.eclipse.paho.mqttv5.client.persist.MemoryPersistence());
      client.setCallback(this);
      client.setTimeToWait(15_000);
      options.setUserName("guest");
      options.setPassword(bytes("guest"));
      options.setCleanStart(true);
    }

    Five(String url) throws Exception {
      this(url, Suite.unique("java5"));
    }

    Five connect() throws Exception {
      client.connect(options);
      return this;
    }

    org.eclipse.paho.mqttv5.common.MqttMessage message() throws Exception {
      var message = messages.poll(15, TimeUnit.SECONDS);
      if (message == null) {
        throw new AssertionError("no message within 15 s");
      }
      return message;
    }

    String take() throws Exception {
      return new String(message().getPayload(), StandardCharsets.UTF_8);
    }

    void publish(String topic, String payload, int qos, MqttProperties properties) throws Exception {
      client.publish(topic, new org.eclipse.paho.mqttv5.common.MqttMessage(bytes(payload), qos, false, properties));
    }

    @Override
    public void disconnected(org.eclipse.paho.mqttv5.client.MqttDisconnectResponse response) {}

    @Override
    public void mqttErrorOccurred(org.eclipse.paho.mqttv5.common.MqttException error) {}

    @Override
    public void messageArrived(String topic, org.eclipse.paho.mqttv5.common.MqttMessage message) {
      messages.add(message);
    }

    @Override
    public void deliveryComplete(org.eclipse.paho.mqttv5.client.IMqttToken token) {}

    @Override
    public void connectComplete(boolean reconnect, String server) {
      connections.add(reconnect);
    }

    @Override
    public void authPacketArrived(int reason, MqttProperties properties) {}

    @Override
    public void close() throws Exception {
      if (client.isConnected()) {
        client.disconnect();
      }
      client.close();
    }
  }

  private static void qualities(String url) throws Exception {
    try (Five device = new Five(url).connect()) {
      for (int sent = 0; sent <= 2; sent++) {
        for (int granted = 0; granted <= 2; granted++) {
          String topic = Suite.unique("java5");
          device.client.subscribe(topic, granted);
          device.publish(topic, "payload", sent, new MqttProperties());
          var message = device.message();
          Suite.equal(message.getQos(), Math.min(sent, granted), "QoS");
        }
      }
    }
  }

  private static void properties(String url) throws Exception {
    String topic = Suite.unique("java5");
    try (Five device = new Five(url).connect()) {
      device.client.subscribe(topic, 2);
      MqttProperties sent = new MqttProperties();
      sent.setPayloadFormat(true);
      sent.setContentType("text/plain");
      sent.setResponseTopic("back");
      sent.setCorrelationData(new byte[] {0, -1});
      sent.setUserProperties(List.of(new UserProperty("b", "1"), new UserProperty("a", "2"), new UserProperty("b", "1")));
      device.publish(topic, "x", 2, sent);
      MqttProperties found = device.message().getProperties();
      Suite.equal(found.getContentType(), "text/plain", "content type");
      Suite.equal(found.getResponseTopic(), "back", "response topic");
      Suite.equal(found.getCorrelationData(), new byte[] {0, -1}, "correlation data");
      Suite.equal(found.getPayloadFormat(), true, "payload format");
      Suite.equal(found.getUserProperties(), sent.getUserProperties(), "user properties");
    }
  }

  private static void session(String url) throws Exception {
    String topic = Suite.unique("java5");
    String name = Suite.unique("java5");
    try (Five device = new Five(url, name)) {
      device.options.setCleanStart(false);
      device.options.setSessionExpiryInterval(600L);
      device.connect();
      device.client.subscribe(topic, 1);
    }
    try (Five publisher = new Five(url).connect()) {
      for (int number = 0; number < 20; number++) {
        publisher.publish(topic, "" + number, 1, new MqttProperties());
      }
    }
    try (Five device = new Five(url, name)) {
      device.options.setCleanStart(false);
      device.options.setSessionExpiryInterval(0L);
      device.connect();
      for (int number = 0; number < 20; number++) {
        Suite.equal(device.take(), "" + number, "order");
      }
    }
  }

  private static void will(String url) throws Exception {
    String topic = Suite.unique("java5");
    try (Five watcher = new Five(url).connect()) {
      watcher.client.subscribe(topic, 1);
      Five dying = new Five(url);
      MqttProperties properties = new MqttProperties();
      properties.setContentType("text/plain");
      dying.options.setWill(topic, new org.eclipse.paho.mqttv5.common.MqttMessage(bytes("gone"), 1, false, null));
      dying.options.setWillMessageProperties(properties);
      dying.connect();
      dying.client.disconnectForcibly(0, 1, false);
      dying.client.close();
      var message = watcher.message();
      Suite.equal(message.getProperties().getContentType(), "text/plain", "content type");
    }
  }

  private static void reasonCodes(String url) throws Exception {
    try (Five device = new Five(url)) {
      device.options.setPassword(bytes("wrong"));
      device.connect();
      throw new AssertionError("let in");
    } catch (org.eclipse.paho.mqttv5.common.MqttException refused) {
      boolean told = Set.of(MqttReturnCode.RETURN_CODE_BAD_USERNAME_OR_PASSWORD, MqttReturnCode.RETURN_CODE_NOT_AUTHORIZED).contains(refused.getReasonCode());
      Suite.equal(told, true, "reason code " + refused.getReasonCode());
    }
  }

  private static void shared(String url) throws Exception {
    String topic = Suite.unique("java5");
    String filter = "$share/" + Suite.unique("group") + "/" + topic;
    try (Five one = new Five(url).connect(); Five two = new Five(url).connect(); Five publisher = new Five(url).connect()) {
      one.client.subscribe(filter, 1);
      two.client.subscribe(filter, 1);
      Set<String> sent = new TreeSet<>();
      for (int number = 0; number < 50; number++) {
        publisher.publish(topic, "" + number, 1, new MqttProperties());
        sent.add("" + number);
      }
      Suite.waitUntil("all messages", () -> one.messages.size() + two.messages.size() >= 50);
      List<String> found = new ArrayList<>();
      for (Five member : List.of(one, two)) {
        while (!member.messages.isEmpty()) {
          found.add(member.take());
        }
      }
      Suite.equal(found.size(), 50, "messages");
      Suite.equal(new TreeSet<>(found), sent, "each once");
    }
  }

  private static void reconnects(String url) throws Exception {
    String topic = Suite.unique("java5");
    String name = Suite.unique("java5");
    try (Five device = new Five(url, name)) {
      device.options.setCleanStart(false);
      device.options.setSessionExpiryInterval(600L);
      device.options.setAutomaticReconnect(true);
      device.options.setAutomaticReconnectDelay(1, 1);
      device.connect();
      device.connections.take();
      device.client.subscribe(topic, 2);
      Suite.restartBroker("kill");
      Suite.equal(device.connections.poll(60, TimeUnit.SECONDS), true, "a reconnection");
      device.publish(topic, "after", 2, new MqttProperties());
      Suite.equal(device.take(), "after", "payload");
    }
    try (Five device = new Five(url, name).connect()) {
      Suite.equal(device.client.isConnected(), true, "connected");
    }
  }
}
