import com.rabbitmq.client.Channel;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.aopalliance.intercept.MethodInterceptor;
import org.springframework.amqp.AmqpRejectAndDontRequeueException;
import org.springframework.amqp.core.AcknowledgeMode;
import org.springframework.amqp.core.Message;
import org.springframework.amqp.core.MessageListener;
import org.springframework.amqp.core.MessagePostProcessor;
import org.springframework.amqp.core.Queue;
import org.springframework.amqp.core.QueueBuilder;
import org.springframework.amqp.rabbit.config.RetryInterceptorBuilder;
import org.springframework.amqp.rabbit.connection.CachingConnectionFactory;
import org.springframework.amqp.rabbit.core.RabbitAdmin;
import org.springframework.amqp.rabbit.core.RabbitTemplate;
import org.springframework.amqp.rabbit.listener.DirectMessageListenerContainer;
import org.springframework.amqp.rabbit.listener.MessageListenerContainer;
import org.springframework.amqp.rabbit.listener.SimpleMessageListenerContainer;
import org.springframework.amqp.rabbit.retry.RepublishMessageRecoverer;

/** Retries as Spring AMQP's users have them: in the listener and then republished, or by dead letters that count. */
public final class SpringRetries {
  private static final int JOBS = 20;

  public static void main(String[] arguments) {
    new Suite()
        .add("republish_message_recoverer", SpringRetries::republish)
        .add("dead_letters_that_count", SpringRetries::count)
        .add("a_quorum_queue_with_a_delivery_limit", SpringRetries::deliveryLimit)
        .add("priorities_and_replies", SpringRetries::replies)
        .run(arguments);
  }

  /** One connection factory, template and admin for a case. */
  private record Spring(CachingConnectionFactory factory, RabbitTemplate template, RabbitAdmin admin) implements AutoCloseable {
    static Spring open(String url) {
      CachingConnectionFactory factory = new CachingConnectionFactory();
      factory.setUri(url);
      factory.setPublisherConfirmType(CachingConnectionFactory.ConfirmType.SIMPLE);
      return new Spring(factory, new RabbitTemplate(factory), new RabbitAdmin(factory));
    }

    String declare(QueueBuilder builder) {
      Queue queue = builder.build();
      admin.declareQueue(queue);
      return queue.getName();
    }

    int depth(String queue) {
      return admin.getQueueInfo(queue).getMessageCount();
    }

    void send(String queue, int count) {
      template.invoke(operations -> {
        for (int number = 0; number < count; number++) {
          operations.convertAndSend("", queue, "job " + number);
        }
        operations.waitForConfirmsOrDie(15_000);
        return null;
      });
    }

    void delete(String... queues) {
      List.of(queues).forEach(admin::deleteQueue);
    }

    @Override
    public void close() {
      factory.destroy();
    }
  }

  private static MessageListenerContainer started(MessageListenerContainer container) {
    container.start();
    return container;
  }

  /** Three attempts in the listener with a back-off; then to an error queue with the stack trace as a header. */
  private static void republish(String url) throws Exception {
    try (Spring spring = Spring.open(url)) {
      String work = spring.declare(QueueBuilder.durable(Suite.unique("spring-work")));
      String errors = spring.declare(QueueBuilder.durable(Suite.unique("spring-errors")));
      Map<String, AtomicInteger> attempts = new ConcurrentHashMap<>();
      SimpleMessageListenerContainer container = new SimpleMessageListenerContainer(spring.factory());
      container.setQueueNames(work);
      container.setConcurrentConsumers(2);
      container.setPrefetchCount(5);
      container.setAdviceChain((MethodInterceptor)
          RetryInterceptorBuilder.stateless()
              .maxAttempts(3)
              .backOffOptions(10, 2, 50)
              .recoverer(new RepublishMessageRecoverer(spring.template(), "", errors))
              .build());
      container.setMessageListener((MessageListener) message -> {
        String body = new String(message.getBody());
        attempts.computeIfAbsent(body, absent -> new AtomicInteger()).incrementAndGet();
        throw new IllegalStateException("no luck with " + body);
      });
      container.afterPropertiesSet();
      started(container);
      spring.send(work, JOBS);
      Suite.waitUntil("all have failed for good", 30, () -> spring.depth(errors) == JOBS);
      container.stop();
      Suite.equal(attempts.size(), JOBS, "jobs that were tried");
      attempts.forEach((body, count) -> Suite.equal(count.get(), 3, "attempts of " + body));
      Message failed = spring.template().receive(errors, 15_000);
      Map<String, Object> headers = failed.getMessageProperties().getHeaders();
      Suite.equal(headers.get("x-exception-message").toString().startsWith("no luck with job"), true, "x-exception-message");
      Suite.equal(headers.get("x-exception-stacktrace").toString().contains("IllegalStateException"), true, "stack trace");
      Suite.equal(headers.get("x-original-routingKey"), work, "x-original-routingKey");
      Suite.equal(spring.depth(work), 0, "left");
      spring.delete(work, errors);
    }
  }

  /** work -rejected-> wait -expired-> work; the count that the broker keeps in x-death decides when to give up. */
  private static void count(String url) throws Exception {
    try (Spring spring = Spring.open(url)) {
      String parked = spring.declare(QueueBuilder.durable(Suite.unique("spring-parked")));
      String work = Suite.unique("spring-work");
      String wait = Suite.unique("spring-wait");
      spring.declare(QueueBuilder.durable(work).deadLetterExchange("").deadLetterRoutingKey(wait));
      spring.declare(QueueBuilder.durable(wait).deadLetterExchange("").deadLetterRoutingKey(work).ttl(100));
      Map<String, AtomicInteger> attempts = new ConcurrentHashMap<>();
      DirectMessageListenerContainer container = new DirectMessageListenerContainer(spring.factory());
      container.setQueueNames(work);
      container.setDefaultRequeueRejected(false);
      container.setMessageListener((MessageListener) message -> {
        List<Map<String, ?>> deaths = message.getMessageProperties().getXDeathHeader();
        long failed = deaths == null ? 0
            : deaths.stream().filter(row -> row.get("queue").equals(work)).mapToLong(row -> (Long) row.get("count")).sum();
        String body = new String(message.getBody());
        int before = attempts.computeIfAbsent(body, absent -> new AtomicInteger()).getAndIncrement();
        Suite.equal(failed, (long) before, "x-death counts of " + body);
        if (failed < 3) {
          throw new AmqpRejectAndDontRequeueException("later");
        }
        spring.template().send("", parked, message);
      });
      container.afterPropertiesSet();
      started(container);
      spring.send(work, JOBS);
      Suite.waitUntil("all are parked", 30, () -> spring.depth(parked) == JOBS);
      Suite.waitUntil("nothing is left", () -> spring.depth(work) + spring.depth(wait) == 0);
      container.stop();
      attempts.forEach((body, tries) -> Suite.equal(tries.get(), 4, "attempts of " + body));
      spring.delete(work, wait, parked);
    }
  }

  private static void deliveryLimit(String url) throws Exception {
    try (Spring spring = Spring.open(url)) {
      String dead = spring.declare(QueueBuilder.durable(Suite.unique("spring-dead")));
      String work = Suite.unique("spring-quorum");
      spring.declare(QueueBuilder.durable(work).quorum().deliveryLimit(2).deadLetterExchange("").deadLetterRoutingKey(dead));
      ConcurrentLinkedQueue<Long> counts = new ConcurrentLinkedQueue<>();
      SimpleMessageListenerContainer container = new SimpleMessageListenerContainer(spring.factory());
      container.setQueueNames(work);
      container.setAcknowledgeMode(AcknowledgeMode.AUTO);
      container.setMessageListener((MessageListener) message -> {
        Object count = message.getMessageProperties().getHeaders().get("x-delivery-count");
        counts.add(count == null ? 0L : (Long) count);
        throw new IllegalStateException("again");
      });
      container.afterPropertiesSet();
      started(container);
      spring.send(work, 1);
      Suite.waitUntil("given up", 30, () -> spring.depth(dead) == 1);
      container.stop();
      Suite.equal(List.copyOf(counts), List.of(0L, 1L, 2L), "x-delivery-count");
      Message letter = spring.template().receive(dead, 15_000);
      Suite.equal(letter.getMessageProperties().getXDeathHeader().get(0).get("reason"), "delivery_limit", "reason");
      spring.delete(work, dead);
    }
  }

  /** RabbitTemplate asks by direct reply-to; a queue with priorities answers the urgent ones first. */
  private static void replies(String url) throws Exception {
    try (Spring spring = Spring.open(url)) {
      String questions = Suite.unique("spring-questions");
      spring.declare(QueueBuilder.durable(questions).maxPriority(10));
      DirectMessageListenerContainer container = new DirectMessageListenerContainer(spring.factory());
      container.setQueueNames(questions);
      ConcurrentLinkedQueue<String> replyTo = new ConcurrentLinkedQueue<>();
      container.setMessageListener((org.springframework.amqp.rabbit.listener.api.ChannelAwareMessageListener)
          (Message message, Channel channel) -> {
            replyTo.add(message.getMessageProperties().getReplyTo());
            channel.basicPublish("", message.getMessageProperties().getReplyTo(),
                new com.rabbitmq.client.AMQP.BasicProperties.Builder()
                    .correlationId(message.getMessageProperties().getCorrelationId()).contentType("text/plain").build(),
                AmqpClient.bytes(new String(message.getBody()) + "!"));
          });
      container.afterPropertiesSet();
      started(container);
      MessagePostProcessor urgent = message -> {
        message.getMessageProperties().setPriority(7);
        return message;
      };
      spring.template().setReplyTimeout(15_000);
      for (int number = 0; number < 50; number++) {
        Object answer = spring.template().convertSendAndReceive("", questions, "question " + number, urgent);
        Suite.equal(answer, "question " + number + "!", "answer");
      }
      replyTo.forEach(address -> Suite.equal(address.startsWith("amq.rabbitmq.reply-to."), true, address));
      container.stop();
      spring.delete(questions);
    }
  }
}
