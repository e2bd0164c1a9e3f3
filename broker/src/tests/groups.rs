//! Messages that consumers do not share.

use std::collections::HashMap;

use super::*;
use crate::Group;

impl Rig {
    fn group(&self, id: &str, body: &str) {
        self.group_with(id, body, false);
    }

    fn group_with(&self, id: &str, body: &str, closes: bool) {
        let group = Some(Group::new(id.as_bytes(), closes));
        self.publish_with("", "q", body, Essentials { durable: true, group, ..Essentials::default() }).unwrap();
    }
}

/// For each message `group number`, the numbers of a group.
fn by_group(bodies: &[String]) -> HashMap<String, Vec<u32>> {
    let mut groups: HashMap<String, Vec<u32>> = HashMap::new();
    for body in bodies {
        let (group, number) = body.split_once(' ').unwrap();
        groups.entry(group.to_owned()).or_default().push(number.parse().unwrap());
    }
    groups
}

#[tokio::test]
async fn a_group_goes_to_one_consumer_in_order_and_to_another_one_when_that_leaves() {
    for memory in [PLENTY, SCARCE] {
        let rig = Rig::new(memory);
        let queue = rig.queue("q", durable()).await;
        let inboxes = [(); 3].map(|()| Inbox::new(usize::MAX));
        let mut consumers: Vec<_> =
            inboxes.iter().map(|inbox| rig.subscribe(&queue, inbox, Credit::Unlimited).unwrap()).collect();
        let send = |numbers: std::ops::Range<u32>| {
            numbers.for_each(|n| (0..7).for_each(|group| rig.group(&group.to_string(), &format!("{group} {n}"))));
        };
        send(0..10);
        let mut items: Vec<Vec<Item>> = inboxes.iter().map(|inbox| taken(inbox)).collect();
        let mut of: Vec<HashMap<String, Vec<u32>>> = Vec::new();
        for items in &mut items {
            of.push(by_group(&rig.read(items).await));
        }
        assert_eq!(of.iter().map(HashMap::len).sum::<usize>(), 7, "each group is with one");
        assert!(of.iter().all(|groups| groups.len() >= 2), "and they are spread");
        assert!(of.iter().flat_map(HashMap::values).all(|numbers| *numbers == (0..10).collect::<Vec<_>>()));
        // The first one goes, and says nothing of what it has: its groups wait, and others do not.
        consumers.remove(0).cancel();
        send(10..12);
        assert_eq!(queue.status().ready, 2 * of[0].len());
        // What it had comes back, in front of what came later.
        settle(items.remove(0), Outcome::Retry);
        assert_eq!(queue.status().ready, 0);
        let mut after = HashMap::new();
        for inbox in &inboxes[1..] {
            for (group, numbers) in by_group(&rig.read(&mut taken(inbox)).await) {
                assert!(after.insert(group, numbers).is_none(), "each group is with one");
            }
        }
        for (group, numbers) in after {
            let first = if of[0].contains_key(&group) { 0 } else { 10 };
            assert_eq!(numbers, (first..12).collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn a_consumer_without_credit_holds_up_its_groups_and_no_others() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    let (slow, quick) = (Inbox::new(usize::MAX), Inbox::new(usize::MAX));
    let _slow = rig.subscribe(&queue, &slow, Credit::Window(1)).unwrap();
    rig.group("a", "a 0");
    let _quick = rig.subscribe(&queue, &quick, Credit::Unlimited).unwrap();
    for n in 1..100 {
        rig.group("a", &format!("a {n}"));
        rig.group("b", &format!("b {n}"));
        rig.publish("", "q", &format!("- {n}")).unwrap();
    }
    let groups = by_group(&rig.read(&mut taken(&quick)).await);
    assert_eq!((groups.len(), groups["b"].len(), groups["-"].len()), (2, 99, 99));
    for n in 0..100 {
        let mut items = taken(&slow);
        assert_eq!(rig.read(&mut items).await, [format!("a {n}")]);
        settle(items, Outcome::Accept);
    }
    assert_eq!(queue.status().ready, 0);
}

#[tokio::test]
async fn a_message_that_closes_its_group_lets_the_next_one_go_to_anybody() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    let (one, other) = (Inbox::new(usize::MAX), Inbox::new(usize::MAX));
    let _one = rig.subscribe(&queue, &one, Credit::Window(2)).unwrap();
    rig.group("g", "first");
    let _other = rig.subscribe(&queue, &other, Credit::Unlimited).unwrap();
    rig.group_with("g", "last", true);
    for n in 0..3 {
        rig.group("g", &n.to_string());
    }
    assert_eq!(rig.read(&mut taken(&one)).await, ["first", "last"]);
    assert_eq!(rig.read(&mut taken(&other)).await, ["0", "1", "2"]);
}

#[tokio::test]
async fn groups_are_known_after_a_restart_and_a_crash() {
    for orderly in [true, false] {
        let rig = Rig::new(PLENTY);
        rig.queue("q", durable()).await;
        for n in 0..20 {
            rig.group("a", &format!("a {n}"));
            rig.group("b", &format!("b {n}"));
        }
        let rig = if orderly { rig.restart() } else { rig.crash() };
        let queue = rig.vhost.queue("q", CLIENT).unwrap();
        let (one, other) = (Inbox::new(usize::MAX), Inbox::new(usize::MAX));
        let _one = rig.subscribe(&queue, &one, Credit::Window(1)).unwrap();
        let _other = rig.subscribe(&queue, &other, Credit::Unlimited).unwrap();
        let expected = |group: &str, numbers: std::ops::Range<u32>| -> Vec<String> {
            numbers.map(|n| format!("{group} {n}")).collect()
        };
        assert_eq!(rig.read(&mut taken(&one)).await, expected("a", 0..1));
        assert_eq!(rig.read(&mut taken(&other)).await, expected("b", 0..20));
    }
}

#[tokio::test]
async fn a_dead_letter_keeps_its_group() {
    let rig = Rig::new(PLENTY);
    let mut arguments = Table::new();
    arguments.push("x-dead-letter-exchange", "");
    arguments.push("x-dead-letter-routing-key", "q");
    let failing = rig.queue("failing", QueueOptions { arguments, ..durable() }).await;
    let queue = rig.queue("q", durable()).await;
    let group = Some(Group::new(b"g", false));
    for n in 0..2 {
        rig.publish_with("", "failing", &n.to_string(), Essentials { durable: true, group, ..Essentials::default() })
            .unwrap();
    }
    let (one, other) = (Inbox::new(usize::MAX), Inbox::new(usize::MAX));
    let _one = rig.subscribe(&queue, &one, Credit::Window(1)).unwrap();
    let _other = rig.subscribe(&queue, &other, Credit::Unlimited).unwrap();
    while let Some((delivery, _)) = failing.fetch(0, true) {
        failing.settle(&[delivery.lease.unwrap()], Outcome::Reject, &mut Wakes::new());
    }
    eventually("both have gone on", || queue.status().counters.enqueued == 2).await;
    assert_eq!((queue.status().ready, queue.status().unacked), (1, 1), "the second one waits for its consumer");
}
