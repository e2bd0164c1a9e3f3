//! Replies that go straight to whoever asked.

use super::*;
use crate::{ReplyConsumer, Transaction};

/// More than a requester that does not read is given.
const PILE_BYTES: usize = 80 << 20;

struct Requester {
    inbox: Arc<Inbox>,
    consumer: ReplyConsumer,
}

fn requester(vhost: &Arc<VirtualHost>) -> Requester {
    let inbox = Inbox::new(1000);
    let outlet = Outlet { inbox: Arc::clone(&inbox), token: 7, shared_credit: None };
    Requester { consumer: vhost.take_replies(outlet).unwrap(), inbox }
}

impl Requester {
    fn address(&self) -> String {
        String::from_utf8(self.consumer.address().to_vec()).unwrap()
    }

    fn take(&self) -> Vec<String> {
        taken(&self.inbox)
    }
}

fn taken(inbox: &Inbox) -> Vec<String> {
    let mut items = Vec::new();
    inbox.take(&mut items);
    let body = |item| match item {
        Item::Reply(reply) => {
            assert_eq!(reply.token, 7);
            String::from_utf8(reply.message.body().to_vec()).unwrap()
        }
        item => panic!("{item:?}"),
    };
    items.into_iter().map(body).collect()
}

#[tokio::test]
async fn a_reply_goes_to_its_requester_and_nowhere_else_and_is_not_stored() {
    let rig = Rig::new(PLENTY);
    let (one, other) = (requester(&rig.vhost), requester(&rig.vhost));
    assert_ne!(one.address(), other.address());
    let published = rig.publish("", &one.address(), "reply").unwrap();
    assert_eq!(published, Published { routed: 1, refused: 0, durable: None });
    assert_eq!((one.take(), other.take()), (vec!["reply".to_owned()], vec![]));
    // Only through the default exchange.
    assert_eq!(rig.publish("amq.direct", &one.address(), "reply").unwrap().routed, 0);
    assert!(one.take().is_empty());
}

#[tokio::test]
async fn with_its_consumer_a_requester_is_gone_for_routes_made_before_too() {
    let rig = Rig::new(PLENTY);
    let requester = requester(&rig.vhost);
    let (address, inbox) = (requester.address(), Arc::clone(&requester.inbox));
    assert!(rig.vhost.takes_replies(address.as_bytes()));
    let mut cache = RouteCache::default();
    let route = rig.vhost.route(&mut cache, "", address.as_bytes()).unwrap();
    let reply = || {
        let message = plain("", &address, Essentials::default(), b"reply");
        rig.vhost.publish(&route, &message, now_ms(), &mut Wakes::new()).unwrap().routed
    };
    assert_eq!(reply(), 1);
    drop(requester);
    assert_eq!(reply(), 0);
    assert!(!rig.vhost.takes_replies(address.as_bytes()));
    assert_eq!(rig.vhost.shared().replies.len(), 0);
    assert_eq!(taken(&inbox), ["reply"]);
}

#[tokio::test]
async fn an_address_that_differs_in_any_character_is_nobodys() {
    let rig = Rig::new(PLENTY);
    let requester = requester(&rig.vhost);
    let address = requester.address();
    let token = address.strip_prefix("amq.rabbitmq.reply-to.").unwrap();
    // 192 bits of which six are in each character.
    assert_eq!(token.len(), 32);
    let mut wrong: Vec<String> = (0..address.len())
        .map(|index| {
            let mut bytes = address.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap()
        })
        .collect();
    wrong.extend(["amq.rabbitmq.reply-to".to_owned(), "amq.rabbitmq.reply-to.".to_owned()]);
    wrong.extend([format!("{address}A"), address[..address.len() - 1].to_owned(), format!("{address}=")]);
    for wrong in wrong {
        assert!(!rig.vhost.takes_replies(wrong.as_bytes()), "{wrong}");
        assert_eq!(rig.publish("", &wrong, "forged").unwrap().routed, 0, "{wrong}");
    }
    assert!(requester.take().is_empty());
}

#[tokio::test]
async fn an_address_is_valid_in_its_own_virtual_host_only() {
    let rig = Rig::new(PLENTY);
    let requester = requester(&rig.vhost);
    let foreign = VirtualHost::new(Arc::clone(rig.broker.shared()), Arc::from("foreign"), false, 1).unwrap();
    let address = requester.address();
    assert!(!foreign.takes_replies(address.as_bytes()));
    let route = foreign.route(&mut RouteCache::default(), "", address.as_bytes()).unwrap();
    let message = plain("", &address, Essentials::default(), b"reply");
    assert_eq!(foreign.publish(&route, &message, now_ms(), &mut Wakes::new()).unwrap().routed, 0);
    assert!(requester.take().is_empty());
}

#[tokio::test]
async fn a_requester_that_does_not_read_is_given_so_much_and_no_more_until_it_reads() {
    let rig = Rig::new(PLENTY);
    let requester = requester(&rig.vhost);
    let address = requester.address();
    let body = "x".repeat(1 << 20);
    let mut routed = 0;
    for _ in 0..PILE_BYTES >> 20 {
        routed += rig.publish("", &address, &body).unwrap().routed;
    }
    assert!((60..=64).contains(&routed), "{routed}");
    assert_eq!(requester.take().len(), routed);
    assert_eq!(rig.publish("", &address, "reply").unwrap().routed, 1);
}

#[tokio::test]
async fn further_keys_and_transactions_reply_too() {
    let rig = Rig::new(PLENTY);
    let (one, other) = (requester(&rig.vhost), requester(&rig.vhost));
    let queue = rig.queue("q", QueueOptions::default()).await;
    let route = rig.vhost.route(&mut RouteCache::default(), "", b"q").unwrap();
    let copies = [one.consumer.address(), other.consumer.address(), one.consumer.address()];
    let route = rig.vhost.route_copies(&route, copies.into_iter().cloned().collect());
    let message = plain("", "q", Essentials::default(), b"reply");
    let mut transaction = Transaction::default();
    transaction.publishes.push((route, message));
    assert!(one.take().is_empty());
    let (routed, _) = rig.vhost.commit_transaction(&transaction, now_ms(), &mut Wakes::new()).unwrap();
    assert_eq!(routed, [3]);
    assert_eq!((one.take().len(), other.take().len(), queue.status().ready), (1, 1, 1));
}
