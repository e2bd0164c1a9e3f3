import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import com.amazon.sqs.javamessaging.AmazonSQSMessagingClientWrapper;
import com.amazon.sqs.javamessaging.ProviderConfiguration;
import com.amazon.sqs.javamessaging.SQSConnection;
import com.amazon.sqs.javamessaging.SQSConnectionFactory;
import com.amazon.sqs.javamessaging.SQSSession;
import jakarta.jms.BytesMessage;
import jakarta.jms.InvalidDestinationException;
import jakarta.jms.JMSException;
import jakarta.jms.Message;
import jakarta.jms.MessageConsumer;
import jakarta.jms.MessageProducer;
import jakarta.jms.ObjectMessage;
import jakarta.jms.Session;
import jakarta.jms.TextMessage;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.slf4j.LoggerFactory;

/** JMS over SQS, with Amazon's own library. */
final class SqsJms {
  private static final int PATIENCE_MS = 15_000;

  private static SQSConnectionFactory factory;

  /** Something that is done with a connection that was started, and a queue's name. */
  private interface Connected {
    void run(SQSConnection connection, String queue) throws Exception;
  }

  private static void connected(Map<String, String> attributes, Connected body) throws Exception {
    SQSConnection connection = factory.createConnection();
    try {
      AmazonSQSMessagingClientWrapper client = connection.getWrappedAmazonSQSClient();
      String queue = Suite.unique("jms") + (attributes.containsKey("FifoQueue") ? ".fifo" : "");
      Suite.equal(client.queueExists(queue), false, "a queue that nobody made");
      client.createQueue(
          software.amazon.awssdk.services.sqs.model.CreateQueueRequest.builder()
              .queueName(queue)
              .attributesWithStrings(attributes)
              .build());
      connection.start();
      body.run(connection, queue);
      // That ends the long polls of 20 s which the library has under way, and which closing waits for.
      String url = client.getQueueUrl(queue).queueUrl();
      client.getAmazonSQSClient().deleteQueue(ask -> ask.queueUrl(url));
    } finally {
      try {
        connection.close();
      } catch (InvalidDestinationException gone) {
        // It wanted to give back what nobody acknowledged, to the queue that is deleted.
      }
    }
  }

  private static Message take(MessageConsumer consumer) throws JMSException {
    Message message = consumer.receive(PATIENCE_MS);
    if (message == null) {
      throw new AssertionError("no message within " + PATIENCE_MS + " ms");
    }
    return message;
  }

  private static void messages(String url) throws Exception {
    connected(
        Map.of(),
        (connection, name) -> {
          Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
          MessageProducer producer = session.createProducer(session.createQueue(name));
          MessageConsumer consumer = session.createConsumer(session.createQueue(name));
          TextMessage text = session.createTextMessage("grüße");
          text.setStringProperty("string", "s");
          text.setIntProperty("int", 7);
          text.setLongProperty("long", 1L << 40);
          text.setBooleanProperty("boolean", true);
          text.setDoubleProperty("double", 1.5);
          text.setJMSCorrelationID("correlation");
          text.setJMSReplyTo(session.createQueue(name));
          producer.send(text);
          TextMessage got = (TextMessage) take(consumer);
          Suite.equal(got.getText(), "grüße", "text");
          Suite.equal(got.getJMSMessageID(), text.getJMSMessageID(), "message id");
          Suite.equal(got.getStringProperty("string"), "s", "string");
          Suite.equal(got.getIntProperty("int"), 7, "int");
          Suite.equal(got.getLongProperty("long"), 1L << 40, "long");
          Suite.equal(got.getBooleanProperty("boolean"), true, "boolean");
          Suite.equal(got.getDoubleProperty("double"), 1.5, "double");
          Suite.equal(got.getJMSCorrelationID(), "correlation", "correlation id");
          Suite.equal(got.getJMSReplyTo(), session.createQueue(name), "reply to");
          Suite.equal(got.getIntProperty("JMSXDeliveryCount"), 1, "delivery count");

          BytesMessage bytes = session.createBytesMessage();
          byte[] all = new byte[256];
          IntStream.range(0, 256).forEach(n -> all[n] = (byte) n);
          bytes.writeBytes(all);
          producer.send(bytes);
          BytesMessage gotBytes = (BytesMessage) take(consumer);
          byte[] read = new byte[256];
          Suite.equal(gotBytes.readBytes(read), 256, "length");
          Suite.equal(read, all, "bytes");

          producer.send(session.createObjectMessage(new ArrayList<>(List.of(1, "two"))));
          Suite.equal(((ObjectMessage) take(consumer)).getObject(), List.of(1, "two"), "object");
        });
  }

  private static void acknowledgements(String url) throws Exception {
    connected(
        Map.of("VisibilityTimeout", "2"),
        (connection, name) -> {
          Session session = connection.createSession(false, SQSSession.UNORDERED_ACKNOWLEDGE);
          MessageProducer producer = session.createProducer(session.createQueue(name));
          for (int n = 0; n < 3; n++) {
            producer.send(session.createTextMessage("m" + n));
          }
          MessageConsumer consumer = session.createConsumer(session.createQueue(name));
          // One of three is not acknowledged, and comes again when its time is over.
          List<String> again = new ArrayList<>();
          for (int n = 0; n < 3; n++) {
            TextMessage message = (TextMessage) take(consumer);
            if (message.getText().equals("m1")) {
              again.add(message.getText());
            } else {
              message.acknowledge();
            }
          }
          TextMessage message = (TextMessage) take(consumer);
          Suite.equal(List.of(message.getText()), again, "what was not acknowledged");
          Suite.equal(message.getJMSRedelivered(), true, "redelivered");
          Suite.equal(message.getIntProperty("JMSXDeliveryCount"), 2, "delivery count");
          message.acknowledge();
        });
  }

  private static void listener(String url) throws Exception {
    connected(
        Map.of(),
        (connection, name) -> {
          Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
          List<String> got = Collections.synchronizedList(new ArrayList<>());
          session
              .createConsumer(session.createQueue(name))
              .setMessageListener(
                  message -> {
                    try {
                      got.add(((TextMessage) message).getText());
                    } catch (JMSException problem) {
                      got.add(problem.toString());
                    }
                  });
          Session senders = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
          MessageProducer producer = senders.createProducer(senders.createQueue(name));
          TreeSet<String> sent = new TreeSet<>();
          for (int n = 0; n < 50; n++) {
            producer.send(senders.createTextMessage("m" + n));
            sent.add("m" + n);
          }
          Suite.waitUntil("fifty messages", 30, () -> got.size() >= 50);
          Suite.equal(new TreeSet<>(got), sent, "messages");
          Suite.equal(got.size(), 50, "messages, each once");
        });
  }

  private static void fifo(String url) throws Exception {
    connected(
        Map.of("FifoQueue", "true", "ContentBasedDeduplication", "true"),
        (connection, name) -> {
          Session session = connection.createSession(false, Session.CLIENT_ACKNOWLEDGE);
          MessageProducer producer = session.createProducer(session.createQueue(name));
          for (int n = 0; n < 12; n++) {
            TextMessage message = session.createTextMessage("m" + n);
            message.setStringProperty("JMSXGroupID", "g");
            message.setStringProperty("JMS_SQS_DeduplicationId", "d" + n);
            producer.send(message);
          }
          MessageConsumer consumer = session.createConsumer(session.createQueue(name));
          String last = "";
          for (int n = 0; n < 12; n++) {
            TextMessage message = (TextMessage) take(consumer);
            Suite.equal(message.getText(), "m" + n, "order");
            Suite.equal(message.getStringProperty("JMSXGroupID"), "g", "group");
            Suite.equal(message.getStringProperty("JMS_SQS_DeduplicationId"), "d" + n, "deduplication id");
            String number = message.getStringProperty("JMS_SQS_SequenceNumber");
            Suite.equal(number.compareTo(last) > 0, true, "sequence numbers rise");
            last = number;
            message.acknowledge();
          }
        });
  }

  public static void main(String[] arguments) {
    String url = Arrays.stream(arguments).filter(word -> !word.startsWith("--")).findFirst().orElseThrow();
    ((Logger) LoggerFactory.getLogger("com.amazon.sqs")).setLevel(Level.OFF);
    factory = new SQSConnectionFactory(new ProviderConfiguration(), SqsClient.connect(url));
    new Suite()
        .add("messages_and_properties", SqsJms::messages)
        .add("acknowledgements", SqsJms::acknowledgements)
        .add("listener", SqsJms::listener)
        .add("fifo", SqsJms::fifo)
        .run(arguments);
  }
}
