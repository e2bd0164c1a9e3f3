//! Workers that wait for a message that does not come, and how soon one of them has it when it does.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{check_held, create};
use crate::amqp::LOOK_UP;
use crate::error::{Fallible, fail};
use crate::load::mqtt::connections_of;
use crate::load::paced::Latency;
use crate::load::{Bench, kib, let_it_settle, mib};
use crate::peer::Running;
use crate::process::own_cpu;
use crate::sqs::{Field, Head, Lines, call};
use crate::table::{Better, Figure, Target};

pub(crate) const ABOUT: &str = "SQS, 10,000 long polls of 20 s (or as many as a process may have) on 10 queues, each on a connection of its own; \
     then one message every 10 ms to one of the queues by turns; a poll that was answered is asked again";

const POLLS: usize = 10_000;
const QUEUES: usize = 10;
const WAIT: Duration = Duration::from_secs(20);
/// A poll may end so much earlier than it was asked to wait: clocks count in their own steps.
const EARLY_MAX: Duration = Duration::from_millis(100);
/// Requests that may be on their way to be read, so that a listener's backlog takes them.
const AT_A_TIME: usize = 50;
const BEAT: Duration = Duration::from_millis(10);

pub(crate) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let count = bench.pick(connections_of(POLLS), 500).min(bench.broker.waiting_requests_max());
    if count < POLLS && !bench.quick {
        bench.note(format!("{count} long polls only"));
    }
    let urls = (0..QUEUES)
        .map(|queue| create(&running, &format!("bench-poll-{queue}"), json!({ "VisibilityTimeout": "600" })))
        .collect::<Fallible<Vec<String>>>()?;
    let_it_settle();
    let before_bytes = running.process.resident_bytes()?;
    let (server_before, client_before) = (running.process.cpu()?, own_cpu());
    let started = Instant::now();
    let mut polls = Polls::join(&running, &urls, count)?;
    let took = started.elapsed();
    let server = running.process.cpu()? - server_before;
    let client = own_cpu() - client_before;
    polls.read_for(Duration::from_secs(2))?;
    let bytes = running.process.resident_bytes()? as f64 - before_bytes as f64;

    let watched = Duration::from_secs(bench.pick(5, 1));
    let (cpu_before, waiting_from) = (running.process.cpu()?, Instant::now());
    polls.read_for(watched)?;
    let cpu = (running.process.cpu()? - cpu_before).as_secs_f64() / waiting_from.elapsed().as_secs_f64();
    if polls.empty > 0 {
        bench.note(format!("{} polls had ended when the others were looked at", polls.empty));
    }

    let messages = bench.pick(500, 50);
    let micros = deliver(&running, &urls, &mut polls, messages)?;
    let latency = Latency::of(micros)?;
    // Each comes to its end.
    polls.read_for(WAIT)?;
    for (queue, url) in urls.iter().enumerate() {
        check_held(&running, url, ((messages + QUEUES - 1 - queue) / QUEUES) as u64)?;
    }

    let each = count as f64;
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / each;
    let lower = |name, unit, value| Figure::new(name, unit, value, Better::Lower);
    Ok(vec![
        Figure::new("polls joined", "1/s", each / took.as_secs_f64(), Better::Higher),
        lower("server CPU per poll joined", "µs", micros(server)),
        Figure::new("load generator's CPU per poll joined", "µs", micros(client), Better::Neither),
        lower("memory per poll, connection included", "KiB", kib(bytes / each)).target(Target::AtMost(3.0)),
        Figure::new("memory of all polls", "MiB", mib(bytes), Better::Neither),
        lower("server CPU while they wait, of a core", "%", cpu * 100.0),
        lower("from a send to a poller's answer, p50", "ms", latency.p50_millis),
        lower("from a send to a poller's answer, p99", "ms", latency.p99_millis),
        lower("late end of an empty poll, p99", "ms", Latency::of(polls.late_micros)?.p99_millis),
    ])
}

/// Sends messages, one at each beat, and measures until a poller has it.
fn deliver(running: &Running, urls: &[String], polls: &mut Polls, messages: usize) -> Fallible<Vec<u32>> {
    let head = Head::of(running.address, "SendMessage");
    let sends: Vec<Vec<u8>> =
        urls.iter().map(|url| head.request(&json!({ "QueueUrl": url, "MessageBody": "wake up" }))).collect();
    let mut sender = Lines::open(running.address, 1)?;
    let mut micros = Vec::new();
    for message in 0..messages {
        let sent_at = Instant::now();
        sender.send(0, &sends[message % sends.len()])?;
        while polls.messages == message {
            polls.read(LOOK_UP)?;
        }
        micros.push(u32::try_from(sent_at.elapsed().as_micros()).unwrap_or(u32::MAX));
        let mut is_answered = false;
        while !is_answered {
            sender.read(|_, _, _| {
                is_answered = true;
                Ok(())
            })?;
        }
        polls.read_for(BEAT.saturating_sub(sent_at.elapsed()))?;
        if polls.messages != message + 1 {
            return fail(format!("{} messages came of {}", polls.messages, message + 1));
        }
    }
    Ok(micros)
}

/// Pollers, each of which waits.
struct Polls {
    lines: Lines,
    requests: Vec<Vec<u8>>,
    asked_at: Vec<Instant>,
    handles: Field,
    /// Messages that came.
    messages: usize,
    /// Polls that ended without one.
    empty: usize,
    /// By how much they ended late.
    late_micros: Vec<u32>,
}

impl Polls {
    /// Each connects and asks, so many at a time that the broker is busy: a question of our own in between tells that it follows.
    fn join(running: &Running, urls: &[String], count: usize) -> Fallible<Self> {
        let head = Head::of(running.address, "ReceiveMessage");
        let receive = |url| json!({ "QueueUrl": url, "MaxNumberOfMessages": 1, "WaitTimeSeconds": WAIT.as_secs() });
        let mut polls = Self {
            lines: Lines::to(running.address)?,
            requests: urls.iter().map(|url| head.request(&receive(url))).collect(),
            asked_at: Vec::with_capacity(count),
            handles: Field::named("ReceiptHandle"),
            messages: 0,
            empty: 0,
            late_micros: Vec::with_capacity(count),
        };
        for line in 0..count {
            polls.lines.add()?;
            polls.asked_at.push(Instant::now());
            polls.lines.send(line, &polls.requests[line % urls.len()])?;
            if line % AT_A_TIME == 0 {
                call(running.address, "ListQueues", &json!({}))?;
            }
        }
        Ok(polls)
    }

    /// Reads what has come, waiting at most so long; who has an answer asks again.
    fn read(&mut self, wait: Duration) -> Fallible<()> {
        let requests = &self.requests;
        let (messages, empty, late) = (&mut self.messages, &mut self.empty, &mut self.late_micros);
        let (handles, asked_at) = (&self.handles, &mut self.asked_at);
        self.lines.read_within(wait, |line, answer, next| {
            if handles.count(answer) > 0 {
                *messages += 1;
            } else {
                *empty += 1;
                late.push(lateness(asked_at[line])?);
            }
            asked_at[line] = Instant::now();
            next.extend_from_slice(&requests[line % requests.len()]);
            Ok(())
        })
    }

    fn read_for(&mut self, time: Duration) -> Fallible<()> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.read(left.min(LOOK_UP))?;
        }
    }
}

/// By how many microseconds an empty poll ended after its time. An error if before.
fn lateness(asked_at: Instant) -> Fallible<u32> {
    let after = asked_at.elapsed();
    if after + EARLY_MAX < WAIT {
        return fail(format!("a poll of {} s ended after {} ms", WAIT.as_secs(), after.as_millis()));
    }
    Ok(u32::try_from(after.saturating_sub(WAIT).as_micros()).unwrap_or(u32::MAX))
}
