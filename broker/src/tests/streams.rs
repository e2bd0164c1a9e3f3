//! Streams: where readers begin, what they get and when, and what is there after a crash.

use std::time::{Duration, Instant};

use bytes::Bytes;
use gantry_storage::{
    DataDir, EmbeddedJournal, EmbeddedLogs, EmbeddedTable, JournalOptions, Logs, LogsOptions, MemoryLogs,
};
use proptest::prelude::*;

use super::*;
use crate::{LogFilter, ReaderOptions, Retention, StreamOffset, Ticket};

/// A broker with logs that outlive it.
pub(super) struct Streams {
    pub(super) rig: Rig,
    logs: Arc<MemoryLogs>,
    log_faults: Faults,
}

impl Streams {
    pub(super) fn new(memory: usize) -> Self {
        let (faults, log_faults) = (Faults::default(), Faults::default());
        let logs = MemoryLogs::new(log_faults.clone());
        let journal = MemoryJournal::new(faults.clone());
        Self::on(journal, HeldTable::default(), Found::default(), logs, [faults, log_faults], memory)
    }

    fn on(
        journal: MemoryJournal,
        table: HeldTable,
        found: Found,
        logs: MemoryLogs,
        [faults, log_faults]: [Faults; 2],
        memory: usize,
    ) -> Self {
        let (journal, table, logs) = (Arc::new(journal), Arc::new(table), Arc::new(logs));
        let sources = Sources::new(vec![&Plain, &Tagged]);
        let options = BrokerOptions { logs: Arc::<MemoryLogs>::clone(&logs), sources, ..options(memory) };
        let broker = Broker::open(options, journal.clone(), table.clone(), found).unwrap();
        let vhost = vhost(&broker);
        Self { rig: Rig { broker, vhost, journal, table, faults }, logs, log_faults }
    }

    /// As a process finds it that starts after this one was killed: of the logs what was synced.
    pub(super) fn crash(self) -> Self {
        let mut found = Found::default();
        let journal = self.rig.journal.reopen(&mut found);
        let table = HeldTable { rows: self.rig.table.rows.reopen(), ..HeldTable::default() };
        Self::on(journal, table, found, self.logs.reopen(), [self.rig.faults, self.log_faults], PLENTY)
    }

    pub(super) fn restart(self) -> Self {
        self.rig.broker.start_closing();
        self.rig.broker.close().unwrap();
        self.crash()
    }

    pub(super) async fn stream(&self, arguments: &[(&str, Value)]) -> Arc<Queue> {
        let mut table = Table::new();
        table.push("x-queue-type", "stream");
        for (name, value) in arguments {
            table.push(*name, value.clone());
        }
        self.rig.queue("s", QueueOptions { arguments: table, ..durable() }).await
    }

    fn queue(&self) -> Arc<Queue> {
        self.rig.vhost.queue("s", CLIENT).unwrap()
    }

    fn publish(&self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            self.rig.publish("", "s", &number.to_string()).unwrap();
        }
    }

    async fn read(&self, start: StreamOffset, prefetch: u32) -> TestReader {
        self.read_with(ReaderOptions { prefetch, start, filter: None }).await
    }

    async fn read_with(&self, options: ReaderOptions) -> TestReader {
        let (inbox, queue) = (Inbox::new(1 << 20), self.queue());
        let vhost = &self.rig.vhost;
        let subscription = vhost.read(&queue, outlet(&inbox, 7), options, &mut Wakes::new()).await.unwrap();
        TestReader {
            broker: Arc::clone(&self.rig.broker),
            inbox,
            subscription: Some(subscription),
            unsettled: Vec::new(),
        }
    }

    /// All that is durable is in the log, and the journal has forgotten it.
    async fn copied(&self) {
        until("it is copied", || self.rig.stored() == 0).await;
    }
}

/// Looks again and again until something is so: for what is done in the background.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end, "never so: {what}");
        tokio::task::yield_now().await;
    }
}

struct TestReader {
    broker: Arc<Broker>,
    inbox: Arc<Inbox>,
    subscription: Option<Subscription>,
    unsettled: Vec<crate::Lease>,
}

impl TestReader {
    /// What has come, with offsets.
    async fn take(&mut self) -> Vec<(u64, String)> {
        let mut items = taken(&self.inbox);
        assert_eq!(self.broker.load(&mut items).await, [] as [u64; 0]);
        let mut got = Vec::new();
        for item in items {
            let Item::Delivery(delivery) = &item else { panic!("{item:?}") };
            assert!(!delivery.redelivered && delivery.attempts == 0);
            self.unsettled.push(delivery.lease.unwrap());
            got.push((delivery.offset.unwrap(), body_of(&item).unwrap()));
        }
        if self.inbox.was_starved() {
            self.subscription.as_ref().unwrap().resume(&mut Wakes::new());
        }
        got
    }

    fn settle(&mut self, outcome: Outcome) {
        let queue = self.subscription.as_ref().unwrap().queue();
        queue.settle(&std::mem::take(&mut self.unsettled), outcome, &mut Wakes::new());
    }

    /// Reads until so many have come.
    async fn wait_for(&mut self, count: usize) -> Vec<(u64, String)> {
        let mut got = Vec::new();
        let end = Instant::now() + Duration::from_secs(30);
        while got.len() < count {
            assert!(Instant::now() < end, "{} of {count}", got.len());
            got.extend(self.take().await);
            self.settle(Outcome::Accept);
            tokio::task::yield_now().await;
        }
        got
    }
}

fn numbered(offsets: std::ops::Range<u64>) -> Vec<(u64, String)> {
    offsets.map(|offset| (offset, offset.to_string())).collect()
}

#[tokio::test]
async fn readers_begin_where_they_ask_to_whether_it_is_in_memory_or_not() {
    for memory in [PLENTY, SCARCE] {
        let streams = Streams::new(memory);
        streams.stream(&[]).await;
        let mut following = streams.read(StreamOffset::Next, 1000).await;
        streams.publish(0..100);
        if memory == SCARCE {
            streams.copied().await;
        }
        assert_eq!(following.wait_for(100).await, numbered(0..100));
        for (start, from) in [
            (StreamOffset::First, 0),
            (StreamOffset::Offset(0), 0),
            (StreamOffset::Offset(42), 42),
            (StreamOffset::Last, 99),
            (StreamOffset::Time(0), 0),
            (StreamOffset::Interval(60_000), 0),
            (StreamOffset::Interval(u64::MAX), 0),
        ] {
            let mut reader = streams.read(start, 1000).await;
            assert_eq!(reader.wait_for(100 - from as usize).await, numbered(from..100), "{start:?}");
            assert_eq!(reader.take().await, []);
        }
        for start in [StreamOffset::Next, StreamOffset::Time(u64::MAX), StreamOffset::Interval(0)] {
            // Of two clocks read within one millisecond the second is not later.
            until("a millisecond has passed", {
                let before = now_ms();
                move || now_ms() > before
            })
            .await;
            let mut reader = streams.read(start, 1000).await;
            assert_eq!(reader.take().await, [], "{start:?}");
        }
        let mut beyond = streams.read(StreamOffset::Offset(110), 1000).await;
        streams.publish(100..120);
        assert_eq!(beyond.wait_for(10).await, numbered(110..120));
        assert_eq!(following.wait_for(20).await, numbered(100..120));
        assert_eq!(streams.queue().status().ready, 120);
    }
}

#[tokio::test]
async fn an_outcome_gives_credit_and_nothing_comes_twice() {
    for memory in [PLENTY, SCARCE] {
        let streams = Streams::new(memory);
        streams.stream(&[]).await;
        streams.publish(0..20);
        if memory == SCARCE {
            streams.copied().await;
        }
        let mut reader = streams.read(StreamOffset::First, 3).await;
        let mut got = Vec::new();
        for outcome in [Outcome::Accept, Outcome::Reject, Outcome::Retry, Outcome::Release] {
            let more = reader.take().await;
            assert_eq!(more.len(), 3);
            assert_eq!(reader.take().await, []);
            assert_eq!(streams.queue().status().unacked, 3);
            got.extend(more);
            reader.settle(outcome);
        }
        got.extend(reader.wait_for(8).await);
        assert_eq!(got, numbered(0..20));
        assert_eq!(streams.queue().status().ready, 20, "nobody takes anything out");
        // Said once more, it is worth nothing.
        let queue = streams.queue();
        let mut other = streams.read(StreamOffset::First, 1).await;
        other.take().await;
        let lease = other.unsettled[0];
        queue.settle(&[lease, lease, lease], Outcome::Accept, &mut Wakes::new());
        assert_eq!(other.take().await.len(), 1);
    }
}

#[tokio::test]
async fn nothing_is_seen_before_it_is_durable_nor_ahead_of_what_came_before_it() {
    let streams = Streams::new(PLENTY);
    streams.stream(&[]).await;
    let mut reader = streams.read(StreamOffset::First, 100).await;
    streams.rig.journal.hold();
    streams.publish(0..10);
    assert_eq!(reader.take().await, []);
    assert_eq!(streams.queue().status().ready, 0);
    streams.rig.journal.release();
    assert_eq!(reader.wait_for(10).await, numbered(0..10));
}

#[tokio::test]
async fn what_the_disk_has_no_room_for_leaves_a_gap_and_nobody_waits_for_it() {
    let streams = Streams::new(PLENTY);
    streams.stream(&[]).await;
    streams.publish(0..2);
    streams.rig.faults.set_full(true);
    for _ in 0..3 {
        assert!(matches!(streams.rig.publish("", "s", "refused"), Err(Error::Full)));
    }
    let route = streams.rig.vhost.route(&mut RouteCache::default(), "", b"s").unwrap();
    let message = plain("", "s", Essentials::default(), b"refused");
    let transaction = crate::Transaction { publishes: vec![(route, message)], ..Default::default() };
    let refused = streams.rig.vhost.commit_transaction(&transaction, now_ms(), &mut Wakes::new());
    assert!(matches!(refused, Err(Error::Full)));
    streams.rig.faults.set_full(false);
    streams.publish(6..8);
    let mut reader = streams.read(StreamOffset::First, 100).await;
    let expected = [numbered(0..2), numbered(6..8)].concat();
    assert_eq!(reader.wait_for(4).await, expected);
    streams.copied().await;
    let streams = streams.crash();
    assert_eq!(streams.read(StreamOffset::First, 100).await.wait_for(4).await, expected);
}

#[tokio::test]
async fn a_message_of_any_kind_is_kept_and_never_expires() {
    let streams = Streams::new(PLENTY);
    streams.stream(&[]).await;
    let essentials = Essentials { durable: false, priority: 9, ttl_ms: Some(0), group: None, delay_ms: None };
    let published = streams.rig.publish_with("", "s", "0", essentials).unwrap();
    assert!(published.durable.is_some());
    let streams = streams.crash();
    assert_eq!(streams.read(StreamOffset::First, 10).await.wait_for(1).await, numbered(0..1));
    let streams = streams.restart();
    assert_eq!(streams.read(StreamOffset::First, 10).await.wait_for(1).await, numbered(0..1));
}

#[tokio::test]
async fn one_record_goes_to_streams_and_queues_together() {
    let streams = Streams::new(PLENTY);
    streams.stream(&[]).await;
    streams.rig.queue("q", durable()).await;
    for queue in ["s", "q"] {
        streams.rig.bind("amq.fanout", (crate::Kind::Queue, queue), "").await;
    }
    streams.rig.journal.hold();
    assert_eq!(streams.rig.publish("amq.fanout", "", "0").unwrap().routed, 2);
    assert_eq!(streams.rig.stored(), 2);
    streams.rig.journal.release();
    until("the journal has forgotten one of them", || streams.rig.stored() == 1).await;
    let streams = streams.crash();
    assert_eq!(streams.read(StreamOffset::First, 10).await.wait_for(1).await, numbered(0..1));
    let queue = streams.rig.vhost.queue("q", CLIENT).unwrap();
    assert_eq!(streams.rig.bodies(&queue).await, ["0"]);
}

/// The rig's source has no headers: those of this one are the head.
struct Tagged;

impl crate::Source for Tagged {
    fn id(&self) -> u8 {
        254
    }

    fn properties(&self, head: &[u8]) -> crate::Properties {
        let headers = (!head.is_empty()).then(|| {
            let mut headers = Table::new();
            headers.push("x-stream-filter-value", std::str::from_utf8(head).unwrap());
            headers
        });
        crate::Properties { headers, ..crate::Properties::default() }
    }

    fn edited(&self, head: &[u8], _: &crate::message::Edit<'_>, out: &mut bytes::BytesMut) {
        out.extend_from_slice(head);
    }
}

#[tokio::test]
async fn a_filter_is_exact_in_memory_and_in_the_log() {
    for memory in [PLENTY, SCARCE] {
        let streams = Streams::new(memory);
        streams.stream(&[]).await;
        let route = streams.rig.vhost.route(&mut RouteCache::default(), "", b"s").unwrap();
        let long = "x".repeat(300);
        for number in 0..300_usize {
            let tag = ["", "a", "b", &long][number % 4];
            let data = crate::message::assemble(tag.as_bytes(), 9, number.to_string().as_bytes()).freeze();
            let address = Arc::clone(route.address());
            let message = crate::Message::new(&Tagged, address, Essentials::default(), tag.len() as u32, data);
            streams.rig.vhost.publish(&route, &message, now_ms(), &mut Wakes::new()).unwrap();
        }
        if memory == SCARCE {
            streams.copied().await;
        }
        for (tags, untagged, which) in
            [(&["a"][..], false, &[1][..]), (&["a", "b"], true, &[0, 1, 2, 3]), (&[], true, &[0, 3])]
        {
            let tags = tags.iter().map(|tag| Bytes::from_static(tag.as_bytes())).collect();
            let filter = Some(LogFilter { tags, untagged });
            let mut reader =
                streams.read_with(ReaderOptions { prefetch: 10, start: StreamOffset::First, filter }).await;
            let expected: Vec<_> =
                numbered(0..300).into_iter().filter(|(offset, _)| which.contains(&(offset % 4))).collect();
            assert_eq!(reader.wait_for(expected.len()).await, expected);
            assert_eq!(reader.take().await, []);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn publishers_that_race_leave_no_hole_and_every_reader_sees_the_same_order() {
    let streams = Arc::new(Streams::new(PLENTY));
    streams.stream(&[]).await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(streams.read(StreamOffset::First, 100).await);
    }
    let publishers: Vec<_> = (0..4_u64)
        .map(|publisher| {
            let streams = Arc::clone(&streams);
            std::thread::spawn(move || streams.publish(publisher * 1000..publisher * 1000 + 1000))
        })
        .collect();
    let mut seen = Vec::new();
    for reader in &mut readers {
        seen.push(reader.wait_for(4000).await);
    }
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    assert!(seen[0].iter().map(|(offset, _)| *offset).eq(0..4000));
    assert!(seen.iter().all(|other| *other == seen[0]));
    for publisher in 0..4_u64 {
        let numbers = seen[0].iter().map(|(_, body)| body.parse::<u64>().unwrap());
        let own: Vec<u64> = numbers.filter(|number| number / 1000 == publisher).collect();
        assert!(own.is_sorted() && own.len() == 1000);
    }
}

#[tokio::test]
async fn only_the_first_reader_is_active_where_that_was_asked_for() {
    let streams = Streams::new(PLENTY);
    streams.stream(&[("x-single-active-consumer", Value::Bool(true))]).await;
    streams.publish(0..10);
    let mut first = streams.read(StreamOffset::First, 100).await;
    let mut second = streams.read(StreamOffset::Offset(5), 100).await;
    assert_eq!(first.wait_for(10).await, numbered(0..10));
    assert_eq!(second.take().await, []);
    first.subscription.take().unwrap().cancel();
    assert_eq!(second.wait_for(5).await, numbered(5..10));
}

#[tokio::test]
async fn a_deleted_stream_is_gone_with_its_log_and_tells_its_readers() {
    let streams = Streams::new(PLENTY);
    let queue = streams.stream(&[]).await;
    streams.publish(0..10);
    streams.copied().await;
    assert_eq!(streams.logs.list().unwrap(), [queue.lane()]);
    let reader = streams.read(StreamOffset::Next, 10).await;
    streams.rig.journal.hold();
    streams.publish(10..20);
    let conditions = crate::DeleteQueue { if_unused: true, if_empty: true };
    assert_eq!(streams.rig.vhost.delete_queue("s", conditions, CLIENT).await.unwrap(), 0);
    assert!(matches!(taken(&reader.inbox)[..], [Item::Cancelled(7)]));
    streams.rig.journal.release();
    until("its log is removed", || streams.logs.list().unwrap().is_empty()).await;
    until("the journal has forgotten it", || streams.rig.stored() == 0).await;
    // Its namesake is another one.
    streams.stream(&[]).await;
    assert_eq!(streams.queue().status().ready, 0);
    streams.publish(0..1);
    assert_eq!(streams.read(StreamOffset::First, 10).await.wait_for(1).await, numbered(0..1));
}

#[tokio::test]
async fn the_log_of_a_stream_whose_row_is_gone_is_removed_at_the_next_start() {
    let streams = Streams::new(PLENTY);
    streams.stream(&[]).await;
    streams.publish(0..10);
    streams.copied().await;
    let lost = streams.logs.open(99, gantry_storage::LogOptions { segment_bytes: 4096 }).unwrap();
    lost.sync().unwrap();
    assert_eq!(streams.logs.list().unwrap().len(), 2);
    let streams = streams.restart();
    assert_eq!(streams.logs.list().unwrap(), [streams.queue().lane()]);
    assert_eq!(streams.queue().status().ready, 10);
}

#[tokio::test]
async fn the_oldest_segments_go_when_there_are_too_many_bytes_and_when_they_are_too_old() {
    let streams = Streams::new(PLENTY);
    let segment = ("x-stream-max-segment-size-bytes", Value::I32(4096));
    let queue = streams.stream(&[segment, ("x-max-length-bytes", Value::I32(10_000))]).await;
    streams.publish(0..2000);
    streams.copied().await;
    until("the oldest are gone", || queue.status().ready < 600).await;
    let left = queue.status().ready as u64;
    assert!(left > 100);
    let mut reader = streams.read(StreamOffset::First, 10_000).await;
    assert_eq!(reader.wait_for(left as usize).await, numbered(2000 - left..2000));
    // Changed while it lives.
    queue.set_retention(Retention { bytes_max: None, age_max_ms: Some(1) });
    until("all but the last segment are gone", || (queue.status().ready as u64) < left).await;
    assert!(queue.status().ready > 0);
    // A reader that was far behind goes on with what is there.
    let mut late = streams.read(StreamOffset::Offset(3), 10_000).await;
    let got = late.wait_for(1).await;
    assert!(got[0].0 > 2000 - left, "{got:?}");
    let streams = streams.restart();
    streams.publish(2000..2001);
    assert_eq!(streams.read(StreamOffset::Last, 1).await.wait_for(1).await, numbered(2000..2001));
}

#[tokio::test]
async fn a_policy_changes_what_a_stream_lets_go_of_while_it_lives() {
    let streams = Streams::new(PLENTY);
    let queue = streams.stream(&[("x-stream-max-segment-size-bytes", Value::I32(4096))]).await;
    streams.publish(0..2000);
    streams.copied().await;
    assert_eq!(queue.status().ready, 2000);
    let policy = |name: &str, settings: &[(&str, Value)]| crate::Policy {
        name: name.to_owned(),
        pattern: crate::rights::Pattern::new("^s$").unwrap(),
        apply_to: crate::ApplyTo::Queues,
        priority: 1,
        definition: settings.iter().cloned().collect(),
    };
    // Streams have no such limit, and the whole policy is not for them.
    let other = policy("other", &[("max-length", Value::I64(1)), ("max-length-bytes", Value::I64(1))]);
    streams.rig.vhost.set_policy(crate::PolicyKind::User, other).await.unwrap();
    assert_eq!((queue.applied().policy(), queue.status().ready), (None, 2000));
    let limit = policy("limit", &[("max-length-bytes", Value::I64(10_000))]);
    streams.rig.vhost.set_policy(crate::PolicyKind::User, limit).await.unwrap();
    assert_eq!(queue.applied().policy(), Some("limit"));
    until("the oldest are gone", || queue.status().ready < 600).await;
}

#[tokio::test]
async fn a_log_that_has_no_room_is_caught_up_with_later() {
    let streams = Streams::new(PLENTY);
    streams.stream(&[]).await;
    streams.publish(0..5);
    streams.copied().await;
    let queue = streams.queue();
    streams.rig.journal.hold();
    streams.publish(5..10);
    // Durable from here on, and no room to copy it.
    streams.log_faults.set_full(true);
    streams.rig.journal.release();
    let mut reader = streams.read(StreamOffset::First, 100).await;
    assert_eq!(reader.wait_for(10).await, numbered(0..10));
    assert_eq!(queue.status().ready, 10);
    assert_eq!(streams.rig.stored(), 5, "the journal keeps it");
    let streams = streams.crash();
    assert_eq!(streams.read(StreamOffset::First, 100).await.wait_for(10).await, numbered(0..10));
    streams.log_faults.set_full(false);
    streams.copied().await;
}

#[tokio::test]
async fn a_log_that_fails_costs_no_message() {
    let streams = Streams::new(PLENTY);
    streams.stream(&[]).await;
    streams.rig.journal.hold();
    streams.publish(0..5);
    streams.log_faults.fail_sync(1);
    streams.rig.journal.release();
    let mut reader = streams.read(StreamOffset::First, 100).await;
    assert_eq!(reader.wait_for(5).await, numbered(0..5));
    streams.publish(5..7);
    assert_eq!(reader.wait_for(2).await, numbered(5..7));
    let streams = streams.crash();
    assert_eq!(streams.read(StreamOffset::First, 100).await.wait_for(7).await, numbered(0..7));
}

#[derive(Clone, Debug)]
enum Step {
    Publish(u64),
    Hold,
    Release,
    /// Lets the background get so far as it gets, or all the way.
    Pause(bool),
    Read,
    Full(bool),
    Crash,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (1..20_u64).prop_map(Step::Publish),
        2 => Just(Step::Hold),
        3 => Just(Step::Release),
        4 => any::<bool>().prop_map(Step::Pause),
        4 => Just(Step::Read),
        1 => any::<bool>().prop_map(Step::Full),
        2 => Just(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

async fn run(steps: Vec<Step>, memory: usize) {
    let mut streams = Streams::new(memory);
    streams.stream(&[("x-stream-max-segment-size-bytes", Value::I32(4096))]).await;
    // Body and ticket of what was published; what a reader was shown, by offset.
    let mut sent: Vec<(String, Ticket)> = Vec::new();
    let mut shown: std::collections::BTreeMap<u64, String> = std::collections::BTreeMap::new();
    let (mut number, mut held) = (0, false);
    for step in steps.into_iter().chain([Step::Full(false), Step::Crash]) {
        match step {
            Step::Publish(count) => {
                for _ in 0..count {
                    let body = number.to_string();
                    number += 1;
                    match streams.rig.publish("", "s", &body) {
                        Ok(published) => sent.push((body, published.durable.unwrap())),
                        Err(Error::Full) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            Step::Hold => {
                streams.rig.journal.hold();
                held = true;
            }
            Step::Release => {
                streams.rig.journal.release();
                held = false;
            }
            Step::Pause(false) => tokio::task::yield_now().await,
            Step::Pause(true) => {
                if !held && !streams.rig.journal.usage().full {
                    streams.copied().await;
                }
            }
            Step::Full(full) => {
                streams.rig.faults.set_full(full);
                streams.log_faults.set_full(full);
            }
            Step::Read => {
                let ready = streams.queue().status().ready;
                let mut reader = streams.read(StreamOffset::First, 100_000).await;
                for (offset, body) in reader.wait_for(ready).await {
                    assert_eq!(*shown.entry(offset).or_insert_with(|| body.clone()), body, "an offset has one message");
                }
            }
            Step::Crash | Step::Restart => {
                let durable = streams.rig.broker.durable();
                let orderly = matches!(step, Step::Restart);
                streams = if orderly { streams.restart() } else { streams.crash() };
                held = false;
                let ready = streams.queue().status().ready;
                let found = streams.read(StreamOffset::First, 100_000).await.wait_for(ready).await;
                assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0), "offsets rise");
                let mut rest = sent.iter();
                for (offset, body) in &found {
                    assert!(rest.any(|(sent, _)| sent == body), "{body} is there twice, or out of order");
                    assert!(shown.get(offset).is_none_or(|seen| seen == body), "{offset} was another one");
                }
                for (offset, body) in &shown {
                    assert!(found.contains(&(*offset, body.clone())), "{body} was seen and is gone");
                }
                for (body, ticket) in &sent {
                    let is_there = found.iter().any(|(_, found)| found == body);
                    assert!(is_there || !orderly && *ticket > durable, "{body} was confirmed and is lost");
                }
                sent.retain(|(body, _)| found.iter().any(|(_, found)| found == body));
                sent.iter_mut().for_each(|(_, ticket)| *ticket = Ticket::default());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn what_was_confirmed_or_seen_is_there_once_at_its_place_after_any_crash(
        steps in prop::collection::vec(step(), 1..40),
        scarce in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps, if scarce { SCARCE } else { PLENTY }));
    }
}

/// A broker on files, in a runtime of its own: with it goes everything that keeps them open.
fn on_disk(folder: &std::path::Path, test: impl AsyncFnOnce(&Arc<Broker>, &Arc<VirtualHost>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = DataDir::lock(folder).unwrap();
    let mut found = Found::default();
    let journal_options = JournalOptions { disk_free_min_bytes: 0, ..JournalOptions::default() };
    let journal = Arc::new(EmbeddedJournal::open(&dir.journal(), journal_options, &mut found).unwrap());
    let table = Arc::new(EmbeddedTable::open(&dir.tables()).unwrap());
    let logs = Arc::new(EmbeddedLogs::new(&dir.logs(), LogsOptions::default()));
    runtime.block_on(async {
        let broker = Broker::open(BrokerOptions { logs, ..options(SCARCE) }, journal, table, found).unwrap();
        test(&broker, &vhost(&broker)).await;
    });
}

#[test]
fn the_embedded_engines_keep_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..3_u64 {
        on_disk(folder.path(), async |broker, vhost| {
            let mut arguments = Table::new();
            arguments.push("x-queue-type", "stream");
            let options = QueueOptions { arguments, ..durable() };
            let queue = vhost.declare_queue(QueueName::Given("s"), options, CLIENT).await.unwrap();
            assert_eq!(queue.status().ready as u64, round * 500);
            let mut last = None;
            for number in round * 500..round * 500 + 500 {
                let route = vhost.route(&mut RouteCache::default(), "", b"s").unwrap();
                let essentials = Essentials { durable: true, ..Essentials::default() };
                let message = plain("", "s", essentials, number.to_string().as_bytes());
                last = vhost.publish(&route, &message, now_ms(), &mut Wakes::new()).unwrap().durable;
            }
            broker.watch_durable().wait_for(|durable| Some(*durable) >= last).await.unwrap();
            let inbox = Inbox::new(1 << 20);
            let options = ReaderOptions { prefetch: 100, start: StreamOffset::First, filter: None };
            let subscription = vhost.read(&queue, outlet(&inbox, 7), options, &mut Wakes::new()).await.unwrap();
            let broker = Arc::clone(broker);
            let mut reader = TestReader { broker, inbox, subscription: Some(subscription), unsettled: Vec::new() };
            let count = (round + 1) * 500;
            assert_eq!(reader.wait_for(count as usize).await, numbered(0..count));
            if round == 0 {
                reader.broker.start_closing();
                reader.broker.close().unwrap();
            }
        });
    }
}
