import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.Callable;

/**
 * Runs the cases of one client program and says which of them failed. The program is called as those of the other
 * languages are (see ../../python/suite.py): PROGRAM URL [--restarts] [--common] [CASE ...]
 */
final class Suite {
  /** One case, which is called with the broker's URL. */
  interface Case {
    void run(String url) throws Exception;
  }

  private static final BufferedReader STDIN = new BufferedReader(new InputStreamReader(System.in));

  private final Map<String, Case> cases = new LinkedHashMap<>();
  private final Set<String> needRestart = new TreeSet<>();
  private final Set<String> beyond = new TreeSet<>();

  Suite add(String name, Case run) {
    cases.put(name, run);
    return this;
  }

  /** Adds a case that has the broker restarted. */
  Suite addRestart(String name, Case run) {
    needRestart.add(name);
    return add(name, run);
  }

  /** Adds a case that RabbitMQ 3.10 and its own plugins do not pass: left out with --common. */
  Suite addBeyond(String name, Case run) {
    beyond.add(name);
    return add(name, run);
  }

  /** Runs the cases; ends the process with 1 when one of them failed. */
  void run(String[] arguments) {
    boolean restarts = Arrays.asList(arguments).contains("--restarts");
    boolean common = Arrays.asList(arguments).contains("--common");
    List<String> words = Arrays.stream(arguments).filter(word -> !word.startsWith("--")).toList();
    String url = words.get(0);
    List<String> names = words.subList(1, words.size());
    int passed = 0;
    int failed = 0;
    for (Map.Entry<String, Case> entry : cases.entrySet()) {
      String name = entry.getKey();
      if ((!names.isEmpty() && !names.contains(name))
          || (needRestart.contains(name) && !restarts)
          || (beyond.contains(name) && common)) {
        continue;
      }
      long started = System.nanoTime();
      try {
        entry.getValue().run(url);
        passed++;
        System.out.printf("ok %s (%.2f s)%n", name, (System.nanoTime() - started) / 1e9);
      } catch (Exception | AssertionError problem) {
        failed++;
        System.out.println("FAIL " + name);
        problem.printStackTrace(System.out);
      }
    }
    System.out.printf("%d cases passed, %d failed%n", passed, failed);
    System.exit(failed > 0 || passed == 0 ? 1 : 0);
  }

  /** A name that no other case and no earlier run has used. */
  static String unique(String prefix) {
    return prefix + "-" + UUID.randomUUID().toString().substring(0, 13);
  }

  static void equal(Object actual, Object expected, String what) {
    if (!Objects.deepEquals(actual, expected)) {
      throw new AssertionError(what + ": expected " + expected + ", got " + actual);
    }
  }

  /** Asks again and again until the condition holds. */
  static void waitUntil(String what, int seconds, Callable<Boolean> condition) throws Exception {
    long deadline = System.nanoTime() + seconds * 1_000_000_000L;
    while (!condition.call()) {
      if (System.nanoTime() > deadline) {
        throw new AssertionError("not within " + seconds + " s: " + what);
      }
      Thread.sleep(20);
    }
  }

  static void waitUntil(String what, Callable<Boolean> condition) throws Exception {
    waitUntil(what, 15, condition);
  }

  /** Has the broker stopped ("kill" is kill -9, "stop" is SIGTERM) and started again on the same data. */
  static void restartBroker(String how) throws Exception {
    System.out.println("@restart " + how);
    equal(STDIN.readLine(), "restarted", "answer to @restart");
  }
}
