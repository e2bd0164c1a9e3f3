// A room is a topic: whoever subscribes to it gets what anybody sends to it. The address of the page may say more:
// ?room=kitchen&name=Ada&broker=ws://localhost:15674/ws

const address = new URLSearchParams(location.search);
const room = `/topic/chat.${address.get('room') ?? 'lobby'}`;
const broker = address.get('broker') ?? `ws://${location.hostname}:15674/ws`;

const [state, name, messages, form, text, send] = ['state', 'name', 'messages', 'form', 'text', 'send'].map((id) =>
  document.getElementById(id),
);
name.value = address.get('name') ?? `guest ${Math.floor(Math.random() * 1000)}`;

// Tells one's own messages from those of others with the same name.
const me = crypto.getRandomValues(new Uint32Array(2)).join('-');

function show(now, words) {
  state.dataset.state = now;
  state.textContent = words;
  send.disabled = now !== 'connected';
}

function add({ from, said, page }) {
  const item = document.createElement('li');
  const who = document.createElement('b');
  who.textContent = from;
  item.append(who, said);
  item.classList.toggle('own', page === me);
  messages.append(item);
  item.scrollIntoView({ block: 'end' });
}

// A browser does not tell a page why a connection failed: that the page may not connect, or that nobody is there.
let trouble = 'no connection';

const client = new StompJs.Client({
  brokerURL: broker,
  connectHeaders: { login: 'guest', passcode: 'guest' },
  heartbeatIncoming: 10_000,
  heartbeatOutgoing: 10_000,
  reconnectDelay: 2_000,
  onConnect: () => {
    trouble = 'no connection';
    client.subscribe(room, (message) => add(JSON.parse(message.body)), { receipt: 'subscribed' });
    client.watchForReceipt('subscribed', () => show('connected', `in ${room.slice('/topic/chat.'.length)}`));
  },
  // Such as a wrong password, or that the broker stops. The connection ends with it.
  onStompError: (frame) => (trouble = frame.headers.message),
  onWebSocketClose: () => show('connecting', `${trouble}, trying again`),
});
client.activate();

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const said = text.value.trim();
  if (!said || !client.connected) return;
  client.publish({
    destination: room,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ from: name.value, said, page: me }),
  });
  text.value = '';
});
