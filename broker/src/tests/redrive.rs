//! Messages that were received too often, and go to the queue that the settings name.

use super::*;
use crate::message::{Edit, Properties};
use crate::{Group, Ordered, QueueSettings, Receipt, Receipted, Receive, Redrive, Source};

/// A source that keeps headers, as text: each `name=value` with a line end behind it.
pub(super) struct Lines;

impl Source for Lines {
    fn id(&self) -> u8 {
        250
    }

    fn properties(&self, head: &[u8]) -> Properties {
        let text = String::from_utf8_lossy(head).into_owned();
        let mut headers = Table::new();
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match value.parse::<i64>() {
                Ok(number) => headers.push(name, number),
                Err(_) => headers.push(name, value),
            }
        }
        Properties { headers: Some(headers), ..Properties::default() }
    }

    fn edited(&self, head: &[u8], edit: &Edit<'_>, out: &mut bytes::BytesMut) {
        let text = String::from_utf8_lossy(head).into_owned();
        let is_set = |name: &str| edit.set.iter().any(|(other, _)| *other == name) || edit.remove.contains(&name);
        for line in text.lines().filter(|line| line.split_once('=').is_some_and(|(name, _)| !is_set(name))) {
            out.extend_from_slice(format!("{line}\n").as_bytes());
        }
        for (name, value) in edit.set {
            if let Some(value) = value.as_str() {
                out.extend_from_slice(format!("{name}={value}\n").as_bytes());
            } else if let Some(number) = value.as_integer() {
                out.extend_from_slice(format!("{name}={number}\n").as_bytes());
            }
        }
    }
}

pub(super) fn redriven(queue: &str, receives_max: u32, ordered: bool) -> QueueSettings {
    QueueSettings {
        redrive: Some(Redrive { queue: queue.into(), receives_max }),
        ordered: ordered.then_some(Ordered { deduplication_ms: 300_000, per_group: false }),
        ..QueueSettings::default()
    }
}

pub(super) fn only_ordered(ordered: bool) -> QueueSettings {
    QueueSettings { redrive: None, ..redriven("", 1, ordered) }
}

pub(super) struct Site(pub(super) Rig);

impl Site {
    pub(super) fn new() -> Self {
        let faults = Faults::default();
        Self::on(MemoryJournal::new(faults.clone()), HeldTable::default(), Found::default(), faults)
    }

    pub(super) fn on(journal: MemoryJournal, table: HeldTable, found: Found, faults: Faults) -> Self {
        let (journal, table) = (Arc::new(journal), Arc::new(table));
        let options = BrokerOptions { sources: Sources::new(vec![&Plain, &Lines]), ..options(PLENTY) };
        let broker = Broker::open(options, journal.clone(), table.clone(), found).unwrap();
        let vhost = vhost(&broker);
        Self(Rig { broker, vhost, journal, table, faults })
    }

    pub(super) fn crash(self) -> Self {
        let mut found = Found::default();
        let journal = self.0.journal.reopen(&mut found);
        let table = HeldTable { rows: self.0.table.rows.reopen(), ..HeldTable::default() };
        Self::on(journal, table, found, self.0.faults)
    }

    pub(super) async fn queue(&self, name: &str, settings: QueueSettings) -> Arc<Queue> {
        let (queue, _, pending) = self.0.vhost.declare_with(name, durable(), settings, CLIENT).unwrap();
        pending.wait().await.unwrap();
        queue
    }

    pub(super) fn at(&self, name: &str) -> Arc<Queue> {
        self.0.vhost.queue(name, CLIENT).unwrap()
    }

    pub(super) fn send(&self, queue: &Arc<Queue>, body: &str, group: Option<&str>) {
        let group = group.map(|group| Group::new(group.as_bytes(), false));
        let essentials = Essentials { durable: true, group, ..Essentials::default() };
        let address = crate::Address { exchange: "".into(), routing_key: bytes::Bytes::from(queue.name().to_string()) };
        let data = bytes::Bytes::from(format!("id={body}\n{body}"));
        let head_bytes = (data.len() - body.len()) as u32;
        let message = crate::Message::new(&Lines, Arc::new(address), essentials, head_bytes, data);
        self.0.vhost.send(queue, &message, None, now_ms(), &mut Wakes::new()).unwrap();
    }

    /// Receives what there is and has it fail, so many times; what came each time.
    pub(super) async fn fail(&self, queue: &Arc<Queue>, times: usize) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        for _ in 0..times {
            let (bodies, receipts) = self.receive(queue).await;
            let receipts: Vec<_> = receipts.into_iter().map(|receipt| (receipt, 0)).collect();
            queue.extend(&receipts, u64::MAX, &mut Wakes::new());
            all.push(bodies);
        }
        all
    }

    pub(super) async fn receive(&self, queue: &Arc<Queue>) -> (Vec<String>, Vec<Receipt>) {
        let ask = Receive { messages_max: 10, lease_ms: 60_000, leased_max: usize::MAX };
        let received = queue.receive(&ask, &mut Wakes::new());
        let receipts = received.deliveries.iter();
        let receipts = receipts.map(|one| Receipt { seq: one.seq, receives: one.attempts + 1 }).collect();
        let mut items: Vec<_> = received.deliveries.into_iter().map(Item::Delivery).collect();
        let bodies = self.0.read(&mut items).await;
        (bodies, receipts)
    }

    /// What stands in a queue, with a header of each.
    pub(super) async fn headers(&self, queue: &Arc<Queue>, name: &str) -> Vec<(String, Option<String>)> {
        let ask = Receive { messages_max: 100, lease_ms: 60_000, leased_max: usize::MAX };
        let mut received = queue.receive(&ask, &mut Wakes::new()).deliveries;
        let leases: Vec<_> = received.iter().filter_map(|delivery| delivery.lease).collect();
        let mut items: Vec<_> = received.drain(..).map(Item::Delivery).collect();
        self.0.broker.load(&mut items).await;
        let told = items.iter().filter_map(|item| match item {
            Item::Delivery(Delivery { content: Content::Loaded(message), .. }) => {
                let headers = message.properties().headers.as_ref();
                let header = headers.and_then(|headers| headers.get(name));
                let header = header.and_then(|value| match value.as_integer() {
                    Some(number) => Some(number.to_string()),
                    None => value.as_str().map(str::to_owned),
                });
                Some((String::from_utf8_lossy(message.body()).into_owned(), header))
            }
            _ => None,
        });
        let told = told.collect();
        queue.settle(&leases, Outcome::Release, &mut Wakes::new());
        told
    }
}

pub(super) async fn arrived(queue: &Arc<Queue>, ready: usize) {
    eventually("messages arrive", || queue.status().ready == ready).await;
}

#[tokio::test]
async fn what_was_received_too_often_goes_where_the_settings_say_and_says_where_it_was() {
    for ordered in [false, true] {
        let site = Site::new();
        let dead = site.queue("dead", only_ordered(ordered)).await;
        let source = site.queue("source", redriven("dead", 2, ordered)).await;
        for body in ["a", "b", "c"] {
            site.send(&source, body, Some("g"));
        }
        assert_eq!(site.fail(&source, 2).await, [["a", "b", "c"], ["a", "b", "c"]]);
        assert_eq!((source.status().ready, dead.status().ready), (3, 0), "it goes when it comes up once more");
        assert!(site.fail(&source, 1).await[0].is_empty());
        arrived(&dead, 3).await;
        assert_eq!(source.status().ready, 0);
        let site = site.crash();
        let dead = site.at("dead");
        let expected = ["a", "b", "c"].map(|body| (body.to_owned(), Some("source".to_owned())));
        for header in ["x-last-death-queue", "x-first-death-queue"] {
            assert_eq!(site.headers(&dead, header).await, expected);
        }
        assert_eq!(site.headers(&dead, "x-last-death-reason").await[0].1.as_deref(), Some("delivery_limit"));
        assert_eq!(site.headers(&dead, "x-receive-count").await[0].1.as_deref(), Some("2"));
        assert_eq!(site.headers(&dead, "id").await[0].1.as_deref(), Some("a"), "its own head is kept");
        assert_eq!(site.at("source").status().ready, 0);
    }
}

#[tokio::test]
async fn order_holds_within_each_group_on_the_way_into_an_ordered_queue() {
    let site = Site::new();
    let dead = site.queue("dead", only_ordered(true)).await;
    let source = site.queue("source", redriven("dead", 1, true)).await;
    for n in 0..60 {
        site.send(&source, &format!("{}.{n:02}", n % 3), Some(&format!("g{}", n % 3)));
    }
    while source.status().ready > 0 {
        site.fail(&source, 1).await;
    }
    arrived(&dead, 60).await;
    let site = site.crash();
    let dead = site.at("dead");
    let mut last: [Option<String>; 3] = Default::default();
    for _ in 0..60 {
        let ask = Receive { messages_max: 1, lease_ms: 60_000, leased_max: usize::MAX };
        let received = dead.receive(&ask, &mut Wakes::new());
        let mut items: Vec<_> = received.deliveries.into_iter().map(Item::Delivery).collect();
        let body = site.0.read(&mut items).await.remove(0);
        settle(items, Outcome::Accept);
        let group = body.split('.').next().unwrap().parse::<usize>().unwrap();
        assert!(last[group].as_ref() < Some(&body), "{body} after {:?}", last[group]);
        last[group] = Some(body);
    }
    assert_eq!(dead.status().ready, 0);
}

#[tokio::test]
async fn killed_on_the_way_a_message_is_in_one_of_the_two() {
    for hold_before in [false, true] {
        let site = Site::new();
        let dead = site.queue("dead", QueueSettings::default()).await;
        let source = site.queue("source", redriven("dead", 1, false)).await;
        site.send(&source, "a", None);
        site.fail(&source, 1).await;
        if hold_before {
            site.0.journal.hold();
        }
        site.fail(&source, 1).await;
        arrived(&dead, 1).await;
        let site = site.crash();
        let ready = |name| site.at(name).status().ready;
        assert_eq!((ready("source"), ready("dead")), if hold_before { (1, 0) } else { (0, 1) });
        assert_eq!(site.0.stored(), 1);
    }
}

#[tokio::test]
async fn without_its_queue_a_message_waits_until_there_is_one_or_another_is_named() {
    let site = Site::new();
    let source = site.queue("source", redriven("dead", 1, false)).await;
    let (body, other) = ("a", "b");
    site.send(&source, body, None);
    site.fail(&source, 2).await;
    assert_eq!(site.0.stored(), 1);
    let site = site.crash();
    let source = site.at("source");
    assert_eq!(source.status().ready, 1, "it is where it was");
    site.fail(&source, 1).await;
    let dead = site.queue("dead", QueueSettings::default()).await;
    arrived(&dead, 1).await;
    let elsewhere = site.queue("elsewhere", QueueSettings::default()).await;
    let to = |queue: &str| site.0.vhost.set_settings(&source, redriven(queue, 1, false)).unwrap();
    to("nowhere").wait().await.unwrap();
    site.send(&source, other, None);
    site.fail(&source, 2).await;
    eventually("it has left", || source.status().ready == 0).await;
    to("elsewhere").wait().await.unwrap();
    arrived(&elsewhere, 1).await;
}

#[tokio::test]
async fn two_queues_that_send_to_one_another_go_on_for_as_long_as_somebody_receives() {
    let site = Site::new();
    let (one, other) =
        (site.queue("one", redriven("other", 1, false)).await, site.queue("other", redriven("one", 1, false)).await);
    site.send(&one, "a", None);
    for _ in 0..3 {
        for (from, to) in [(&one, &other), (&other, &one)] {
            assert_eq!(site.fail(from, 2).await, [vec!["a".to_owned()], vec![]]);
            arrived(to, 1).await;
        }
    }
    assert_eq!(site.headers(&one, "x-first-death-queue").await[0].1.as_deref(), Some("one"));
    assert_eq!(site.headers(&one, "x-receive-count").await[0].1.as_deref(), Some("6"), "in all queues");
    assert_eq!(site.headers(&one, "x-last-death-queue").await[0].1.as_deref(), Some("other"));
}

#[tokio::test]
async fn a_message_that_goes_nowhere_any_more_is_back_where_it_was_with_what_it_has_been_through() {
    for ordered in [false, true] {
        let site = Site::new();
        let source = site.queue("source", redriven("gone", 2, ordered)).await;
        ["a", "b"].iter().for_each(|body| site.send(&source, body, Some("g")));
        site.fail(&source, 3).await;
        let status = source.status();
        assert_eq!((status.ready, status.redriving, site.0.stored()), (0, 2, 2), "they are counted where they were");
        site.send(&source, "c", Some("g"));
        site.0.vhost.set_settings(&source, only_ordered(ordered)).unwrap().wait().await.unwrap();
        arrived(&source, 3).await;
        eventually("they are no dead letters any more", || source.status().redriving == 0).await;
        let (bodies, receipts) = site.receive(&source).await;
        assert_eq!(bodies, ["a", "b", "c"]);
        assert_eq!(receipts.iter().map(|receipt| receipt.receives).collect::<Vec<_>>(), [3, 3, 1]);
        source.remove(&receipts, &mut Wakes::new());
        assert_eq!((source.status().ready, site.0.stored()), (0, 0));
    }
}

#[tokio::test]
async fn whoever_empties_a_queue_empties_it_of_what_waits_for_where_it_is_to_go() {
    for receipts_too in [false, true] {
        let site = Site::new();
        let source = site.queue("source", redriven("dead", 1, false)).await;
        let kept = site.queue("kept", redriven("dead", 1, false)).await;
        ["a", "b"].iter().for_each(|body| site.send(&source, body, None));
        site.send(&kept, "c", None);
        site.fail(&source, 2).await;
        site.fail(&kept, 2).await;
        assert_eq!(site.0.stored(), 3);
        let mut count = 0;
        // What is being carried at the very moment is not found.
        eventually("it is empty", || {
            count += if receipts_too { source.discard_all(&mut Wakes::new()).0 } else { source.purge() };
            count == 2
        })
        .await;
        assert_eq!(site.0.stored(), 1);
        let dead = site.queue("dead", QueueSettings::default()).await;
        arrived(&dead, 1).await;
        assert_eq!(site.0.bodies(&dead).await, ["c"]);
    }
}

#[tokio::test]
async fn what_is_removed_by_its_receipt_while_it_waits_to_go_never_gets_there() {
    for ordered in [false, true] {
        let site = Site::new();
        let source = site.queue("source", redriven("dead", 1, ordered)).await;
        ["a", "b"].iter().for_each(|body| site.send(&source, body, Some("g")));
        let (_, receipts) = site.receive(&source).await;
        let given_back: Vec<_> = receipts.iter().map(|receipt| (*receipt, 0)).collect();
        source.extend(&given_back, u64::MAX, &mut Wakes::new());
        assert!(site.receive(&source).await.0.is_empty());
        let older = Receipt { receives: 0, ..receipts[0] };
        assert_eq!(source.remove(&[older], &mut Wakes::new()).0, [Receipted::NotThere]);
        let first = &receipts[..1];
        let mut said = Vec::new();
        eventually("it is not being carried", || {
            said = source.remove(first, &mut Wakes::new()).0;
            ordered || said == [Receipted::Done]
        })
        .await;
        assert_eq!(said, [if ordered { Receipted::NotThere } else { Receipted::Done }]);
        assert_eq!(source.remove(first, &mut Wakes::new()).0, [Receipted::NotThere]);
        let dead = site.queue("dead", QueueSettings::default()).await;
        let left: &[&str] = if ordered { &["a", "b"] } else { &["b"] };
        let left: Vec<String> = left.iter().map(|&body| body.to_owned()).collect();
        arrived(&dead, left.len()).await;
        assert_eq!((site.0.bodies(&dead).await.as_slice(), site.0.stored()), (&left[..], left.len() as u64));
    }
}

#[tokio::test]
async fn what_was_received_and_failed_for_good_goes_there_at_once_or_nowhere() {
    for ordered in [false, true] {
        let site = Site::new();
        let dead = site.queue("dead", only_ordered(ordered)).await;
        let source = site.queue("source", redriven("dead", u32::MAX, ordered)).await;
        for body in ["a", "b"] {
            site.send(&source, body, Some("g"));
        }
        let (bodies, receipts) = site.receive(&source).await;
        assert_eq!(bodies, ["a", "b"]);
        let stale = Receipt { receives: 7, ..receipts[0] };
        let unknown = Receipt { seq: 1 << 40, receives: 1 };
        let (said, _) = source.reject(&[stale, unknown, receipts[0]], &mut Wakes::new());
        assert_eq!(said, [Receipted::Stale, Receipted::NotThere, Receipted::Done]);
        arrived(&dead, 1).await;
        // Its time is over, and nobody has received it since.
        source.extend(&[(receipts[1], 0)], u64::MAX, &mut Wakes::new());
        let (said, _) = source.reject(&[receipts[1]], &mut Wakes::new());
        assert_eq!(said, [if ordered { Receipted::NotLeased } else { Receipted::Done }]);
        let arrives = if ordered { 1 } else { 2 };
        arrived(&dead, arrives).await;
        let site = site.crash();
        assert_eq!(site.at("source").status().ready, 2 - arrives);
        assert_eq!(site.headers(&site.at("dead"), "x-last-death-reason").await[0].1.as_deref(), Some("rejected"));
    }
    let site = Site::new();
    let source = site.queue("source", only_ordered(false)).await;
    site.send(&source, "a", None);
    let (_, receipts) = site.receive(&source).await;
    let (said, ticket) = source.reject(&receipts, &mut Wakes::new());
    assert_eq!((said, ticket.is_some()), (vec![Receipted::Done], true));
    assert_eq!((source.status().ready, source.status().unacked), (0, 0));
}
