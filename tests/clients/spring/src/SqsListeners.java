import io.awspring.cloud.sqs.annotation.SqsListener;
import io.awspring.cloud.sqs.config.SqsMessageListenerContainerFactory;
import io.awspring.cloud.sqs.listener.QueueNotFoundStrategy;
import io.awspring.cloud.sqs.listener.acknowledgement.Acknowledgement;
import io.awspring.cloud.sqs.listener.acknowledgement.handler.AcknowledgementMode;
import io.awspring.cloud.sqs.operations.SqsTemplate;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.IntStream;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.messaging.Message;
import org.springframework.messaging.handler.annotation.Header;
import org.springframework.messaging.support.MessageBuilder;
import software.amazon.awssdk.services.sqs.SqsAsyncClient;
import software.amazon.awssdk.services.sqs.model.QueueAttributeName;

/** A Spring Boot application with Spring Cloud AWS: its listeners, its template, and acknowledgements in every manner. */
@Configuration
@EnableAutoConfiguration
public class SqsListeners {
  private static final String RUN = Suite.unique("spring");

  private static final List<String> plain = Collections.synchronizedList(new ArrayList<>());
  private static final List<Order> orders = Collections.synchronizedList(new ArrayList<>());
  private static final Map<String, Integer> tries = new ConcurrentHashMap<>();
  private static final List<Integer> batches = Collections.synchronizedList(new ArrayList<>());
  private static final Map<String, List<String>> groups = Collections.synchronizedMap(new TreeMap<>());
  private static final List<String> dead = Collections.synchronizedList(new ArrayList<>());

  private static SqsTemplate template;

  /** A payload that travels as JSON. */
  public record Order(int id, String text) {}

  /** The listeners' methods. */
  static class Listeners {
    @SqsListener("${run}-plain")
    public void plain(String body) {
      plain.add(body);
    }

    @SqsListener("${run}-json")
    public void order(Order order) {
      orders.add(order);
    }

    /** Fails at first: the message comes again when its time is over. */
    @SqsListener(queueNames = "${run}-fails", messageVisibilitySeconds = "1")
    public void fails(String body) {
      if (tries.merge(body, 1, Integer::sum) < 2) {
        throw new IllegalStateException("no luck");
      }
    }

    /** Always fails, and goes to the dead letters. */
    @SqsListener(queueNames = "${run}-poison", messageVisibilitySeconds = "1")
    public void poison(String body) {
      throw new IllegalStateException("never any luck with " + body);
    }

    @SqsListener("${run}-dead")
    public void dead(String body) {
      dead.add(body);
    }

    @SqsListener(queueNames = "${run}-batch", factory = "byHand", maxMessagesPerPoll = "10")
    public void batch(List<Message<String>> messages) {
      messages.forEach(Acknowledgement::acknowledge);
      batches.add(messages.size());
    }

    @SqsListener("${run}-groups.fifo")
    public void groups(String body, @Header("Sqs_Msa_MessageGroupId") String group) {
      groups.computeIfAbsent(group, ignored -> Collections.synchronizedList(new ArrayList<>())).add(body);
    }
  }

  @Bean
  Listeners listeners() {
    return new Listeners();
  }

  @Bean
  SqsMessageListenerContainerFactory<Object> defaultSqsListenerContainerFactory(SqsAsyncClient client) {
    return SqsMessageListenerContainerFactory.builder()
        .configure(options -> options.pollTimeout(Duration.ofSeconds(2)).queueNotFoundStrategy(QueueNotFoundStrategy.FAIL))
        .sqsAsyncClient(client)
        .build();
  }

  @Bean
  SqsMessageListenerContainerFactory<Object> byHand(SqsAsyncClient client) {
    return SqsMessageListenerContainerFactory.builder()
        .configure(
            options ->
                options
                    .acknowledgementMode(AcknowledgementMode.MANUAL)
                    .listenerMode(io.awspring.cloud.sqs.listener.ListenerMode.BATCH)
                    .pollTimeout(Duration.ofSeconds(2)))
        .sqsAsyncClient(client)
        .build();
  }

  private static void isEmpty(SqsAsyncClient client, String queue) throws Exception {
    QueueAttributeName[] names = {
      QueueAttributeName.APPROXIMATE_NUMBER_OF_MESSAGES, QueueAttributeName.APPROXIMATE_NUMBER_OF_MESSAGES_NOT_VISIBLE
    };
    String url = client.getQueueUrl(ask -> ask.queueName(queue)).get().queueUrl();
    Suite.waitUntil(
        queue + " is empty",
        () ->
            client.getQueueAttributes(ask -> ask.queueUrl(url).attributeNames(names)).get().attributes().values().stream()
                .allMatch("0"::equals));
  }

  public static void main(String[] arguments) throws Exception {
    String url = Arrays.stream(arguments).filter(word -> !word.startsWith("--")).findFirst().orElseThrow();
    SqsAsyncClient client = SqsClient.connectAsync(url);
    List<String> queues = List.of("-plain", "-json", "-fails", "-batch", "-dead");
    for (String queue : queues) {
      client.createQueue(ask -> ask.queueName(RUN + queue)).get();
    }
    Map<QueueAttributeName, String> policy =
        Map.of(
            QueueAttributeName.REDRIVE_POLICY,
            "{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:000000000000:" + RUN + "-dead\",\"maxReceiveCount\":2}");
    client.createQueue(ask -> ask.queueName(RUN + "-poison").attributes(policy)).get();
    Map<QueueAttributeName, String> fifo =
        Map.of(QueueAttributeName.FIFO_QUEUE, "true", QueueAttributeName.CONTENT_BASED_DEDUPLICATION, "true");
    client.createQueue(ask -> ask.queueName(RUN + "-groups.fifo").attributes(fifo)).get();

    SpringApplication application = new SpringApplication(SqsListeners.class);
    application.setWebApplicationType(WebApplicationType.NONE);
    application.setDefaultProperties(
        Map.of(
            "run", RUN,
            "spring.cloud.aws.endpoint", url,
            "spring.cloud.aws.region.static", "us-east-1",
            "spring.cloud.aws.credentials.access-key", "test",
            "spring.cloud.aws.credentials.secret-key", "test",
            "logging.level.root", "OFF",
            "spring.main.banner-mode", "off"));
    ConfigurableApplicationContext context = application.run();
    template = context.getBean(SqsTemplate.class);

    new Suite()
        .add(
            "listener_gets_what_the_template_sends",
            ignored -> {
              for (int n = 0; n < 20; n++) {
                template.send(RUN + "-plain", "m" + n);
              }
              Suite.waitUntil("twenty messages", () -> plain.size() == 20);
              isEmpty(client, RUN + "-plain");
            })
        .add(
            "payloads_travel_as_json",
            ignored -> {
              List<Message<Order>> sent =
                  IntStream.range(0, 5).mapToObj(n -> MessageBuilder.withPayload(new Order(n, "grüße")).build()).toList();
              Suite.equal(template.sendMany(RUN + "-json", sent).successful().size(), 5, "sent");
              Suite.waitUntil("five orders", () -> orders.size() == 5);
              Suite.equal(orders.contains(new Order(3, "grüße")), true, "an order");
            })
        .add(
            "what_fails_comes_again",
            ignored -> {
              template.send(RUN + "-fails", "a");
              Suite.waitUntil("the second try", () -> tries.getOrDefault("a", 0) == 2);
              isEmpty(client, RUN + "-fails");
            })
        .add(
            "what_always_fails_is_a_dead_letter",
            ignored -> {
              template.send(RUN + "-poison", "poison");
              Suite.waitUntil("the dead letter", 30, () -> dead.contains("poison"));
              isEmpty(client, RUN + "-poison");
            })
        .add(
            "batches_acknowledged_by_hand",
            ignored -> {
              List<Message<String>> sent = IntStream.range(0, 30).mapToObj(n -> MessageBuilder.withPayload("m" + n).build()).toList();
              for (int start = 0; start < 30; start += 10) {
                template.sendMany(RUN + "-batch", sent.subList(start, start + 10));
              }
              Suite.waitUntil("thirty messages", () -> batches.stream().mapToInt(Integer::intValue).sum() == 30);
              isEmpty(client, RUN + "-batch");
            })
        .add(
            "groups_of_a_fifo_queue_in_order",
            ignored -> {
              for (int n = 0; n < 30; n++) {
                String body = "m" + n;
                String group = "g" + n % 3;
                template.send(to -> to.queue(RUN + "-groups.fifo").payload(body).messageGroupId(group));
              }
              Suite.waitUntil("thirty messages", () -> groups.values().stream().mapToInt(List::size).sum() == 30);
              for (int group = 0; group < 3; group++) {
                int first = group;
                List<String> wanted = IntStream.range(0, 10).mapToObj(n -> "m" + (first + 3 * n)).toList();
                Suite.equal(List.copyOf(groups.get("g" + group)), wanted, "group " + group);
              }
            })
        .run(arguments);
  }
}
