// Runs the cases of one client program and says which of them failed.
//
// Called as the programs of the other languages are (see ../python/suite.py):
//
//     node PROGRAM URL [--restarts] [--common] [CASE ...]

const { randomUUID } = require('node:crypto');
const readline = require('node:readline');

const cases = [];

/** Registers a case, which is called with the broker's URL. */
function test(name, run) {
  cases.push({ name, run, needsRestart: false });
}

/** Registers a case that RabbitMQ 3.10 and its own plugins do not pass: left out with --common. */
function beyondTest(name, run) {
  cases.push({ name, run, needsRestart: false, beyond: true });
}

/** Registers a case that has the broker restarted. */
function restartTest(name, run) {
  cases.push({ name, run, needsRestart: true });
}

/** A name that no other case and no earlier run has used. */
function unique(prefix) {
  return `${prefix}-${randomUUID().slice(0, 13)}`;
}

/** Waits until `condition()` (which may be async) is true, and fails after `seconds`. */
async function waitUntil(condition, what, seconds = 15) {
  const deadline = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

let answers;

/** Has the broker stopped (`kill` is kill -9, `stop` is SIGTERM) and started again on the same data. */
async function restartBroker(how) {
  answers ??= readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  console.log(`@restart ${how}`);
  const { value } = await answers.next();
  if (value !== 'restarted') throw new Error(`answer to @restart: ${value}`);
}

/** Runs the registered cases; exits 1 when one of them failed. */
async function main() {
  const [url, ...rest] = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
  const restarts = process.argv.includes('--restarts');
  const common = process.argv.includes('--common');
  const chosen = cases.filter(
    ({ name, needsRestart, beyond }) =>
      (rest.length === 0 || rest.includes(name)) && (restarts || !needsRestart) && !(common && beyond),
  );
  let failed = 0;
  for (const { name, run } of chosen) {
    const started = Date.now();
    try {
      await run(url);
      console.log(`ok ${name} (${(Date.now() - started) / 1000} s)`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL ${name}\n${error.stack}`);
    }
  }
  console.log(`${chosen.length - failed} cases passed, ${failed} failed`);
  process.exit(failed > 0 || chosen.length === 0 ? 1 : 0);
}

module.exports = { test, beyondTest, restartTest, unique, waitUntil, restartBroker, main };
