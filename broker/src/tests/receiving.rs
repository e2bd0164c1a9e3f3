//! Those who come to a queue for messages, and what they say of them by receipts.

use super::*;
use crate::queue::{DeadLetter, Rules};
use crate::{Receipt, Receipted, Receive};

const HOUR_MS: u64 = 3_600_000;

fn receive_for(queue: &Arc<Queue>, messages_max: usize, lease_ms: u64) -> Vec<Delivery> {
    let ask = Receive { messages_max, lease_ms, leased_max: usize::MAX };
    queue.receive(&ask, &mut Wakes::new()).deliveries
}

fn receive(queue: &Arc<Queue>) -> Vec<Delivery> {
    receive_for(queue, 10, HOUR_MS)
}

fn receipt(delivery: &Delivery) -> Receipt {
    Receipt { seq: delivery.seq, receives: delivery.attempts + 1 }
}

fn receipts(deliveries: &[Delivery]) -> Vec<Receipt> {
    deliveries.iter().map(receipt).collect()
}

async fn bodies_of(rig: &Rig, deliveries: Vec<Delivery>) -> Vec<String> {
    let mut items = deliveries.into_iter().map(Item::Delivery).collect();
    rig.read(&mut items).await
}

fn remove(queue: &Arc<Queue>, receipts: &[Receipt]) -> Vec<Receipted> {
    queue.remove(receipts, &mut Wakes::new()).0
}

fn extend(queue: &Arc<Queue>, receipt: Receipt, ms: u64) -> Receipted {
    queue.extend(&[(receipt, ms)], 12 * HOUR_MS, &mut Wakes::new())[0]
}

fn again(rig: &Rig) -> Arc<Queue> {
    rig.vhost.queue("q", CLIENT).unwrap()
}

#[tokio::test]
async fn what_was_received_is_still_leased_after_a_restart_and_can_be_removed_then() {
    for crash in [true, false] {
        let rig = Rig::new(PLENTY);
        let queue = rig.queue("q", durable()).await;
        for body in ["a", "b", "c", "d"] {
            rig.publish("", "q", body).unwrap();
        }
        let given_back = receive_for(&queue, 1, HOUR_MS);
        assert_eq!(extend(&queue, receipt(&given_back[0]), 0), Receipted::Done);
        let received = receive_for(&queue, 3, HOUR_MS);
        let first_received_ms = received[0].first_received_ms;
        assert_eq!(received.iter().map(|delivery| delivery.attempts).collect::<Vec<_>>(), [1, 0, 0]);
        let rig = if crash { rig.crash() } else { rig.restart() };
        let queue = again(&rig);
        assert_eq!((queue.status().ready, queue.status().unacked), (1, 3));
        let rest = receive(&queue);
        assert_eq!(rest.iter().map(|delivery| delivery.seq).collect::<Vec<_>>(), [3]);
        // An old receipt is not one of what has been received since.
        assert_eq!(remove(&queue, &receipts(&given_back)), [Receipted::Stale]);
        assert_eq!(remove(&queue, &receipts(&received[..2])), [Receipted::Done; 2]);
        assert_eq!(remove(&queue, &receipts(&received[..2])), [Receipted::NotThere; 2]);
        assert_eq!(extend(&queue, receipt(&received[2]), 0), Receipted::Done);
        let back = receive(&queue);
        assert_eq!((back[0].attempts, back[0].redelivered), (1, true));
        assert_eq!(back[0].first_received_ms, received[2].first_received_ms / 1000 * 1000);
        assert!(first_received_ms <= now_ms());
        let rig = rig.crash();
        assert_eq!(again(&rig).status().unacked, 2, "what was removed does not come back");
    }
}

#[tokio::test]
async fn a_lease_that_ended_while_nobody_was_there_counts_as_failed() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    rig.publish("", "q", "a").unwrap();
    let received = receive_for(&queue, 1, 1);
    let mut rig = rig;
    // A lease is remembered in whole seconds.
    eventually("it ends", || now_ms() > received[0].first_received_ms + 2000).await;
    for _ in 0..2 {
        rig = rig.crash();
    }
    let queue = again(&rig);
    let once_more = receive(&queue);
    assert_eq!((once_more[0].attempts, once_more[0].redelivered), (1, true));
    assert_eq!(remove(&queue, &receipts(&received)), [Receipted::Stale]);
}

#[tokio::test]
async fn a_message_whose_receive_did_not_get_to_the_disk_is_removed_by_its_receipt_all_the_same() {
    let rig = Rig::new(PLENTY);
    rig.queue("q", durable()).await;
    rig.publish("", "q", "a").unwrap();
    let rig = rig.crash();
    let queue = again(&rig);
    assert_eq!(remove(&queue, &[Receipt { seq: 0, receives: 1 }]), [Receipted::Done]);
    assert_eq!(queue.status().ready, 0);
}

#[tokio::test]
async fn no_number_comes_twice_however_the_process_ends() {
    let mut rig = Rig::new(PLENTY);
    rig.queue("q", durable()).await;
    let mut last = None;
    for run in 0..4 {
        let queue = again(&rig);
        for _ in 0..2 {
            rig.publish("", "q", "a").unwrap();
            let received = receive(&queue);
            assert!(last < Some(received[0].seq), "in run {run}");
            last = Some(received[0].seq);
            assert_eq!(remove(&queue, &receipts(&received)), [Receipted::Done]);
        }
        assert_eq!(queue.status().ready, 0);
        rig = if run % 2 == 0 { rig.crash() } else { rig.restart() };
    }
}

#[tokio::test]
async fn a_delay_goes_on_after_a_restart() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    let delayed = |ms| Essentials { durable: true, delay_ms: Some(ms), ..Essentials::default() };
    let published_ms = now_ms();
    rig.publish_with("", "q", "long", delayed(900_000)).unwrap();
    rig.publish_with("", "q", "short", delayed(300)).unwrap();
    rig.publish_with("", "q", "none", delayed(0)).unwrap();
    assert_eq!((queue.status().ready, queue.status().delayed), (3, 2));
    let rig = rig.crash();
    let queue = again(&rig);
    assert_eq!((queue.status().ready, queue.status().delayed), (3, 2));
    assert_eq!(bodies_of(&rig, receive(&queue)).await, ["none"]);
    eventually("the short delay ends", || queue.status().delayed == 1).await;
    assert!(now_ms() >= published_ms + 300);
    assert_eq!(bodies_of(&rig, receive(&queue)).await, ["short"]);
}

#[tokio::test]
async fn a_queue_that_delays_does_so_with_what_does_not_say_otherwise() {
    let rig = Rig::new(SCARCE);
    let queue = rig.queue("q", durable()).await;
    queue.set_rules(Arc::new(Rules { delay_ms: Some(60_000), ..Rules::default() }));
    rig.publish("", "q", "later").unwrap();
    let at_once = Essentials { durable: true, delay_ms: Some(0), ..Essentials::default() };
    rig.publish_with("", "q", "at once", at_once).unwrap();
    assert_eq!(bodies_of(&rig, receive(&queue)).await, ["at once"]);
    queue.set_rules(Arc::new(Rules::default()));
    rig.publish("", "q", "another").unwrap();
    assert_eq!(bodies_of(&rig, receive(&queue)).await, ["another"]);
    assert_eq!(queue.status().delayed, 1, "what came before stays as it came");
    assert_eq!(queue.discard_all(&mut Wakes::new()).0, 3);
    assert_eq!((queue.status().ready, queue.status().unacked, rig.stored()), (0, 0, 0));
}

fn redrive(receives_max: u32, key: &'static str) -> Arc<Rules> {
    let key = Some(bytes::Bytes::from_static(key.as_bytes()));
    let to = DeadLetter { exchange: "".into(), key, at_least_once: true, is_redrive: false };
    Arc::new(Rules { receives_max: Some(receives_max), redrive: Some(Arc::new(to)), ..Rules::default() })
}

#[tokio::test]
async fn a_message_received_too_often_goes_on_when_somebody_comes_for_it_once_more() {
    let rig = Rig::new(PLENTY);
    let (queue, dead) = (rig.queue("q", durable()).await, rig.queue("dead", durable()).await);
    queue.set_rules(redrive(2, "dead"));
    rig.publish("", "q", "bad").unwrap();
    rig.publish("", "q", "good").unwrap();
    for attempts in 0..2 {
        let received = receive_for(&queue, 1, HOUR_MS);
        assert_eq!(received[0].attempts, attempts);
        assert_eq!(extend(&queue, receipt(&received[0]), 0), Receipted::Done);
    }
    assert_eq!((queue.status().ready, dead.status().ready), (2, 0), "nobody has come yet");
    assert_eq!(bodies_of(&rig, receive_for(&queue, 1, HOUR_MS)).await, ["good"]);
    eventually("it goes on", || dead.status().ready == 1).await;
    assert_eq!(queue.status().counters.exhausted, 1);
    assert_eq!(receive(&dead)[0].attempts, 0, "there it has not failed yet");
}

#[tokio::test]
async fn consumers_do_not_get_what_was_received_too_often_and_what_they_reject_goes_the_same_way() {
    let rig = Rig::new(PLENTY);
    let (queue, dead) = (rig.queue("q", durable()).await, rig.queue("dead", durable()).await);
    queue.set_rules(redrive(1, "dead"));
    rig.publish("", "q", "bad").unwrap();
    rig.publish("", "q", "rejected").unwrap();
    let received = receive_for(&queue, 1, HOUR_MS);
    assert_eq!(extend(&queue, receipt(&received[0]), 0), Receipted::Done);
    let inbox = Inbox::new(1 << 20);
    rig.subscribe(&queue, &inbox, Credit::Unlimited).unwrap();
    let items = taken(&inbox);
    assert_eq!(items.iter().filter_map(body_of).collect::<Vec<_>>(), ["rejected"]);
    settle(items, Outcome::Reject);
    eventually("both go on", || dead.status().ready == 2).await;
    assert_eq!((queue.status().ready, queue.status().unacked), (0, 0));
}

#[tokio::test]
async fn a_removal_is_certain_when_its_ticket_is() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    rig.publish("", "q", "a").unwrap();
    let received = receipts(&receive(&queue));
    rig.journal.hold();
    let (said, ticket) = queue.remove(&received, &mut Wakes::new());
    assert_eq!(said, [Receipted::Done]);
    // Whoever says it once more, because the answer does not come, is not told earlier that it is gone.
    let (said_again, ticket_again) = queue.remove(&received, &mut Wakes::new());
    assert_eq!(said_again, [Receipted::NotThere]);
    assert!(ticket > Some(rig.journal.durable()) && ticket_again >= ticket);
    rig.journal.release();
    assert!(ticket_again <= Some(rig.journal.durable()));
}

#[tokio::test]
async fn a_failed_journal_leaves_a_removal_uncertain_for_ever() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    rig.publish("", "q", "a").unwrap();
    rig.publish("", "q", "b").unwrap();
    let received = receipts(&receive(&queue));
    rig.faults.fail_write(1);
    let tickets: Vec<_> = received.iter().map(|receipt| queue.remove(&[*receipt], &mut Wakes::new()).1).collect();
    assert!(tickets.iter().all(|ticket| *ticket > Some(rig.journal.durable())), "{tickets:?}");
}

#[tokio::test]
async fn the_time_that_a_message_may_be_kept_is_bounded() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    rig.publish("", "q", "a").unwrap();
    let received = receive_for(&queue, 1, HOUR_MS);
    let receipt = receipt(&received[0]);
    assert_eq!(extend(&queue, receipt, 11 * HOUR_MS), Receipted::Done);
    assert_eq!(extend(&queue, receipt, 12 * HOUR_MS + 1), Receipted::TooLong);
    assert_eq!(extend(&queue, receipt, u64::MAX), Receipted::TooLong);
    let (over, bogus) = (Receipt { receives: 9, ..receipt }, Receipt { seq: 77, receives: 1 });
    assert_eq!((extend(&queue, over, 1000), extend(&queue, bogus, 1000)), (Receipted::Stale, Receipted::NotThere));
    assert_eq!(extend(&queue, receipt, 20), Receipted::Done);
    eventually("it is over", || queue.status().ready == 1).await;
    assert_eq!(extend(&queue, receipt, 1000), Receipted::NotLeased);
    assert_eq!(remove(&queue, &[receipt]), [Receipted::Done], "nobody has received it since");
    assert_eq!((queue.status().ready, queue.status().unacked, rig.stored()), (0, 0, 0));
}

#[tokio::test]
async fn no_more_are_leased_than_may_be() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    for _ in 0..5 {
        rig.publish("", "q", "a").unwrap();
    }
    let ask = Receive { messages_max: 10, lease_ms: HOUR_MS, leased_max: 3 };
    let some = queue.receive(&ask, &mut Wakes::new());
    assert_eq!((some.deliveries.len(), some.limit_reached), (3, false));
    let none = queue.receive(&ask, &mut Wakes::new());
    assert!(none.deliveries.is_empty() && none.limit_reached);
    remove(&queue, &receipts(&some.deliveries[..1]));
    let one = queue.receive(&Receive { messages_max: usize::MAX, ..ask }, &mut Wakes::new());
    assert_eq!((one.deliveries.len(), one.limit_reached), (1, false));
}

fn one(queue: &Arc<Queue>) -> Option<u64> {
    receive_for(queue, 1, HOUR_MS).first().map(|delivery| delivery.seq)
}

/// Waits for one message.
async fn wait_for_one(queue: Arc<Queue>) -> Option<u64> {
    loop {
        let mut turn = std::pin::pin!(queue.arrival());
        turn.as_mut().enable();
        let received =
            queue.receive(&Receive { messages_max: 1, lease_ms: HOUR_MS, leased_max: usize::MAX }, &mut Wakes::new());
        if received.closed {
            return None;
        }
        if let Some(delivery) = received.deliveries.first() {
            return Some(delivery.seq);
        }
        turn.await;
    }
}

#[tokio::test]
async fn those_who_wait_get_messages_in_the_order_in_which_they_came() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    let (sender, mut done) = tokio::sync::mpsc::unbounded_channel();
    for name in 0..20 {
        let (queue, sender) = (Arc::clone(&queue), sender.clone());
        tokio::spawn(async move {
            let seq = wait_for_one(queue).await;
            sender.send((name, seq.unwrap())).unwrap();
        });
    }
    tokio::task::yield_now().await;
    for n in 0..20 {
        rig.publish("", "q", "a").unwrap();
        assert_eq!(done.recv().await, Some((n, n)));
    }
    assert_eq!(queue.status().ready, 0);
}

#[tokio::test]
async fn who_goes_away_after_having_been_told_hands_that_on() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    let (mut first, mut second) = (Box::pin(queue.arrival()), Box::pin(queue.arrival()));
    assert!(!first.as_mut().enable() && !second.as_mut().enable());
    rig.publish("", "q", "a").unwrap();
    drop(first);
    second.await;
    assert_eq!(one(&queue), Some(0));
    // With nobody in line, nothing is kept for those who come later but the messages.
    rig.publish("", "q", "b").unwrap();
    let mut third = Box::pin(queue.arrival());
    assert!(!third.as_mut().enable());
    assert_eq!(one(&queue), Some(1));
}

#[tokio::test]
async fn who_leaves_messages_tells_the_next_one() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    for _ in 0..5 {
        rig.publish("", "q", "a").unwrap();
    }
    receive_for(&queue, 5, 50);
    let waiting: Vec<_> = (0..5).map(|_| tokio::spawn(wait_for_one(Arc::clone(&queue)))).collect();
    // All five come back in one step, which tells one.
    let mut seqs = Vec::new();
    for one in waiting {
        seqs.push(one.await.unwrap().unwrap());
    }
    seqs.sort_unstable();
    assert_eq!(seqs, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn those_who_wait_hear_of_the_end_of_the_queue() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    let waiting: Vec<_> = (0..5).map(|_| tokio::spawn(wait_for_one(Arc::clone(&queue)))).collect();
    tokio::task::yield_now().await;
    rig.vhost.delete_queue("q", crate::DeleteQueue::default(), CLIENT).await.unwrap();
    for one in waiting {
        assert_eq!(one.await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_wait_and_each_message_comes_to_one_of_them() {
    const WAITING: u64 = 10_000;
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    let waiting: Vec<_> = (0..WAITING).map(|_| tokio::spawn(wait_for_one(Arc::clone(&queue)))).collect();
    let mut seqs = Vec::new();
    for (n, one) in waiting.iter().enumerate() {
        // Every other one goes away, some of them just when they are told.
        if n % 2 == 1 {
            one.abort();
        }
        rig.publish("", "q", "a").unwrap();
    }
    for one in waiting {
        match one.await {
            Ok(seq) => seqs.extend(seq),
            Err(error) => assert!(error.is_cancelled()),
        }
    }
    // What came to those who went away is there for others: whoever was told did not take it along.
    seqs.extend(std::iter::from_fn(|| one(&queue)));
    seqs.sort_unstable();
    assert_eq!(seqs, (0..WAITING).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sleeps_while_there_is_something_for_him() {
    const MESSAGES: usize = 20_000;
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let workers: Vec<_> = (0..16)
        .map(|_| {
            let (queue, count) = (Arc::clone(&queue), Arc::clone(&count));
            tokio::spawn(async move {
                while wait_for_one(Arc::clone(&queue)).await.is_some() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for n in 0..MESSAGES {
        rig.publish("", "q", "a").unwrap();
        if n % 64 == 0 {
            tokio::task::yield_now().await;
        }
        if n % 5000 == 0 {
            // All that have come so far find somebody, although nothing more comes.
            eventually("all are taken", || count.load(Ordering::Relaxed) == n + 1).await;
        }
    }
    eventually("all are taken", || count.load(Ordering::Relaxed) == MESSAGES).await;
    rig.vhost.delete_queue("q", crate::DeleteQueue::default(), CLIENT).await.unwrap();
    for worker in workers {
        worker.await.unwrap();
    }
}

#[tokio::test]
async fn to_stand_in_line_takes_some_bytes_and_no_allocation() {
    assert!(size_of::<crate::Turn<'_>>() <= 96, "{}", size_of::<crate::Turn<'_>>());
}

#[tokio::test]
async fn a_group_that_somebody_had_before_the_restart_is_still_his() {
    let rig = Rig::new(PLENTY);
    let ordered = Some(crate::Ordered { deduplication_ms: 300_000, per_group: false });
    let settings = crate::QueueSettings { ordered, ..crate::QueueSettings::default() };
    let (queue, is_new, pending) = rig.vhost.declare_with("q", durable(), settings, CLIENT).unwrap();
    pending.wait().await.unwrap();
    assert!(is_new);
    let publish = |rig: &Rig, group: &str, body: &str| {
        let group = Some(crate::Group::new(group.as_bytes(), false));
        rig.publish_with("", "q", body, Essentials { durable: true, group, ..Essentials::default() }).unwrap();
    };
    for (group, body) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3")] {
        publish(&rig, group, body);
    }
    let received = receive_for(&queue, 2, HOUR_MS);
    assert_eq!(received.iter().map(|delivery| delivery.seq).collect::<Vec<_>>(), [0, 1]);
    let rig = rig.crash();
    let queue = again(&rig);
    assert_eq!(bodies_of(&rig, receive(&queue)).await, ["b1"]);
    assert_eq!(remove(&queue, &receipts(&received[..1])), [Receipted::Done]);
    assert_eq!(extend(&queue, receipt(&received[1]), 0), Receipted::Done);
    publish(&rig, "a", "a4");
    assert_eq!(bodies_of(&rig, receive(&queue)).await, ["a2", "a3", "a4"]);
    assert_eq!(extend(&queue, receipt(&received[1]), 1000), Receipted::Stale);
}

#[tokio::test]
async fn a_lease_of_no_time_is_over_at_once_and_nobody_waits_for_the_clock() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    for body in ["a", "b"] {
        rig.publish("", "q", body).unwrap();
    }
    for attempts in 0..3 {
        let received = receive_for(&queue, 10, 0);
        assert_eq!(
            received.iter().map(|delivery| (delivery.seq, delivery.attempts)).collect::<Vec<_>>(),
            [(0, attempts), (1, attempts)]
        );
        assert_eq!((queue.status().ready, queue.status().unacked), (2, 0));
    }
}

#[tokio::test]
async fn who_waits_for_messages_or_has_received_some_uses_a_queue() {
    let rig = Rig::new(PLENTY);
    let options = QueueOptions { arguments: with(&[("x-expires", 30)]), ..QueueOptions::default() };
    let (waited_for, lent) = (rig.queue("waited for", options.clone()).await, rig.queue("lent", options.clone()).await);
    rig.publish("", "lent", "a").unwrap();
    let received = receive(&lent);
    let turn = waited_for.arrival();
    let is_there = |name| rig.vhost.queue(name, CLIENT).is_ok();
    // Another one that is unused tells that the time is over.
    rig.queue("witness", options).await;
    while is_there("witness") {
        tokio::task::yield_now().await;
    }
    assert!(is_there("waited for") && is_there("lent"));
    drop(turn);
    assert_eq!(remove(&lent, &receipts(&received)), [Receipted::Done]);
    while is_there("waited for") || is_there("lent") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_somebody_has_had_is_not_delayed_by_a_restart() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    for body in ["had", "failed", "new"] {
        rig.publish("", "q", body).unwrap();
    }
    let ask = Receive { messages_max: 2, lease_ms: 60_000, leased_max: usize::MAX };
    let received = queue.receive(&ask, &mut Wakes::new()).deliveries;
    let receipts: Vec<_> = received.iter().map(|one| (Receipt { seq: one.seq, receives: 1 }, 0)).collect();
    queue.extend(&receipts, u64::MAX, &mut Wakes::new());
    let settings = crate::QueueSettings { delay_ms: Some(600_000), ..crate::QueueSettings::default() };
    rig.vhost.set_settings(&queue, settings).unwrap().wait().await.unwrap();
    let rig = rig.crash();
    let queue = rig.vhost.queue("q", CLIENT).unwrap();
    let status = queue.status();
    assert_eq!((status.ready, status.delayed), (3, 1));
    assert_eq!(rig.bodies(&queue).await, ["had", "failed"]);
}

#[tokio::test]
async fn an_ordered_queue_that_was_declared_with_priorities_keeps_no_bodies_where_memory_is_scarce() {
    let rig = Rig::new(SCARCE);
    let options = QueueOptions { arguments: with(&[("x-max-priority", 5)]), ..durable() };
    let ordered = Some(crate::Ordered { deduplication_ms: 1_000, per_group: false });
    let settings = crate::QueueSettings { ordered, ..crate::QueueSettings::default() };
    let (queue, _, pending) = rig.vhost.declare_with("q", options, settings, CLIENT).unwrap();
    pending.wait().await.unwrap();
    let essentials = Essentials { durable: true, priority: 3, ..Essentials::default() };
    let route = rig.vhost.route(&mut RouteCache::default(), "", b"q").unwrap();
    rig.vhost.publish(&route, &plain("", "q", essentials, b"a"), now_ms(), &mut Wakes::new()).unwrap();
    let (delivery, _) = queue.fetch(0, true).unwrap();
    assert!(matches!(delivery.content, Content::Stored(_)));
}

#[tokio::test]
async fn numbers_go_on_without_a_jump_for_whoever_looks_at_what_is_left_of_them() {
    let rig = Rig::new(PLENTY);
    rig.queue("q", durable()).await;
    let publish = |rig: &Rig| {
        rig.publish("", "q", "a").unwrap();
        rig.publish("", "q", "b").unwrap();
    };
    publish(&rig);
    let rig = rig.crash();
    publish(&rig);
    let rig = rig.restart();
    publish(&rig);
    let seqs: Vec<u64> = receive(&again(&rig)).iter().map(|delivery| delivery.seq).collect();
    assert_eq!(seqs.len(), 6);
    assert!(seqs.is_sorted() && seqs[5] - seqs[0] > 5, "{seqs:?}");
    for divisor in [32_767, 32_768] {
        let left: Vec<u64> = seqs.iter().map(|seq| (seq - seqs[0]) % divisor).collect();
        assert_eq!(left, [0, 1, 2, 3, 4, 5]);
    }
}
