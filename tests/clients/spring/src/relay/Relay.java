package relay;

import static org.springframework.boot.WebApplicationType.SERVLET;

import java.lang.reflect.Type;
import java.net.URI;
import java.security.Principal;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.web.servlet.context.ServletWebServerApplicationContext;
import org.springframework.context.event.EventListener;
import org.springframework.http.server.ServerHttpRequest;
import org.springframework.messaging.handler.annotation.DestinationVariable;
import org.springframework.messaging.handler.annotation.MessageMapping;
import org.springframework.messaging.handler.annotation.SendTo;
import org.springframework.messaging.simp.SimpMessagingTemplate;
import org.springframework.messaging.simp.annotation.SendToUser;
import org.springframework.messaging.simp.broker.BrokerAvailabilityEvent;
import org.springframework.messaging.simp.config.MessageBrokerRegistry;
import org.springframework.messaging.simp.stomp.StompFrameHandler;
import org.springframework.messaging.simp.stomp.StompHeaders;
import org.springframework.messaging.simp.stomp.StompSession;
import org.springframework.messaging.simp.stomp.StompSessionHandlerAdapter;
import org.springframework.messaging.converter.StringMessageConverter;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;
import org.springframework.stereotype.Controller;
import org.springframework.web.socket.WebSocketHandler;
import org.springframework.web.socket.WebSocketHttpHeaders;
import org.springframework.web.socket.client.standard.StandardWebSocketClient;
import org.springframework.web.socket.config.annotation.EnableWebSocketMessageBroker;
import org.springframework.web.socket.config.annotation.StompEndpointRegistry;
import org.springframework.web.socket.config.annotation.WebSocketMessageBrokerConfigurer;
import org.springframework.web.socket.messaging.WebSocketStompClient;
import org.springframework.web.socket.server.support.DefaultHandshakeHandler;
import org.springframework.web.socket.sockjs.client.RestTemplateXhrTransport;
import org.springframework.web.socket.sockjs.client.SockJsClient;
import org.springframework.web.socket.sockjs.client.WebSocketTransport;

/**
 * A Spring Boot application that uses the broker as its full STOMP broker relay, and the browsers that talk through it, as
 * Spring's own WebSocket and SockJS clients. Called as the programs of the other languages are (see ../../python/suite.py).
 */
@SpringBootApplication
@EnableWebSocketMessageBroker
public class Relay implements WebSocketMessageBrokerConfigurer {
  private static final int PATIENCE_S = 30;

  /** Where the broker is; set before the application starts. */
  private static URI broker;

  /** Whether the relay's system connection is up, as it tells. */
  private static volatile boolean available;

  @Override
  public void registerStompEndpoints(StompEndpointRegistry registry) {
    // Whoever connects is whom it says it is.
    DefaultHandshakeHandler byName = new DefaultHandshakeHandler() {
      @Override
      protected Principal determineUser(ServerHttpRequest request, WebSocketHandler handler, Map<String, Object> attributes) {
        String name = Objects.requireNonNullElse(request.getHeaders().getFirst("X-User"), UUID.randomUUID().toString());
        return () -> name;
      }
    };
    registry.setPreserveReceiveOrder(true);
    registry.addEndpoint("/plain").setHandshakeHandler(byName);
    registry.addEndpoint("/sockjs").setHandshakeHandler(byName).withSockJS();
  }

  @Override
  public void configureMessageBroker(MessageBrokerRegistry registry) {
    String[] login = broker.getUserInfo().split(":");
    registry.setApplicationDestinationPrefixes("/app");
    registry.setUserDestinationPrefix("/user");
    registry.setPreservePublishOrder(true);
    registry.enableStompBrokerRelay("/topic", "/queue", "/exchange", "/amq/queue")
        .setRelayHost(broker.getHost())
        .setRelayPort(broker.getPort())
        .setClientLogin(login[0])
        .setClientPasscode(login[1])
        .setSystemLogin(login[0])
        .setSystemPasscode(login[1])
        .setVirtualHost("/")
        .setSystemHeartbeatSendInterval(2000)
        .setSystemHeartbeatReceiveInterval(2000)
        // What one server does not know about users, another one does: messages between them go through the broker, too.
        .setUserDestinationBroadcast("/topic/unresolved-user")
        .setUserRegistryBroadcast("/topic/user-registry");
  }

  @EventListener
  public void onAvailability(BrokerAvailabilityEvent event) {
    available = event.isBrokerAvailable();
  }

  /** What the application does itself. */
  @Controller
  static final class Chat {
    private final SimpMessagingTemplate template;

    Chat(SimpMessagingTemplate template) {
      this.template = template;
    }

    @MessageMapping("/say/{room}")
    void say(@DestinationVariable("room") String room, String text, Principal who) {
      template.convertAndSend("/topic/room." + room, who.getName() + ": " + text);
    }

    @MessageMapping("/echo")
    @SendToUser("/queue/echo")
    String echo(String text) {
      return "echo " + text;
    }

    @MessageMapping("/all")
    @SendTo("/topic/all")
    String all(String text) {
      return "all " + text;
    }

    @MessageMapping("/whisper/{whom}")
    void whisper(@DestinationVariable("whom") String whom, String text, Principal who) {
      template.convertAndSendToUser(whom, "/queue/whispers", who.getName() + " whispers " + text);
    }
  }

  // --- browsers

  /** One browser. */
  private static final class Browser implements AutoCloseable {
    final String name = "user-" + UUID.randomUUID().toString().substring(0, 8);
    private final WebSocketStompClient client;
    private final StompSession session;
    private final ThreadPoolTaskScheduler scheduler = new ThreadPoolTaskScheduler();

    Browser(int port, boolean sockJs) throws Exception {
      StandardWebSocketClient webSocket = new StandardWebSocketClient();
      client = new WebSocketStompClient(sockJs
          ? new SockJsClient(List.of(new WebSocketTransport(webSocket), new RestTemplateXhrTransport()))
          : webSocket);
      client.setMessageConverter(new StringMessageConverter());
      scheduler.initialize();
      client.setTaskScheduler(scheduler);
      client.setDefaultHeartbeat(new long[] {1000, 1000});
      client.setReceiptTimeLimit(PATIENCE_S * 1000L);
      WebSocketHttpHeaders handshake = new WebSocketHttpHeaders();
      handshake.add("X-User", name);
      String url = sockJs ? "http://127.0.0.1:" + port + "/sockjs" : "ws://127.0.0.1:" + port + "/plain";
      session = client.connectAsync(url, handshake, new StompHeaders(), new StompSessionHandlerAdapter() {})
          .get(PATIENCE_S, TimeUnit.SECONDS);
      session.setAutoReceipt(true);
    }

    /** Subscribes; the broker has the subscription when this returns. */
    BlockingQueue<String> listen(String destination) throws Exception {
      BlockingQueue<String> got = new LinkedBlockingQueue<>();
      done(session.subscribe(destination, new StompFrameHandler() {
        @Override
        public Type getPayloadType(StompHeaders headers) {
          return String.class;
        }

        @Override
        public void handleFrame(StompHeaders headers, Object payload) {
          got.add((String) payload);
        }
      }));
      return got;
    }

    /** Subscribes to a destination of the user itself, whose receipt Spring does not pass on. */
    BlockingQueue<String> listenAsUser(String destination) throws Exception {
      session.setAutoReceipt(false);
      BlockingQueue<String> got = new LinkedBlockingQueue<>();
      session.subscribe(destination, new StompFrameHandler() {
        @Override
        public Type getPayloadType(StompHeaders headers) {
          return String.class;
        }

        @Override
        public void handleFrame(StompHeaders headers, Object payload) {
          got.add((String) payload);
        }
      });
      session.setAutoReceipt(true);
      return got;
    }

    void send(String destination, String text) throws Exception {
      done(session.send(destination, text));
    }

    /** To the application, which gives no receipts. */
    void tell(String destination, String text) {
      session.setAutoReceipt(false);
      session.send(destination, text);
      session.setAutoReceipt(true);
    }

    @Override
    public void close() {
      if (session.isConnected()) {
        session.disconnect();
      }
      client.stop();
      scheduler.shutdown();
    }
  }

  private static void done(StompSession.Receiptable receiptable) throws Exception {
    BlockingQueue<Boolean> result = new LinkedBlockingQueue<>();
    receiptable.addReceiptTask(() -> result.add(true));
    receiptable.addReceiptLostTask(() -> result.add(false));
    check(Boolean.TRUE.equals(result.poll(PATIENCE_S, TimeUnit.SECONDS)), "a receipt of " + receiptable.getReceiptId());
  }

  private static void check(boolean holds, String what) {
    if (!holds) {
      throw new AssertionError(what);
    }
  }

  private static void waitUntil(String what, Callable<Boolean> condition) throws Exception {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_S);
    while (!condition.call()) {
      check(System.nanoTime() < deadline, "not within " + PATIENCE_S + " s: " + what);
      Thread.sleep(20);
    }
  }

  private static void expect(BlockingQueue<String> got, String text) throws Exception {
    String came = got.poll(PATIENCE_S, TimeUnit.SECONDS);
    check(text.equals(came), "expected " + text + ", got " + came);
  }

  private static String unique(String prefix) {
    return prefix + "-" + UUID.randomUUID().toString().substring(0, 13);
  }

  // --- cases

  /** A case, which is called with the port of the application. */
  interface Case {
    void run(int port) throws Exception;
  }

  private static void oneMessageReachesTwoBrowsers(int port) throws Exception {
    for (boolean sockJs : new boolean[] {false, true}) {
      try (Browser one = new Browser(port, sockJs); Browser two = new Browser(port, !sockJs)) {
        String room = unique("room");
        BlockingQueue<String> atOne = one.listen("/topic/room." + room);
        BlockingQueue<String> atTwo = two.listen("/topic/room." + room);
        one.tell("/app/say/" + room, "hello");
        expect(atOne, one.name + ": hello");
        expect(atTwo, one.name + ": hello");
        // Past the application, straight to the broker.
        two.send("/topic/room." + room, "direct");
        expect(atOne, "direct");
        expect(atTwo, "direct");
      }
    }
  }

  private static void userDestinations(int port) throws Exception {
    try (Browser one = new Browser(port, true); Browser two = new Browser(port, false)) {
      BlockingQueue<String> echoes = one.listenAsUser("/user/queue/echo");
      BlockingQueue<String> others = two.listenAsUser("/user/queue/echo");
      BlockingQueue<String> whispers = two.listenAsUser("/user/queue/whispers");
      // Spring tells nobody when the broker has such a subscription: messages before that are lost.
      waitUntil("an echo", () -> {
        one.tell("/app/echo", "first");
        return Objects.equals(echoes.poll(200, TimeUnit.MILLISECONDS), "echo first");
      });
      waitUntil("a whisper", () -> {
        one.tell("/app/whisper/" + two.name, "psst");
        return Objects.equals(whispers.poll(200, TimeUnit.MILLISECONDS), one.name + " whispers psst");
      });
      check(others.isEmpty(), "an echo for somebody else: " + others);
    }
  }

  private static void manyBrowsersAndMessages(int port) throws Exception {
    List<Browser> browsers = new ArrayList<>();
    try {
      String topic = "/topic/" + unique("many");
      List<BlockingQueue<String>> all = new ArrayList<>();
      for (int number = 0; number < 10; number++) {
        Browser browser = new Browser(port, number % 2 == 0);
        browsers.add(browser);
        all.add(browser.listen(topic));
      }
      for (int number = 0; number < 100; number++) {
        browsers.get(0).send(topic, "message " + number);
      }
      for (BlockingQueue<String> got : all) {
        for (int number = 0; number < 100; number++) {
          expect(got, "message " + number);
        }
      }
    } finally {
      browsers.forEach(Browser::close);
    }
  }

  private static void queuesAndAcknowledgements(int port) throws Exception {
    String queue = "/queue/" + unique("work");
    try (Browser one = new Browser(port, false)) {
      one.send(queue, "kept while nobody listens");
      try (Browser two = new Browser(port, true)) {
        expect(two.listen(queue), "kept while nobody listens");
      }
    }
  }

  /** The relay's system connection and those of browsers beat every second or two, and stay. */
  private static void heartBeats(int port) throws Exception {
    try (Browser one = new Browser(port, true)) {
      BlockingQueue<String> got = one.listen("/topic/all");
      Thread.sleep(7000); // three times the interval that either side allows
      check(available, "the system connection is still there");
      one.tell("/app/all", "still there");
      expect(got, "all still there");
    }
  }

  /** Without the broker the application says so; with it, it goes on by itself. */
  private static void comesBackWithTheBroker(int port) throws Exception {
    System.out.println("@restart kill");
    check("restarted".equals(new java.io.BufferedReader(new java.io.InputStreamReader(System.in)).readLine()), "restarted");
    waitUntil("the relay is back", () -> {
      try (Browser one = new Browser(port, false)) {
        BlockingQueue<String> got = one.listen("/topic/all");
        one.tell("/app/all", "again");
        return Objects.equals(got.poll(2, TimeUnit.SECONDS), "all again");
      } catch (Exception | AssertionError notYet) {
        return false;
      }
    });
  }

  public static void main(String[] arguments) {
    List<String> words = List.of(arguments);
    broker = URI.create(words.stream().filter(word -> !word.startsWith("--")).findFirst().orElseThrow());
    SpringApplication application = new SpringApplication(Relay.class);
    application.setWebApplicationType(SERVLET);
    application.setDefaultProperties(Map.of("server.port", "0", "server.address", "127.0.0.1", "logging.level.root", "ERROR",
        "spring.main.banner-mode", "off",
        // The other application's, whose libraries are here, too.
        "spring.cloud.aws.sqs.enabled", "false", "spring.cloud.aws.region.static", "us-east-1"));
    ServletWebServerApplicationContext context = (ServletWebServerApplicationContext) application.run();
    int port = context.getWebServer().getPort();
    Map<String, Case> cases = new java.util.LinkedHashMap<>();
    cases.put("one_message_reaches_two_browsers", Relay::oneMessageReachesTwoBrowsers);
    cases.put("user_destinations", Relay::userDestinations);
    cases.put("many_browsers_and_messages", Relay::manyBrowsersAndMessages);
    cases.put("queues_and_acknowledgements", Relay::queuesAndAcknowledgements);
    cases.put("heart_beats", Relay::heartBeats);
    if (words.contains("--restarts")) {
      cases.put("comes_back_with_the_broker", Relay::comesBackWithTheBroker);
    }
    int failed = 0;
    for (Map.Entry<String, Case> entry : cases.entrySet()) {
      long started = System.nanoTime();
      try {
        waitUntil("the system connection", () -> available);
        entry.getValue().run(port);
        System.out.printf("ok %s (%.2f s)%n", entry.getKey(), (System.nanoTime() - started) / 1e9);
      } catch (Exception | AssertionError problem) {
        failed++;
        System.out.println("FAIL " + entry.getKey());
        problem.printStackTrace(System.out);
      }
    }
    System.out.printf("%d cases passed, %d failed%n", cases.size() - failed, failed);
    System.exit(failed > 0 ? 1 : 0);
  }
}
