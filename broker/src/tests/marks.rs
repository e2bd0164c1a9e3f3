//! Sets of numbers that are written with messages: both or neither, whenever the process is killed.

use gantry_storage::TableError;
use proptest::prelude::*;

use super::*;
use crate::{Kind, Marks, Pending, Published, Ticket};

const SET: &str = "mqtt-subscription-one";

impl Rig {
    fn marks(&self) -> Arc<Marks> {
        self.vhost.marks(SET).unwrap().0
    }

    fn publish_marked(&self, key: &str, body: &str, number: u64) -> Result<Published, Error> {
        let route = self.vhost.route(&mut RouteCache::default(), "", key.as_bytes())?;
        let message = plain("", key, Essentials { durable: true, ..Essentials::default() }, body.as_bytes());
        self.vhost.publish_marked(&route, &message, now_ms(), &self.marks(), number, &mut Wakes::new())
    }

    fn rows(&self, space: &'static str) -> usize {
        self.table.scan(space, &[]).unwrap().len()
    }
}

#[tokio::test]
async fn a_message_and_its_mark_are_one_record() {
    let rig = Rig::new(PLENTY);
    rig.queue("q", durable()).await;
    rig.vhost.marks(SET).unwrap().1.wait().await.unwrap();
    let written = rig.journal.usage().written_bytes;
    let published = rig.publish_marked("q", "one", 7).unwrap();
    assert_eq!((published.routed, rig.stored()), (1, 2));
    rig.journal.hold();
    let lost = rig.publish_marked("q", "lost", 8).unwrap();
    assert!(rig.marks().contains(8) && lost.durable > published.durable);
    assert!(rig.journal.usage().written_bytes > written);
    let rig = rig.crash();
    assert_eq!(rig.marks().numbers(), [7]);
    assert_eq!(rig.bodies(&rig.vhost.queue("q", CLIENT).unwrap()).await, ["one"]);
    // The message is done, the mark is not: the record stays.
    let queue = rig.vhost.queue("q", CLIENT).unwrap();
    queue.fetch(0, false).unwrap();
    assert_eq!(rig.stored(), 1);
    let rig = rig.crash();
    assert_eq!((rig.marks().numbers(), rig.stored()), (vec![7], 1));
    rig.marks().remove(7).unwrap();
    assert_eq!((rig.marks().remove(7), rig.stored()), (None, 0));
    assert!(rig.crash().marks().is_empty());
}

#[tokio::test]
async fn what_is_known_is_not_published_again_and_its_ticket_is_told() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    rig.journal.hold();
    let first = rig.publish_marked("q", "one", 1).unwrap();
    assert!(first.durable.unwrap() > rig.broker.durable());
    let again = rig.publish_marked("q", "one", 1).unwrap();
    assert_eq!(again, Published { routed: 0, refused: 0, durable: first.durable });
    assert_eq!((rig.marks().ticket(1), rig.marks().put(1).unwrap()), (first.durable, first.durable.unwrap()));
    assert_eq!(rig.bodies(&queue).await, ["one"]);
    rig.journal.release();
    let rig = rig.crash();
    assert_eq!(rig.marks().ticket(1), Some(Ticket(0)));
}

#[tokio::test]
async fn a_mark_is_stored_where_the_message_is_not() {
    let rig = Rig::new(PLENTY);
    let nowhere = rig.publish_marked("nobody", "one", 1).unwrap();
    assert_eq!((nowhere.routed, nowhere.durable.is_some()), (0, true));
    rig.queue("transient", QueueOptions::default()).await;
    let transient = rig.publish_marked("transient", "two", 2).unwrap();
    assert_eq!((transient.routed, transient.durable.is_some(), rig.stored()), (1, true, 2));
    assert_eq!(rig.journal.usage().written_bytes, 0, "the message need not be there for the mark");
    assert_eq!(rig.crash().marks().numbers(), [1, 2]);
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_published_and_what_is_done_leaves() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    rig.publish("", "q", "there").unwrap();
    let lease = queue.fetch(0, true).unwrap().0.lease.unwrap();
    rig.faults.set_full(true);
    assert_eq!(rig.publish_marked("q", "one", 1), Err(Error::Full));
    assert_eq!(rig.publish_marked("nobody", "one", 1), Err(Error::Full));
    assert_eq!(rig.marks().put(1), Err(Error::Full));
    assert!(rig.marks().is_empty());
    // Or there would never be room again.
    assert!(queue.accept_marked(lease, &rig.marks(), 1, &mut Wakes::new()).unwrap().is_some());
    assert!(rig.marks().contains(1));
    assert_eq!((queue.status().unacked, queue.status().counters.accepted, rig.stored()), (0, 1, 0));
    rig.faults.set_full(false);
    assert_eq!(rig.publish_marked("q", "two", 2).unwrap().routed, 1);
    assert_eq!(rig.marks().numbers(), [1, 2]);
    assert_eq!(rig.crash().marks().numbers(), [2]);
}

#[tokio::test]
async fn a_settlement_and_its_mark_are_one_record() {
    let rig = Rig::new(PLENTY);
    rig.vhost.marks(SET).unwrap().1.wait().await.unwrap();
    let queue = rig.queue("q", durable()).await;
    rig.publish("", "q", "one").unwrap();
    rig.journal.hold();
    let lease = queue.fetch(0, true).unwrap().0.lease.unwrap();
    let ticket = queue.accept_marked(lease, &rig.marks(), 9, &mut Wakes::new()).unwrap().unwrap();
    assert!(ticket > rig.broker.durable() && rig.marks().contains(9));
    assert_eq!(queue.accept_marked(lease, &rig.marks(), 10, &mut Wakes::new()).unwrap(), None);
    assert!(!rig.marks().contains(10));
    // Killed before it was written: it is as it was.
    let rig = rig.crash();
    let queue = rig.vhost.queue("q", CLIENT).unwrap();
    assert_eq!((rig.bodies(&queue).await, rig.marks().numbers()), (vec!["one".to_owned()], vec![]));
    let lease = queue.fetch(0, true).unwrap().0.lease.unwrap();
    queue.accept_marked(lease, &rig.marks(), 9, &mut Wakes::new()).unwrap().unwrap();
    let rig = rig.crash();
    let queue = rig.vhost.queue("q", CLIENT).unwrap();
    assert_eq!((queue.status().ready, rig.marks().numbers(), rig.stored()), (0, vec![9], 1));
    // Where the number is known, the delivery is done all the same; and what was never stored is, too.
    rig.publish("", "q", "two").unwrap();
    rig.publish_with("", "q", "three", Essentials::default()).unwrap();
    for number in [9, 11] {
        let lease = queue.fetch(0, true).unwrap().0.lease.unwrap();
        queue.accept_marked(lease, &rig.marks(), number, &mut Wakes::new()).unwrap().unwrap();
    }
    assert_eq!((queue.status().unacked, rig.marks().numbers(), rig.stored()), (0, vec![9, 11], 2));
}

#[tokio::test]
async fn a_set_in_memory_stores_nothing_of_its_own() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    let marks = Marks::in_memory();
    let route = rig.vhost.route(&mut RouteCache::default(), "", b"q").unwrap();
    let message = plain("", "q", Essentials { durable: true, ..Essentials::default() }, b"one");
    let publish = |number| rig.vhost.publish_marked(&route, &message, now_ms(), &marks, number, &mut Wakes::new());
    assert_eq!((publish(1).unwrap().routed, publish(1).unwrap().routed, rig.stored()), (1, 0, 1));
    assert_eq!(marks.ticket(1), publish(1).unwrap().durable);
    let lease = queue.fetch(0, true).unwrap().0.lease.unwrap();
    assert!(queue.accept_marked(lease, &marks, 2, &mut Wakes::new()).unwrap().is_some());
    assert_eq!(marks.put(3), Ok(Ticket(0)));
    assert_eq!((marks.numbers(), rig.stored(), rig.rows("marks")), (vec![1, 2, 3], 0, 0));
    assert!(marks.remove(1).is_some() && marks.remove(1).is_none());
    let route = rig.vhost.route(&mut RouteCache::default(), "", b"nobody").unwrap();
    let nowhere = rig.vhost.publish_marked(&route, &message, now_ms(), &marks, 1, &mut Wakes::new()).unwrap();
    assert_eq!((nowhere.routed, nowhere.durable), (0, Some(Ticket(0))));
}

#[tokio::test]
async fn a_set_is_waited_for_until_its_row_is_stored() {
    let rig = Rig::new(PLENTY);
    rig.table.hold();
    let (one, first) = rig.vhost.marks(SET).unwrap();
    let (other, second) = rig.vhost.marks(SET).unwrap();
    assert!(Arc::ptr_eq(&one, &other) && !second.is_nothing());
    rig.table.release();
    first.wait().await.unwrap();
    second.wait().await.unwrap();
    assert!(rig.vhost.marks(SET).unwrap().1.is_nothing());
    // A set whose row was refused is asked for again.
    rig.table.rows.fail_commit(1, TableError::Full);
    let (refused, pending) = rig.vhost.marks("other").unwrap();
    assert_eq!(pending.wait().await, Err(Error::Full));
    let (again, pending) = rig.vhost.marks("other").unwrap();
    pending.wait().await.unwrap();
    assert!(Arc::ptr_eq(&refused, &again));
    again.put(5).unwrap();
    assert_eq!(rig.crash().vhost.marks("other").unwrap().0.numbers(), [5]);
}

#[tokio::test]
async fn a_deleted_set_leaves_nothing_behind() {
    let rig = Rig::new(PLENTY);
    rig.queue("q", durable()).await;
    let marks = rig.marks();
    for number in 0..10_000 {
        marks.put(number).unwrap();
    }
    rig.publish_marked("q", "one", 10_000).unwrap();
    rig.vhost.delete_marks(SET).wait().await.unwrap();
    assert_eq!((rig.stored(), rig.rows("marks"), rig.vhost.marks_names().len()), (1, 0, 0));
    // Whoever still has it goes on in memory.
    assert!(marks.contains(10_000) && marks.put(20_000).is_ok() && marks.remove(3).is_some());
    assert_eq!(rig.stored(), 1);
    assert!(Pending::is_nothing(&rig.vhost.delete_marks(SET)));
    let (anew, pending) = rig.vhost.marks(SET).unwrap();
    pending.wait().await.unwrap();
    anew.put(1).unwrap();
    // Killed when the row was gone and what it named was not.
    rig.journal.hold();
    rig.vhost.delete_marks(SET).wait().await.unwrap();
    let rig = rig.crash();
    assert_eq!((rig.stored(), rig.vhost.marks_names().len()), (1, 0));
    assert!(rig.marks().is_empty());
}

#[tokio::test]
async fn no_set_is_larger_than_all_ids_of_any_protocol() {
    let rig = Rig::new(PLENTY);
    let marks = Marks::in_memory();
    for number in 0..1 << 20 {
        marks.put(number).unwrap();
    }
    assert!(matches!(marks.put(1 << 20), Err(Error::LimitReached { .. })));
    let queue = rig.queue("q", QueueOptions::default()).await;
    rig.bind("amq.topic", (Kind::Queue, "q"), "#").await;
    rig.publish("", "q", "one").unwrap();
    let lease = queue.fetch(0, true).unwrap().0.lease.unwrap();
    assert!(queue.accept_marked(lease, &marks, 1 << 20, &mut Wakes::new()).is_err());
    assert_eq!(queue.status().unacked, 1);
    let route = rig.vhost.route(&mut RouteCache::default(), "amq.topic", b"k").unwrap();
    let message = plain("amq.topic", "k", Essentials::default(), b"two");
    assert!(rig.vhost.publish_marked(&route, &message, 0, &marks, 1 << 20, &mut Wakes::new()).is_err());
    assert_eq!(queue.status().ready, 0);
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Publish(u64),
    Accept(u64),
    Put(u64),
    Remove(u64),
    Sync,
    Crash,
}

fn act() -> impl Strategy<Value = Act> {
    let number = || 0..6_u64;
    prop_oneof![
        4 => number().prop_map(Act::Publish),
        4 => number().prop_map(Act::Accept),
        2 => number().prop_map(Act::Put),
        4 => number().prop_map(Act::Remove),
        3 => Just(Act::Sync),
        1 => Just(Act::Crash),
    ]
}

/// Messages in the queue and numbers in the set, each in order.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    messages: Vec<String>,
    numbers: Vec<u64>,
}

impl Model {
    fn put(&mut self, number: u64) {
        if !self.numbers.contains(&number) {
            self.numbers.push(number);
        }
    }
}

async fn check(acts: Vec<Act>) {
    let mut rig = Rig::new(PLENTY);
    rig.queue("q", durable()).await;
    let _ = rig.marks();
    rig.journal.hold();
    let (mut now, mut safe) = (Model::default(), Model::default());
    for (index, act) in acts.into_iter().enumerate() {
        let queue = rig.vhost.queue("q", CLIENT).unwrap();
        match act {
            Act::Publish(number) => {
                let body = format!("{index}");
                let routed = rig.publish_marked("q", &body, number).unwrap().routed;
                assert_eq!(routed, usize::from(!now.numbers.contains(&number)));
                if routed == 1 {
                    now.messages.push(body);
                }
                now.put(number);
            }
            Act::Accept(number) => {
                let Some((delivery, _)) = queue.fetch(0, true) else { continue };
                let lease = delivery.lease.unwrap();
                queue.accept_marked(lease, &rig.marks(), number, &mut Wakes::new()).unwrap().unwrap();
                now.messages.remove(0);
                now.put(number);
            }
            Act::Put(number) => {
                rig.marks().put(number).unwrap();
                now.put(number);
            }
            Act::Remove(number) => {
                assert_eq!(rig.marks().remove(number).is_some(), now.numbers.contains(&number));
                now.numbers.retain(|other| *other != number);
            }
            Act::Sync => {
                rig.journal.release();
                rig.journal.hold();
                safe = now.clone();
            }
            Act::Crash => {
                rig = rig.crash();
                rig.journal.hold();
                now = safe.clone();
            }
        }
        assert_eq!(rig.marks().numbers(), now.numbers);
        assert_eq!(rig.stored() as usize, now.messages.len() + now.numbers.len());
    }
    rig = rig.crash();
    let messages = rig.bodies(&rig.vhost.queue("q", CLIENT).unwrap()).await;
    assert_eq!(Model { messages, numbers: rig.marks().numbers() }, safe);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn marks_and_messages_are_as_a_list_of_each_would_have_them(acts in prop::collection::vec(act(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(acts));
    }
}
