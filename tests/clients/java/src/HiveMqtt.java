import com.hivemq.client.mqtt.MqttClient;
import com.hivemq.client.mqtt.MqttGlobalPublishFilter;
import com.hivemq.client.mqtt.datatypes.MqttQos;
import com.hivemq.client.mqtt.datatypes.MqttUtf8String;
import com.hivemq.client.mqtt.mqtt3.Mqtt3AsyncClient;
import com.hivemq.client.mqtt.mqtt3.message.publish.Mqtt3Publish;
import com.hivemq.client.mqtt.mqtt5.Mqtt5AsyncClient;
import com.hivemq.client.mqtt.mqtt5.Mqtt5ClientConfig;
import com.hivemq.client.mqtt.mqtt5.auth.Mqtt5EnhancedAuthMechanism;
import com.hivemq.client.mqtt.mqtt5.exceptions.Mqtt5ConnAckException;
import com.hivemq.client.mqtt.mqtt5.message.auth.Mqtt5Auth;
import com.hivemq.client.mqtt.mqtt5.message.auth.Mqtt5AuthBuilder;
import com.hivemq.client.mqtt.mqtt5.message.auth.Mqtt5EnhancedAuthBuilder;
import com.hivemq.client.mqtt.mqtt5.message.connect.Mqtt5Connect;
import com.hivemq.client.mqtt.mqtt5.message.connect.connack.Mqtt5ConnAck;
import com.hivemq.client.mqtt.mqtt5.message.connect.connack.Mqtt5ConnAckReasonCode;
import com.hivemq.client.mqtt.mqtt5.message.disconnect.Mqtt5Disconnect;
import com.hivemq.client.mqtt.mqtt5.message.publish.Mqtt5Publish;
import com.hivemq.client.mqtt.mqtt5.message.subscribe.suback.Mqtt5SubAckReasonCode;
import io.reactivex.Flowable;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import javax.crypto.Mac;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.PBEKeySpec;
import javax.crypto.spec.SecretKeySpec;

/** MQTT 3.1.1 and 5.0 as the HiveMQ client speaks it: futures, streams with back-pressure, and enhanced authentication. */
public final class HiveMqtt {
  public static void main(String[] arguments) {
    new Suite()
        .add("every_quality_of_3_1_1", HiveMqtt::qualities3)
        .add("every_quality_of_5", HiveMqtt::qualities5)
        .add("properties_both_ways", HiveMqtt::properties)
        .add("a_stream_of_publishes", HiveMqtt::stream)
        .add("a_session_is_resumed", HiveMqtt::session)
        .add("a_will_with_a_delay", HiveMqtt::will)
        .add("what_the_broker_restricts", HiveMqtt::restrictions)
        .add("retained_and_its_handling", HiveMqtt::retained)
        .add("shared_subscription", HiveMqtt::shared)
        .add("wrong_credentials", HiveMqtt::credentials)
        .addBeyond("scram_sha_256", HiveMqtt::scram)
        .addBeyond("scram_sha_256_and_again", HiveMqtt::scramAgain)
        .addBeyond("scram_with_a_wrong_password", HiveMqtt::scramRefused)
        .addBeyond("scram_again_with_a_wrong_password", HiveMqtt::scramAgainRefused)
        .addRestart("reconnects_by_itself", HiveMqtt::reconnects)
        .run(arguments);
  }

  private static <T> T got(CompletableFuture<T> future) throws Exception {
    return future.get(15, TimeUnit.SECONDS);
  }

  private static <T> T next(BlockingQueue<T> queue) throws Exception {
    T next = queue.poll(15, TimeUnit.SECONDS);
    if (next == null) {
      throw new AssertionError("nothing within 15 s");
    }
    return next;
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private static String text(Mqtt5Publish message) {
    return new String(message.getPayloadAsBytes(), StandardCharsets.UTF_8);
  }

  private static Mqtt5AsyncClient client(String url, String name) {
    URI place = URI.create(url);
    return MqttClient.builder().useMqttVersion5().identifier(name).serverHost(place.getHost()).serverPort(place.getPort()).buildAsync();
  }

  private static Mqtt5AsyncClient connected(String url) throws Exception {
    Mqtt5AsyncClient client = client(url, Suite.unique("hive"));
    got(client.connectWith().simpleAuth().username("guest").password(bytes("guest")).applySimpleAuth().send());
    return client;
  }

  private static BlockingQueue<Mqtt5Publish> subscribe(Mqtt5AsyncClient client, String filter, MqttQos qos) throws Exception {
    BlockingQueue<Mqtt5Publish> messages = new LinkedBlockingQueue<>();
    var suback = got(client.subscribeWith().topicFilter(filter).qos(qos).callback(messages::add).send());
    Suite.equal(suback.getReasonCodes(), List.of(Mqtt5SubAckReasonCode.fromCode(qos.getCode())), "SUBACK");
    return messages;
  }

  private static void publish(Mqtt5AsyncClient client, String topic, String payload, MqttQos qos) throws Exception {
    var result = got(client.publishWith().topic(topic).payload(bytes(payload)).qos(qos).send());
    Suite.equal(result.getError().isPresent(), false, "error of a publish");
  }

  // --- messages

  private static void qualities3(String url) throws Exception {
    URI place = URI.create(url);
    Mqtt3AsyncClient client =
        MqttClient.builder().useMqttVersion3().identifier(Suite.unique("hive")).serverHost(place.getHost()).serverPort(place.getPort()).buildAsync();
    got(client.connectWith().simpleAuth().username("guest").password(bytes("guest")).applySimpleAuth().send());
    for (MqttQos sent : MqttQos.values()) {
      for (MqttQos granted : MqttQos.values()) {
        String topic = Suite.unique("hive");
        BlockingQueue<Mqtt3Publish> messages = new LinkedBlockingQueue<>();
        got(client.subscribeWith().topicFilter(topic).qos(granted).callback(messages::add).send());
        got(client.publishWith().topic(topic).payload(bytes("payload")).qos(sent).send());
        Suite.equal(next(messages).getQos().getCode(), Math.min(sent.getCode(), granted.getCode()), "QoS");
      }
    }
    got(client.disconnect());
  }

  private static void qualities5(String url) throws Exception {
    Mqtt5AsyncClient client = connected(url);
    for (MqttQos sent : MqttQos.values()) {
      for (MqttQos granted : MqttQos.values()) {
        String topic = Suite.unique("hive");
        BlockingQueue<Mqtt5Publish> messages = subscribe(client, topic, granted);
        publish(client, topic, "payload", sent);
        Mqtt5Publish message = next(messages);
        Suite.equal(message.getQos().getCode(), Math.min(sent.getCode(), granted.getCode()), "QoS");
        Suite.equal(text(message), "payload", "payload");
      }
    }
    got(client.disconnect());
  }

  private static void properties(String url) throws Exception {
    Mqtt5AsyncClient client = connected(url);
    String topic = Suite.unique("hive");
    BlockingQueue<Mqtt5Publish> messages = subscribe(client, topic, MqttQos.EXACTLY_ONCE);
    Mqtt5Publish sent =
        Mqtt5Publish.builder().topic(topic).qos(MqttQos.EXACTLY_ONCE).payload(bytes("x")).contentType("text/plain").responseTopic("back")
            .correlationData(new byte[] {0, -1}).userProperties().add("b", "1").add("a", "2").add("b", "1").applyUserProperties().build();
    got(client.publish(sent));
    Mqtt5Publish found = next(messages);
    Suite.equal(found.getContentType(), sent.getContentType(), "content type");
    Suite.equal(found.getResponseTopic(), sent.getResponseTopic(), "response topic");
    Suite.equal(found.getCorrelationData(), sent.getCorrelationData(), "correlation data");
    Suite.equal(found.getUserProperties(), sent.getUserProperties(), "user properties");
    got(client.disconnect());
  }

  private static void stream(String url) throws Exception {
    Mqtt5AsyncClient receiver = connected(url);
    Mqtt5AsyncClient sender = connected(url);
    String topic = Suite.unique("hive");
    BlockingQueue<Mqtt5Publish> messages = subscribe(receiver, topic, MqttQos.EXACTLY_ONCE);
    Flowable<Mqtt5Publish> all =
        Flowable.range(0, 2000)
            .map(number -> Mqtt5Publish.builder().topic(topic).payload(bytes("" + number)).qos(MqttQos.fromCode(1 + number % 2)).build());
    long failed = sender.toRx().publish(all).filter(result -> result.getError().isPresent()).count().blockingGet();
    Suite.equal(failed, 0L, "publishes that failed");
    int[] last = {-1, -1};
    for (int count = 0; count < 2000; count++) {
      Mqtt5Publish message = next(messages);
      int number = Integer.parseInt(text(message));
      Suite.equal(number % 2, message.getQos().getCode() - 1, "QoS");
      Suite.equal(number > last[number % 2], true, number + " after " + last[number % 2]);
      last[number % 2] = number;
    }
    got(receiver.disconnect());
    got(sender.disconnect());
  }

  private static void session(String url) throws Exception {
    String topic = Suite.unique("hive");
    String name = Suite.unique("hive");
    Mqtt5AsyncClient client = client(url, name);
    Suite.equal(lasting(client, false, 600), false, "session present at first");
    subscribe(client, topic, MqttQos.AT_LEAST_ONCE);
    got(client.disconnect());
    Mqtt5AsyncClient publisher = connected(url);
    for (int number = 0; number < 20; number++) {
      publish(publisher, topic, "" + number, MqttQos.EXACTLY_ONCE);
    }
    got(publisher.disconnect());
    BlockingQueue<Mqtt5Publish> messages = new LinkedBlockingQueue<>();
    Mqtt5AsyncClient again = client(url, name);
    again.publishes(MqttGlobalPublishFilter.ALL, messages::add);
    Suite.equal(lasting(again, false, 600), true, "session present");
    for (int number = 0; number < 20; number++) {
      Suite.equal(text(next(messages)), "" + number, "order");
    }
    got(again.disconnect());
    Mqtt5AsyncClient clean = client(url, name);
    Suite.equal(lasting(clean, true, 0), false, "session present after a clean start");
    got(clean.disconnect());
  }

  private static boolean lasting(Mqtt5AsyncClient client, boolean clean, long seconds) throws Exception {
    return got(client.connectWith().cleanStart(clean).sessionExpiryInterval(seconds).simpleAuth().username("guest").password(bytes("guest"))
            .applySimpleAuth().send()).isSessionPresent();
  }

  private static void will(String url) throws Exception {
    String topic = Suite.unique("hive");
    Mqtt5AsyncClient watcher = connected(url);
    BlockingQueue<Mqtt5Publish> messages = subscribe(watcher, topic, MqttQos.AT_LEAST_ONCE);
    Mqtt5AsyncClient dying = client(url, Suite.unique("hive"));
    got(dying.connectWith().sessionExpiryInterval(600).simpleAuth().username("guest").password(bytes("guest")).applySimpleAuth()
        .willPublish().topic(topic).payload(bytes("gone")).qos(MqttQos.AT_LEAST_ONCE).delayInterval(1).contentType("text/plain").applyWillPublish()
        .send());
    got(dying.disconnectWith().reasonCode(com.hivemq.client.mqtt.mqtt5.message.disconnect.Mqtt5DisconnectReasonCode.DISCONNECT_WITH_WILL_MESSAGE).send());
    Mqtt5Publish message = next(messages);
    Suite.equal(List.of(text(message), message.getContentType().get().toString()), List.of("gone", "text/plain"), "will");
    got(watcher.disconnect());
  }

  private static void restrictions(String url) throws Exception {
    Mqtt5AsyncClient client = client(url, Suite.unique("hive"));
    Mqtt5ConnAck connack = got(client.connectWith().simpleAuth().username("guest").password(bytes("guest")).applySimpleAuth().send());
    var can = connack.getRestrictions();
    Suite.equal(List.of(can.getMaximumQos(), can.isRetainAvailable(), can.isSharedSubscriptionAvailable(), can.isWildcardSubscriptionAvailable(), can.areSubscriptionIdentifiersAvailable()),
        List.of(MqttQos.EXACTLY_ONCE, true, true, true, true), "what the broker can");
    got(client.disconnect());
  }

  private static void retained(String url) throws Exception {
    String topic = Suite.unique("hive");
    Mqtt5AsyncClient client = connected(url);
    got(client.publishWith().topic(topic).payload(bytes("kept")).qos(MqttQos.AT_LEAST_ONCE).retain(true).send());
    BlockingQueue<Mqtt5Publish> messages = subscribe(client, topic, MqttQos.AT_LEAST_ONCE);
    Mqtt5Publish message = next(messages);
    Suite.equal(List.of(text(message), message.isRetain()), List.of("kept", true), "retained message");
    got(client.publishWith().topic(topic).qos(MqttQos.AT_LEAST_ONCE).retain(true).send());
    Suite.equal(next(messages).getPayload().isPresent(), false, "payload of the message that clears");
    got(client.disconnect());
  }

  private static void shared(String url) throws Exception {
    String topic = Suite.unique("hive");
    String filter = "$share/" + Suite.unique("group") + "/" + topic;
    Mqtt5AsyncClient one = connected(url);
    Mqtt5AsyncClient two = connected(url);
    List<BlockingQueue<Mqtt5Publish>> queues = List.of(subscribe(one, filter, MqttQos.EXACTLY_ONCE), subscribe(two, filter, MqttQos.EXACTLY_ONCE));
    Set<String> sent = new TreeSet<>();
    for (int number = 0; number < 50; number++) {
      publish(one, topic, "" + number, MqttQos.EXACTLY_ONCE);
      sent.add("" + number);
    }
    Suite.waitUntil("all messages", () -> queues.stream().mapToInt(BlockingQueue::size).sum() >= 50);
    List<String> found = new ArrayList<>();
    queues.forEach(queue -> queue.forEach(message -> found.add(text(message))));
    Suite.equal(found.size(), 50, "messages");
    Suite.equal(new TreeSet<>(found), sent, "each once");
    got(one.disconnect());
    got(two.disconnect());
  }

  // --- logins

  private static void credentials(String url) throws Exception {
    Mqtt5AsyncClient client = client(url, Suite.unique("hive"));
    refused(client.connectWith().simpleAuth().username("guest").password(bytes("wrong")).applySimpleAuth().send());
  }

  private static void refused(CompletableFuture<Mqtt5ConnAck> connack) throws Exception {
    try {
      got(connack);
    } catch (ExecutionException problem) {
      if (problem.getCause() instanceof Mqtt5ConnAckException told) {
        Mqtt5ConnAckReasonCode code = told.getMqttMessage().getReasonCode();
        boolean expected = Set.of(Mqtt5ConnAckReasonCode.BAD_USER_NAME_OR_PASSWORD, Mqtt5ConnAckReasonCode.NOT_AUTHORIZED).contains(code);
        Suite.equal(expected, true, "reason code " + code);
        return;
      }
      throw problem;
    }
    throw new AssertionError("let in");
  }

  /** The client's side of SCRAM-SHA-256 (RFC 5802 and 7677). */
  private static final class Scram implements Mqtt5EnhancedAuthMechanism {
    private final String user;
    String password;
    private String firstBare;
    private byte[] serverSignature;
    /** How often the broker has proved that it knows the password. */
    int proofs;
    int again;

    Scram(String user, String password) {
      this.user = user;
      this.password = password;
    }

    @Override
    public MqttUtf8String getMethod() {
      return MqttUtf8String.of("SCRAM-SHA-256");
    }

    @Override
    public int getTimeout() {
      return 15;
    }

    private byte[] first() {
      firstBare = "n=" + user + ",r=" + UUID.randomUUID().toString().replace("-", "");
      return bytes("n,," + firstBare);
    }

    @Override
    public CompletableFuture<Void> onAuth(Mqtt5ClientConfig config, Mqtt5Connect connect, Mqtt5EnhancedAuthBuilder auth) {
      auth.data(first());
      return CompletableFuture.completedFuture(null);
    }

    @Override
    public CompletableFuture<Void> onReAuth(Mqtt5ClientConfig config, Mqtt5AuthBuilder auth) {
      auth.data(first());
      return CompletableFuture.completedFuture(null);
    }

    @Override
    public CompletableFuture<Boolean> onContinue(Mqtt5ClientConfig config, Mqtt5Auth auth, Mqtt5AuthBuilder answer) {
      try {
        String serverFirst = string(auth.getData().orElseThrow());
        String nonce = field(serverFirst, "r=");
        byte[] salt = Base64.getDecoder().decode(field(serverFirst, "s="));
        int rounds = Integer.parseInt(field(serverFirst, "i="));
        if (!nonce.startsWith(field(firstBare, "r=")) || rounds < 4096) {
          return CompletableFuture.completedFuture(false);
        }
        byte[] salted =
            SecretKeyFactory.getInstance("PBKDF2WithHmacSHA256").generateSecret(new PBEKeySpec(password.toCharArray(), salt, rounds, 256)).getEncoded();
        byte[] clientKey = mac(salted, "Client Key");
        byte[] storedKey = MessageDigest.getInstance("SHA-256").digest(clientKey);
        String withoutProof = "c=biws,r=" + nonce;
        String message = firstBare + "," + serverFirst + "," + withoutProof;
        byte[] proof = mac(storedKey, message);
        for (int at = 0; at < proof.length; at++) {
          proof[at] ^= clientKey[at];
        }
        serverSignature = mac(mac(salted, "Server Key"), message);
        answer.data(bytes(withoutProof + ",p=" + Base64.getEncoder().encodeToString(proof)));
        return CompletableFuture.completedFuture(true);
      } catch (Exception problem) {
        return CompletableFuture.failedFuture(problem);
      }
    }

    private static String string(ByteBuffer data) {
      return StandardCharsets.UTF_8.decode(data.duplicate()).toString();
    }

    private static String field(String message, String name) {
      for (String part : message.split(",")) {
        if (part.startsWith(name)) {
          return part.substring(name.length());
        }
      }
      throw new AssertionError(name + " is missing in " + message);
    }

    private static byte[] mac(byte[] key, String text) throws Exception {
      Mac mac = Mac.getInstance("HmacSHA256");
      mac.init(new SecretKeySpec(key, "HmacSHA256"));
      return mac.doFinal(bytes(text));
    }

    private CompletableFuture<Boolean> proved(java.util.Optional<ByteBuffer> data) {
      boolean right = data.isPresent() && MessageDigest.isEqual(Base64.getDecoder().decode(field(string(data.get()), "v=")), serverSignature);
      proofs += right ? 1 : 0;
      return CompletableFuture.completedFuture(right);
    }

    @Override
    public CompletableFuture<Boolean> onAuthSuccess(Mqtt5ClientConfig config, Mqtt5ConnAck connack) {
      return proved(connack.getEnhancedAuth().flatMap(auth -> auth.getData()));
    }

    @Override
    public CompletableFuture<Boolean> onReAuthSuccess(Mqtt5ClientConfig config, Mqtt5Auth auth) {
      again++;
      return proved(auth.getData());
    }

    @Override
    public void onAuthRejected(Mqtt5ClientConfig config, Mqtt5ConnAck connack) {}

    @Override
    public void onReAuthRejected(Mqtt5ClientConfig config, Mqtt5Disconnect disconnect) {}

    @Override
    public void onAuthError(Mqtt5ClientConfig config, Throwable cause) {}

    @Override
    public void onReAuthError(Mqtt5ClientConfig config, Throwable cause) {}
  }

  private static void scram(String url) throws Exception {
    Scram scram = new Scram("guest", "guest");
    Mqtt5AsyncClient client = client(url, Suite.unique("scram"));
    got(client.connectWith().enhancedAuth(scram).send());
    Suite.equal(scram.proofs, 1, "proofs of the broker");
    String topic = Suite.unique("scram");
    BlockingQueue<Mqtt5Publish> messages = subscribe(client, topic, MqttQos.AT_LEAST_ONCE);
    publish(client, topic, "x", MqttQos.AT_LEAST_ONCE);
    next(messages);
    got(client.disconnect());
  }

  private static void scramAgain(String url) throws Exception {
    Scram scram = new Scram("guest", "guest");
    Mqtt5AsyncClient client = client(url, Suite.unique("scram"));
    got(client.connectWith().enhancedAuth(scram).send());
    String topic = Suite.unique("scram");
    BlockingQueue<Mqtt5Publish> messages = subscribe(client, topic, MqttQos.AT_LEAST_ONCE);
    for (int round = 1; round <= 3; round++) {
      CompletableFuture<Void> again = client.reauth();
      // Messages go on meanwhile.
      publish(client, topic, "x", MqttQos.AT_LEAST_ONCE);
      got(again);
      Suite.equal(List.of(scram.proofs, scram.again), List.of(1 + round, round), "proofs of the broker");
      next(messages);
    }
    got(client.disconnect());
  }

  private static void scramRefused(String url) throws Exception {
    refused(client(url, Suite.unique("scram")).connectWith().enhancedAuth(new Scram("guest", "wrong")).send());
    refused(client(url, Suite.unique("scram")).connectWith().enhancedAuth(new Scram("nobody", "guest")).send());
  }

  private static void scramAgainRefused(String url) throws Exception {
    Scram scram = new Scram("guest", "guest");
    Mqtt5AsyncClient client = client(url, Suite.unique("scram"));
    got(client.connectWith().enhancedAuth(scram).send());
    scram.password = "wrong";
    try {
      got(client.reauth());
      throw new AssertionError("authenticated again with a wrong password");
    } catch (ExecutionException refused) {
      Suite.waitUntil("the end of the connection", () -> !client.getState().isConnected());
    }
  }

  // --- restarts

  private static void reconnects(String url) throws Exception {
    URI place = URI.create(url);
    BlockingQueue<Boolean> connections = new LinkedBlockingQueue<>();
    String name = Suite.unique("hive");
    Mqtt5AsyncClient client =
        MqttClient.builder().useMqttVersion5().identifier(name).serverHost(place.getHost()).serverPort(place.getPort())
            .automaticReconnect().initialDelay(100, TimeUnit.MILLISECONDS).maxDelay(300, TimeUnit.MILLISECONDS).applyAutomaticReconnect()
            .addConnectedListener(context -> connections.add(true)).buildAsync();
    Suite.equal(lasting(client, true, 600), false, "session present at first");
    next(connections);
    String topic = Suite.unique("hive");
    BlockingQueue<Mqtt5Publish> messages = subscribe(client, topic, MqttQos.EXACTLY_ONCE);
    Suite.restartBroker("kill");
    Suite.equal(connections.poll(60, TimeUnit.SECONDS), true, "a reconnection");
    publish(client, topic, "after", MqttQos.EXACTLY_ONCE);
    Suite.equal(text(next(messages)), "after", "payload");
    got(client.disconnectWith().sessionExpiryInterval(0).send());
  }
}
