// The chat of examples/browser in a real browser, over STOMP and WebSocket.
//
// The URL is that of a listener web_stomp: ws://127.0.0.1:PORT/ws. CHROMIUM is the browser's file.

const assert = require('node:assert/strict');
const path = require('node:path');
const { chromium } = require('playwright-core');
const { serve } = require(path.join(__dirname, '../../../examples/browser/server.js'));
const { test, beyondTest, restartTest, unique, restartBroker, main } = require('./suite');

const PATIENCE = { timeout: 30_000 };

/** Runs `body` with a browser, and with where the chat is served. */
async function browsing(body) {
  const server = await serve(0);
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    // Tests may run as root, and in a container whose /dev/shm is small.
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  });
  try {
    await body(browser, server.address().port);
  } finally {
    await browser.close();
    server.close();
  }
}

/** A window of its own with the chat. */
async function open(browser, place, broker, name, room) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const query = new URLSearchParams({ broker, name, room });
  await page.goto(`http://${place}/?${query}`);
  return page;
}

const connected = (page) => page.waitForSelector('#state[data-state=connected]', PATIENCE);

async function say(page, text) {
  await page.fill('#text', text);
  await page.click('#send');
}

/** Waits for a message that is the page's own, or another's. */
const sees = (page, text, own) =>
  page.waitForSelector(`#messages li${own ? '.own' : ':not(.own)'}:has-text(${JSON.stringify(text)})`, PATIENCE);

test('two_pages_talk_to_each_other', (url) =>
  browsing(async (browser, port) => {
    const [place, room] = [`127.0.0.1:${port}`, unique('room')];
    const ada = await open(browser, place, url, 'Ada', room);
    const ben = await open(browser, place, url, 'Ben', room);
    await Promise.all([connected(ada), connected(ben)]);
    await say(ada, 'Hello, \u{1f30d}!');
    await Promise.all([sees(ada, 'Hello, \u{1f30d}!', true), sees(ben, 'Hello, \u{1f30d}!', false)]);
    assert.equal(await ben.textContent('#messages li b'), 'Ada');
    await say(ben, 'How do you do?');
    await Promise.all([sees(ben, 'How do you do?', true), sees(ada, 'How do you do?', false)]);
    // Who comes later, or is in another room, gets none of it.
    const cleo = await open(browser, place, url, 'Cleo', `${room}-other`);
    await connected(cleo);
    await say(ada, 'Still here?');
    await sees(ben, 'Still here?', false);
    await say(cleo, 'alone');
    await sees(cleo, 'alone', true);
    assert.equal(await cleo.locator('#messages li').count(), 1);
    assert.equal(await ben.locator('#messages li').count(), 3);
  }));

beyondTest('a_page_of_another_host_is_refused', (url) =>
  browsing(async (browser, port) => {
    const page = await open(browser, `localhost:${port}`, url, 'Eve', unique('room'));
    const refused = page.waitForEvent('console', {
      predicate: (message) => message.text().includes('403'),
      ...PATIENCE,
    });
    await page.reload();
    await refused;
    await page.waitForSelector('#state:has-text("no connection")', PATIENCE);
    assert.ok(await page.isDisabled('#send'));
    // The same page by the broker's host may.
    const friend = await open(browser, `127.0.0.1:${port}`, url, 'Fay', unique('room'));
    await connected(friend);
  }));

restartTest('a_page_comes_back_after_a_restart', (url) =>
  browsing(async (browser, port) => {
    const [place, room] = [`127.0.0.1:${port}`, unique('room')];
    const [ada, ben] = [await open(browser, place, url, 'Ada', room), await open(browser, place, url, 'Ben', room)];
    await Promise.all([connected(ada), connected(ben)]);
    const away = [ada, ben].map((page) => page.waitForSelector('#state[data-state=connecting]', PATIENCE));
    await restartBroker('stop');
    await Promise.all(away);
    await Promise.all([connected(ada), connected(ben)]);
    await say(ada, 'Where were we?');
    await sees(ben, 'Where were we?', false);
  }));

main();
