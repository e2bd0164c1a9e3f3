//! Consumers that are for some of the messages, in memory and on the disk.

use super::*;
use crate::{Selection, Selector};

fn choosing(selector: &str) -> Selection {
    Selection { selector: Some(Arc::new(Selector::parse(selector).unwrap())), ..Selection::default() }
}

const UNLIMITED: ConsumerOptions =
    ConsumerOptions { credit: Credit::Unlimited, acknowledges: true, exclusive: false, priority: 0 };

impl Rig {
    fn choose(
        &self,
        queue: &Arc<Queue>,
        inbox: &Arc<Inbox>,
        options: ConsumerOptions,
        selection: Selection,
    ) -> Subscription {
        self.vhost.subscribe_with(queue, outlet(inbox, 7), options, selection, &mut Wakes::new()).unwrap()
    }

    /// Messages by numbers, with their number modulo ten as priority, in a queue without priorities.
    fn numbers(&self, numbers: std::ops::Range<u32>) {
        for n in numbers {
            let essentials = Essentials { durable: true, priority: (n % 10) as u8, ..Essentials::default() };
            self.publish_with("", "q", &n.to_string(), essentials).unwrap();
        }
    }

    /// What has come into an inbox once there are so many.
    async fn come(&self, inbox: &Inbox, count: usize) -> (Vec<Item>, Vec<String>) {
        let mut all = Vec::new();
        let mut bodies = Vec::new();
        eventually("so many come", || {
            all.extend(taken(inbox));
            all.len() >= count
        })
        .await;
        bodies.extend(self.read(&mut all).await);
        assert_eq!(bodies.len(), count, "{bodies:?}");
        (all, bodies)
    }
}

fn ending(numbers: std::ops::Range<u32>, digits: &[u32]) -> Vec<String> {
    numbers.filter(|n| digits.contains(&(n % 10))).map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn each_consumer_gets_what_it_is_for_in_order_wherever_the_messages_are() {
    for memory in [PLENTY, SCARCE] {
        let rig = Rig::new(memory);
        let queue = rig.queue("q", durable()).await;
        rig.numbers(0..1000);
        let (sevens, high, low) = (Inbox::new(usize::MAX), Inbox::new(usize::MAX), Inbox::new(usize::MAX));
        let _sevens = rig.choose(&queue, &sevens, UNLIMITED, choosing("JMSPriority = 7"));
        let (_, bodies) = rig.come(&sevens, 100).await;
        assert_eq!(bodies, ending(0..1000, &[7]));
        let _high = rig.choose(&queue, &high, UNLIMITED, choosing("JMSPriority > 7"));
        let _low = rig.choose(&queue, &low, UNLIMITED, choosing("JMSPriority < 3"));
        rig.numbers(1000..1100);
        assert_eq!(rig.come(&high, 220).await.1, ending(0..1100, &[8, 9]));
        assert_eq!(rig.come(&low, 330).await.1, ending(0..1100, &[0, 1, 2]));
        assert_eq!(rig.come(&sevens, 10).await.1, ending(1000..1100, &[7]));
        // The others stay, in their order, for whoever comes.
        assert_eq!(rig.bodies(&queue).await, ending(0..1100, &[3, 4, 5, 6]));
        assert_eq!(queue.status().unacked, 660);
    }
}

#[tokio::test]
async fn what_comes_back_is_looked_at_again_by_all_and_nobody_gets_what_it_is_not_for() {
    let rig = Rig::new(SCARCE);
    let queue = rig.queue("q", durable()).await;
    rig.numbers(0..200);
    let (one, other) = (Inbox::new(usize::MAX), Inbox::new(usize::MAX));
    let first = rig.choose(&queue, &one, UNLIMITED, choosing("JMSPriority IN ('x') OR JMSPriority >= 5"));
    let (items, bodies) = rig.come(&one, 100).await;
    assert_eq!(bodies, ending(0..200, &[5, 6, 7, 8, 9]));
    let _second = rig.choose(&queue, &other, UNLIMITED, choosing("JMSPriority BETWEEN 4 AND 6"));
    let (_, bodies) = rig.come(&other, 20).await;
    assert_eq!(bodies, ending(0..200, &[4]));
    first.leave();
    settle(items, Outcome::Retry);
    let (items, bodies) = rig.come(&other, 40).await;
    assert_eq!(bodies, ending(0..200, &[5, 6]));
    assert!(items.iter().all(|item| matches!(item, Item::Delivery(delivery) if delivery.attempts == 1)));
    assert_eq!(queue.status().ready, 140);
}

#[tokio::test]
async fn credit_counts_only_what_is_granted_and_others_do_not_wait() {
    for memory in [PLENTY, SCARCE] {
        let rig = Rig::new(memory);
        let queue = rig.queue("q", durable()).await;
        let (choosy, any) = (Inbox::new(usize::MAX), Inbox::new(usize::MAX));
        let window = ConsumerOptions { credit: Credit::Window(2), ..UNLIMITED };
        let _choosy = rig.choose(&queue, &choosy, window, choosing("JMSPriority = 9"));
        rig.numbers(0..100);
        let (items, bodies) = rig.come(&choosy, 2).await;
        assert_eq!(bodies, ["9", "19"]);
        let _any = rig.choose(&queue, &any, UNLIMITED, Selection::default());
        assert_eq!(rig.come(&any, 98).await.1.len(), 98);
        settle(items, Outcome::Accept);
        rig.numbers(100..120);
        // One each by turns: of those that both can take, the first goes to whoever has waited longer.
        eventually("all are out", || queue.status().ready == 0).await;
        assert!(rig.read(&mut taken(&choosy)).await.iter().all(|body| body.ends_with('9')));
    }
}

#[tokio::test]
async fn a_subscription_of_its_own_lets_go_of_what_it_is_not_for() {
    for memory in [PLENTY, SCARCE] {
        let rig = Rig::new(memory);
        let queue = rig.queue("q", durable()).await;
        rig.numbers(0..500);
        let inbox = Inbox::new(usize::MAX);
        let selection = Selection { discards: true, ..choosing("JMSPriority = 1") };
        let _only = rig.choose(&queue, &inbox, UNLIMITED, selection);
        let (items, bodies) = rig.come(&inbox, 50).await;
        assert_eq!(bodies, ending(0..500, &[1]));
        eventually("the others go", || queue.status().ready == 0).await;
        assert_eq!(rig.stored(), 50);
        settle(items, Outcome::Accept);
        assert_eq!(rig.stored(), 0);
    }
}

/// A source whose heads are the connection that published.
struct Numbered;

impl crate::Source for Numbered {
    fn id(&self) -> u8 {
        250
    }

    fn properties(&self, _head: &[u8]) -> crate::Properties {
        crate::Properties::default()
    }

    fn publisher(&self, head: &[u8]) -> Option<u64> {
        head.first().map(|number| u64::from(*number))
    }

    fn edited(&self, head: &[u8], _edit: &crate::message::Edit<'_>, out: &mut bytes::BytesMut) {
        out.extend_from_slice(head);
    }
}

#[tokio::test]
async fn a_consumer_can_do_without_what_its_connection_published() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    let inbox = Inbox::new(usize::MAX);
    let selection = Selection { not_from: Some(1), ..Selection::default() };
    let _others = rig.choose(&queue, &inbox, UNLIMITED, selection);
    let route = rig.vhost.route(&mut RouteCache::default(), "", b"q").unwrap();
    for publisher in [1, 2, 1, 3] {
        let data = bytes::Bytes::copy_from_slice(&[publisher, b'0' + publisher]);
        let message = crate::Message::new(&Numbered, Arc::clone(route.address()), Essentials::default(), 1, data);
        rig.vhost.publish(&route, &message, now_ms(), &mut Wakes::new()).unwrap();
    }
    assert_eq!(rig.come(&inbox, 2).await.1, ["2", "3"]);
    assert_eq!(queue.status().ready, 2);
}

#[tokio::test]
async fn a_damaged_message_is_given_up_and_does_not_hold_anybody_up() {
    let rig = Rig::new(SCARCE);
    let queue = rig.queue("q", durable()).await;
    rig.numbers(0..3);
    // A message whose source nobody knows cannot be made again of what is stored.
    let route = rig.vhost.route(&mut RouteCache::default(), "", b"q").unwrap();
    let essentials = Essentials { durable: true, ..Essentials::default() };
    let data = bytes::Bytes::from_static(b"1x");
    let unknown = crate::Message::new(&Numbered, Arc::clone(route.address()), essentials, 1, data);
    rig.vhost.publish(&route, &unknown, now_ms(), &mut Wakes::new()).unwrap();
    rig.numbers(4..6);
    let inbox = Inbox::new(usize::MAX);
    let _all = rig.choose(&queue, &inbox, UNLIMITED, choosing("JMSDeliveryMode = 'PERSISTENT'"));
    assert_eq!(rig.come(&inbox, 5).await.1, ["0", "1", "2", "4", "5"]);
    assert_eq!((queue.status().ready, queue.status().counters.rejected), (0, 1));
}

/// A source that counts how often it is asked who published.
struct Counting;

static ASKED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

impl crate::Source for Counting {
    fn id(&self) -> u8 {
        249
    }

    fn properties(&self, _head: &[u8]) -> crate::Properties {
        crate::Properties::default()
    }

    fn publisher(&self, _head: &[u8]) -> Option<u64> {
        ASKED.fetch_add(1, Ordering::Relaxed);
        Some(1)
    }

    fn edited(&self, head: &[u8], _edit: &crate::message::Edit<'_>, out: &mut bytes::BytesMut) {
        out.extend_from_slice(head);
    }
}

#[tokio::test]
async fn a_consumer_looks_at_each_message_once_however_many_wait() {
    const MESSAGES: usize = 10_000;
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", QueueOptions::default()).await;
    let route = rig.vhost.route(&mut RouteCache::default(), "", b"q").unwrap();
    let asked = || ASKED.load(Ordering::Relaxed);
    let publish = |priority| {
        let data = bytes::Bytes::from_static(b"x");
        let essentials = Essentials { priority, ..Essentials::default() };
        let message = crate::Message::new(&Counting, Arc::clone(route.address()), essentials, 0, data);
        rig.vhost.publish(&route, &message, now_ms(), &mut Wakes::new()).unwrap();
    };
    (0..MESSAGES / 2).for_each(|_| publish(0));
    let inboxes = [(); 2].map(|()| Inbox::new(usize::MAX));
    let selection = || Selection { not_from: Some(1), ..Selection::default() };
    let _consumers = inboxes.each_ref().map(|inbox| rig.choose(&queue, inbox, UNLIMITED, selection()));
    // So many at a time, so that others come in between.
    eventually("both have looked", || asked() >= MESSAGES).await;
    (0..MESSAGES / 2).for_each(|_| publish(1));
    eventually("both have looked", || asked() >= 2 * MESSAGES).await;
    // What comes back is looked at once more by each, and nothing else is.
    let lease = queue.fetch(0, true).unwrap().0.lease.unwrap();
    queue.settle(&[lease], Outcome::Retry, &mut Wakes::new());
    eventually("both have looked", || asked() >= 2 * MESSAGES + 2).await;
    (0..100).for_each(|_| queue.settle(&[], Outcome::Accept, &mut Wakes::new()));
    assert_eq!((asked(), queue.status().ready), (2 * MESSAGES + 2, MESSAGES));
}

#[tokio::test]
async fn ten_thousand_messages_on_the_disk_that_nobody_is_for_keep_nobody_from_those_behind_them() {
    let rig = Rig::new(SCARCE);
    let queue = rig.queue("q", QueueOptions::default()).await;
    for n in 0..10_000 {
        rig.publish_with("", "q", &n.to_string(), Essentials { priority: 1, ..Essentials::default() }).unwrap();
    }
    rig.publish_with("", "q", "last", Essentials { priority: 9, ..Essentials::default() }).unwrap();
    let (one, any) = (Inbox::new(usize::MAX), Inbox::new(usize::MAX));
    let _one = rig.choose(&queue, &one, UNLIMITED, choosing("JMSPriority = 9"));
    assert_eq!(rig.come(&one, 1).await.1, ["last"]);
    let _any = rig.choose(&queue, &any, UNLIMITED, Selection::default());
    assert_eq!(rig.come(&any, 10_000).await.1, (0..10_000).map(|n| n.to_string()).collect::<Vec<_>>());
}
