//! The state machine against a model that is too simple to be wrong, and what arguments and offsets come to.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use gantry_storage::{LogCursor, LogFilter, LogRange, Ticket};
use proptest::prelude::*;

use super::options::{STREAM_SEGMENT_BYTES_MAX, duration_ms};
use super::reader::Reader;
use super::recent::Recent;
use super::state::{Effects, Grant, State};
use super::{InvalidOffset, Retention, StreamOffset, StreamRules};
use crate::error::{ArgumentProblem, Error, Kind, Resource};
use crate::message::tests::plain;
use crate::queue::{Effective, Outcome, Place, QueueOptions};
use crate::value::{Table, Value};
use crate::{Essentials, QueueType};

const TAGS: [Option<&[u8]>; 3] = [None, Some(b"a"), Some(b"b")];

/// What the state machine asked for.
#[derive(Default)]
struct Asked {
    /// Reader and offset.
    delivered: Vec<(usize, u64)>,
    runs: Vec<(usize, Grant)>,
    no_room: Option<usize>,
}

impl Effects<usize> for Asked {
    fn take_room(&mut self, outlet: &usize) -> bool {
        self.no_room != Some(*outlet)
    }

    fn deliver(&mut self, outlet: &usize, _: u32, recent: &Recent) {
        self.delivered.push((*outlet, recent.offset));
    }

    fn read(&mut self, outlet: &usize, grant: Grant) -> bool {
        self.runs.push((*outlet, grant));
        true
    }
}

/// A reader, as the model sees it.
struct Known {
    number: u32,
    from: u64,
    wants: Option<Vec<Option<&'static [u8]>>>,
    prefetch: u32,
    held: u32,
    got: Vec<u64>,
    starved: bool,
}

#[derive(Clone, Debug)]
enum Step {
    /// A publisher takes an offset.
    Take,
    /// The n-th of those that wait comes back from the journal, or does not.
    Arrive(usize, bool),
    /// The journal gets on.
    Durable(u64),
    /// So many bytes are copied into the log, and so many stay in memory.
    Copy(u64, u64),
    /// From an offset, with a prefetch and tags.
    Subscribe(u64, u32, Option<[bool; 3]>),
    /// The n-th reader says an outcome of one message.
    Settle(usize, bool),
    /// The n-th run is read.
    Read(usize),
    Unsubscribe(usize),
    /// The n-th reader has no room, for one step.
    NoRoom(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => Just(Step::Take),
        10 => (0..4_usize, prop::bool::weighted(0.9)).prop_map(|(n, there)| Step::Arrive(n, there)),
        6 => (1..4_u64).prop_map(Step::Durable),
        4 => (0..3000_u64, 0..3000_u64).prop_map(|(bytes, keep)| Step::Copy(bytes, keep)),
        3 => (0..30_u64, 1..5_u32, prop::option::of(any::<[bool; 3]>())).prop_map(|(from, n, tags)| Step::Subscribe(from, n, tags)),
        10 => (0..4_usize, any::<bool>()).prop_map(|(n, accept)| Step::Settle(n, accept)),
        6 => (0..3_usize).prop_map(Step::Read),
        1 => (0..4_usize).prop_map(Step::Unsubscribe),
        1 => (0..4_usize).prop_map(Step::NoRoom),
    ]
}

fn recent(offset: u64, ticket: u64) -> Recent {
    Recent {
        offset,
        timestamp_ms: offset,
        tag: TAGS[offset as usize % 3].map(Bytes::from_static),
        message: plain("", "q", Essentials::default(), &[0; 100]),
        place: Place::NONE,
        ticket: Ticket(ticket),
    }
}

fn run(steps: Vec<Step>, single_active: bool) {
    let mut state: State<usize> = State::new(single_active);
    let mut readers: BTreeMap<usize, Known> = BTreeMap::new();
    let mut runs: Vec<(usize, Grant)> = Vec::new();
    // Offsets with the ticket of the message, or none where they were given up.
    let mut arrived: BTreeMap<u64, Option<u64>> = BTreeMap::new();
    let (mut taken, mut next, mut ticket, mut durable) = (Vec::new(), 0, 0, 0);
    let mut log: Vec<u64> = Vec::new();
    let (mut log_next, mut names) = (0, 0);
    for step in steps {
        let mut asked = Asked::default();
        let nth = |readers: &BTreeMap<usize, Known>, n: usize| readers.keys().nth(n % readers.len().max(1)).copied();
        match step {
            Step::Take => {
                taken.push(next);
                next += 1;
            }
            Step::Arrive(n, there) => {
                if taken.is_empty() {
                    continue;
                }
                let offset = taken.remove(n % taken.len());
                ticket += u64::from(there);
                assert!(state.arrive(offset, there.then(|| recent(offset, ticket))));
                arrived.insert(offset, there.then_some(ticket));
                if state.waits_for().is_some_and(|waits| waits <= Ticket(durable)) && state.advance(Ticket(durable)) {
                    state.grant_all(&mut asked);
                }
            }
            Step::Durable(more) => {
                durable = ticket.min(durable + more);
                if state.advance(Ticket(durable)) {
                    state.grant_all(&mut asked);
                }
            }
            Step::Copy(bytes, keep) => {
                for copied in state.to_copy(bytes) {
                    log.push(copied.offset);
                    log_next = copied.offset + 1;
                }
                let first = log.first().copied().unwrap_or(0);
                let range = LogRange { first, next: log_next, records: log.len() as u64, ..LogRange::default() };
                state.copied(range, keep);
            }
            Step::Subscribe(from, prefetch, tags) => {
                let wants: Option<Vec<_>> = tags
                    .map(|tags| TAGS.into_iter().zip(tags).filter(|(_, wanted)| *wanted).map(|(tag, _)| tag).collect());
                let filter = wants.as_ref().map(|wants| {
                    let tags = wants.iter().flatten().map(|tag| Bytes::from_static(tag)).collect();
                    Arc::new(LogFilter { tags, untagged: wants.contains(&None) })
                });
                let name = names;
                names += 1;
                let number = state.subscribe(Reader::new(name, prefetch, from, filter)).unwrap();
                readers.insert(name, Known { number, from, wants, prefetch, held: 0, got: Vec::new(), starved: false });
                state.grant(number, &mut asked);
            }
            Step::Settle(n, accept) => {
                let Some(name) = nth(&readers, n) else { continue };
                let reader = readers.get_mut(&name).unwrap();
                let held = reader.held;
                reader.held = held.saturating_sub(1);
                // More than it has: that must not come to more credit.
                state.settle(reader.number, if accept { Outcome::Accept } else { Outcome::Retry });
                reader.starved = false;
                state.grant(reader.number, &mut asked);
            }
            Step::Read(n) => {
                if runs.is_empty() {
                    continue;
                }
                let (name, grant) = runs.remove(n % runs.len());
                let from = grant.cursor.offset;
                let wants = |offset: &&u64| {
                    grant.filter.as_ref().is_none_or(|filter| filter.wants(TAGS[**offset as usize % 3]))
                };
                let read: Vec<u64> = log.iter().filter(|offset| **offset >= from).filter(wants).copied().collect();
                let read = &read[..read.len().min(grant.records_max as usize)];
                let whole = read.len() < grant.records_max as usize;
                let to = if whole { log_next } else { read.last().map_or(from, |last| last + 1) };
                let cursor = LogCursor::at(to.max(from));
                let is_there = state.has_read(grant.reader, cursor, read.len() as u32).is_some();
                assert_eq!(is_there, readers.contains_key(&name));
                if is_there {
                    asked.delivered.extend(read.iter().map(|offset| (name, *offset)));
                    state.grant(grant.reader, &mut asked);
                }
            }
            Step::Unsubscribe(n) => {
                let Some(name) = nth(&readers, n) else { continue };
                let gone = readers.remove(&name).unwrap();
                assert!(state.unsubscribe(gone.number));
                state.grant_all(&mut asked);
            }
            Step::NoRoom(n) => {
                let Some(name) = nth(&readers, n) else { continue };
                asked.no_room = Some(name);
                let reader = readers.get_mut(&name).unwrap();
                reader.starved = true;
                state.grant(reader.number, &mut asked);
                assert!(asked.delivered.is_empty() && asked.runs.is_empty());
                // Then it has some again.
                asked.no_room = None;
                reader.starved = false;
                state.grant(reader.number, &mut asked);
            }
        }
        for (name, offset) in asked.delivered {
            let reader = readers.get_mut(&name).expect("nothing comes to one that is gone");
            reader.got.push(offset);
            reader.held += 1;
        }
        runs.extend(asked.runs);

        // What can be read: everything before the first that is missing or not durable.
        let hidden = (0..next).find(|offset| match arrived.get(offset) {
            None => true,
            Some(ticket) => ticket.is_some_and(|ticket| ticket > durable),
        });
        let visible = hidden.unwrap_or(next);
        let there: Vec<u64> =
            arrived.iter().filter(|(_, ticket)| ticket.is_some()).map(|(offset, _)| *offset).collect();
        let active = readers.keys().next().copied();
        for (name, reader) in &readers {
            let wants =
                |offset: &&u64| reader.wants.as_ref().is_none_or(|wants| wants.contains(&TAGS[**offset as usize % 3]));
            let all: Vec<u64> = there
                .iter()
                .filter(|offset| **offset >= reader.from && **offset < visible)
                .filter(wants)
                .copied()
                .collect();
            assert!(all.starts_with(&reader.got), "{:?} of {all:?}", reader.got);
            assert!(reader.held <= reader.prefetch, "{} of {}", reader.held, reader.prefetch);
            let reads = runs.iter().any(|(reading, grant)| reading == name && grant.reader == reader.number);
            let is_done = reader.got.len() == all.len() || reader.held == reader.prefetch || reads;
            let stands_by = single_active && active != Some(*name);
            assert!(is_done || stands_by, "{:?} of {all:?}, holding {}", reader.got, reader.held);
            assert!(!stands_by || reader.got.is_empty());
        }
        let readable = there.iter().filter(|offset| **offset < visible).count();
        assert_eq!(state.status().ready, readable);
        let last = there.iter().rfind(|offset| **offset < visible);
        assert_eq!(state.last(), last.copied().unwrap_or(state.next()));
        assert!(state.recent_len() >= readable - log.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn readers_get_what_is_durable_in_order_once_and_as_much_as_they_asked_for(
        steps in prop::collection::vec(step(), 1..150),
        single_active in any::<bool>(),
    ) {
        run(steps, single_active);
    }
}

#[test]
fn durations_are_numbers_with_a_unit() {
    for (text, ms) in [
        ("1s", 1000),
        ("2m", 120_000),
        ("3h", 10_800_000),
        ("1D", 86_400_000),
        ("1M", 2_592_000_000),
        ("1Y", 31_536_000_000),
        ("007s", 7000),
        ("99999999999999999999Y", u64::MAX),
        ("18446744073709551615s", u64::MAX),
    ] {
        assert_eq!(duration_ms(text), Some(ms), "{text}");
    }
    for text in ["", "s", "1", "0s", "-1s", "+1s", "1x", "1h30m", "1 s", " 1s", "1.5h", "1S", "1d", "h1", "1ß", "ß"] {
        assert_eq!(duration_ms(text), None, "{text}");
    }
}

#[test]
fn offsets_are_read_and_absurd_ones_are_refused() {
    use StreamOffset::{First, Interval, Last, Next, Offset, Time};
    for (value, expected) in [
        (Value::from("first"), First),
        (Value::from("last"), Last),
        (Value::from("next"), Next),
        (Value::from("5m"), Interval(300_000)),
        (Value::I32(7), Offset(7)),
        (Value::I64(-1), Offset(0)),
        (Value::U64(u64::MAX), Offset(u64::MAX)),
        (Value::Timestamp(10), Time(10_000)),
        (Value::Timestamp(u64::MAX), Time(u64::MAX)),
    ] {
        assert_eq!(StreamOffset::of(&value), Ok(expected), "{value:?}");
    }
    for value in [
        Value::from("middle"),
        Value::from(""),
        Value::from("First"),
        Value::from("-1h"),
        Value::from("99999999999999999999Y"),
        Value::Null,
        Value::Bool(true),
        Value::F64(1.0),
        Value::Array(Vec::new()),
        Value::Table(Table::new()),
    ] {
        assert_eq!(StreamOffset::of(&value), Err(InvalidOffset), "{value:?}");
    }
}

fn declared(arguments: Vec<(&str, Value)>) -> QueueOptions {
    let mut table = Table::new();
    table.push("x-queue-type", "stream");
    for (name, value) in arguments {
        table.push(name, value);
    }
    QueueOptions { durable: true, arguments: table, ..QueueOptions::default() }
}

fn rules(options: &QueueOptions) -> Result<StreamRules, Error> {
    let resource = Resource { kind: Kind::Queue, name: "s".into(), vhost: "/".into() };
    assert_eq!(options.queue_type(), QueueType::Stream);
    StreamRules::of(&resource, options, &Effective::default())
}

#[test]
fn arguments_come_to_rules() {
    let none = rules(&declared(Vec::new())).unwrap();
    assert_eq!((none.retention, none.segment_bytes, none.single_active), (Retention::default(), 500_000_000, false));
    let all = rules(&declared(vec![
        ("x-max-length-bytes", Value::I64(1000)),
        ("x-max-age", "2h".into()),
        ("x-stream-max-segment-size-bytes", Value::I32(100)),
        ("x-stream-filter-size-bytes", Value::I32(255)),
        ("x-initial-cluster-size", Value::I32(3)),
        ("x-queue-leader-locator", "client-local".into()),
        ("x-single-active-consumer", Value::Bool(true)),
        ("x-consumer-timeout", Value::I32(1)),
        ("x-something-else", Value::Null),
    ]))
    .unwrap();
    let retention = Retention { bytes_max: Some(1000), age_max_ms: Some(7_200_000) };
    assert_eq!((all.retention, all.segment_bytes, all.single_active), (retention, 100, true));
}

#[test]
fn what_a_stream_cannot_have_is_refused() {
    let problem = |name: &'static str, value: Value| match rules(&declared(vec![(name, value)])) {
        Err(Error::InvalidArgument { name: blamed, problem, .. }) => {
            assert_eq!(blamed, name);
            problem
        }
        other => panic!("{name}: {other:?}"),
    };
    for name in ["x-max-length", "x-message-ttl", "x-expires", "x-overflow", "x-max-priority", "x-queue-mode"] {
        assert_eq!(problem(name, Value::I32(1)), ArgumentProblem::NotOfType("rabbit_stream_queue"));
    }
    assert_eq!(problem("x-max-age", Value::I32(10)), ArgumentProblem::UnacceptableType);
    assert_eq!(problem("x-max-age", "10".into()), ArgumentProblem::Other("invalid_max_age".into()));
    assert_eq!(problem("x-max-length-bytes", Value::I32(-1)), ArgumentProblem::Negative);
    assert_eq!(problem("x-max-length-bytes", "a".into()), ArgumentProblem::WrongType);
    assert_eq!(problem("x-initial-cluster-size", Value::I32(0)), ArgumentProblem::Zero);
    for absurd in [3_000_000_001, i64::MAX] {
        let too_large = ArgumentProblem::TooLarge { max: STREAM_SEGMENT_BYTES_MAX };
        assert_eq!(problem("x-stream-max-segment-size-bytes", Value::I64(absurd)), too_large);
    }
    assert!(matches!(problem("x-stream-filter-size-bytes", Value::I32(15)), ArgumentProblem::Other(_)));
    let property = |options: QueueOptions| match rules(&options) {
        Err(Error::InvalidProperty { property, .. }) => property,
        other => panic!("{other:?}"),
    };
    let stream = || declared(Vec::new());
    assert_eq!(property(QueueOptions { durable: false, ..stream() }), "non-durable");
    assert_eq!(property(QueueOptions { exclusive: true, ..stream() }), "exclusive-owner");
    assert_eq!(property(QueueOptions { auto_delete: true, ..stream() }), "auto-delete");
}

#[test]
fn a_policy_narrows_what_was_declared() {
    let resource = Resource { kind: Kind::Queue, name: "s".into(), vhost: "/".into() };
    let policy = |max_age: &str, bytes: i64| {
        let mut table = Table::new();
        table.push("max-age", max_age);
        table.push("max-length-bytes", bytes);
        Effective { policy: table, operator: Table::new() }
    };
    let options = declared(vec![("x-max-age", "1h".into()), ("x-max-length-bytes", Value::I32(1000))]);
    for (policy, hours, bytes) in
        [(policy("2h", 2000), 1, 1000), (policy("60s", 10), 0, 10), (policy("nonsense", 10), 1, 10)]
    {
        let retention = StreamRules::of(&resource, &options, &policy).unwrap().retention;
        let age_ms = if hours == 0 { 60_000 } else { hours * 3_600_000 };
        assert_eq!(retention, Retention { bytes_max: Some(bytes), age_max_ms: Some(age_ms) });
    }
}
