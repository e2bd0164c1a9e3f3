//! kill -9 under load by SNS, restart, and a look at what came: whatever Publish was answered for is in the queue of each subscription
//! that is for it, once; the webhook was told of it, too, at least once; a FIFO topic keeps its order and knows its duplicates, and
//! its numbers rise.
//!
//! Four rounds by default; `GANTRY_CRASH_ROUNDS=200` (`make crash`) for a long run, `GANTRY_CRASH_SEED` to choose the same
//! moments again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gantry_tests::aws::{Aws, element};
use gantry_tests::broker::{Broker, Ending};
use gantry_tests::load::{ROUND_MESSAGES_MAX, rounds_and_dice};
use gantry_tests::webhook::Webhook;
use gantry_tests::{unique, wait_until};
use serde_json::{Value, json};

/// Groups of the FIFO topic, which each have a publisher.
const GROUPS: u64 = 3;
/// Publishers to the standard topic.
const PUBLISHERS: u64 = 3;
/// So long nobody gets what the judge has received, in seconds.
const JUDGE_LEASE_S: u32 = 600;
/// How long the judge waits for what was answered to come, beyond which it is lost.
const LOST_AFTER: Duration = Duration::from_secs(40);

/// What publishers know: numbers that were sent, and those of them that were answered.
#[derive(Default)]
struct Known {
    sent: Mutex<BTreeSet<u64>>,
    answered: Mutex<BTreeSet<u64>>,
}

impl Known {
    fn note(set: &Mutex<BTreeSet<u64>>, numbers: &[u64]) {
        set.lock().unwrap_or_else(PoisonError::into_inner).extend(numbers);
    }

    fn take(set: &Mutex<BTreeSet<u64>>) -> BTreeSet<u64> {
        std::mem::take(&mut *set.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A topic, a queue for everything, one for the even numbers, and a webhook.
struct Scene {
    topic: String,
    all: String,
    even: String,
    hook: Webhook,
    ordered_topic: String,
    ordered: String,
    known: Arc<Known>,
    ordered_known: Arc<Known>,
    next: Arc<AtomicU64>,
    /// The last number of the FIFO topic that anybody was told.
    sequence: Arc<Mutex<BTreeMap<u64, u128>>>,
}

#[test]
fn every_publish_that_was_answered_reaches_every_subscription() {
    if std::env::var_os("GANTRY_E2E_URL").is_some() {
        return; // nobody else is asked to survive this
    }
    let (rounds, mut dice) = rounds_and_dice(4);
    // Small segments: a round fills, leaves behind and compacts many of them.
    let mut broker =
        Broker::settings().keeps_port().listener("aws").config("[storage]\nsegment_bytes = 262144\n").start();
    let scene = Scene::create(&broker).expect("topics");
    for round in 1..=rounds {
        let load = scene.start_load(&broker);
        std::thread::sleep(Duration::from_millis(20 + dice.roll(700)));
        let ending = if dice.roll(5) == 0 { Ending::Stop } else { Ending::Kill };
        let down = Instant::now();
        broker.restart(ending);
        let down = down.elapsed();
        let done: u64 = load.into_iter().map(|worker| worker.join().expect("a publisher's own check")).sum();
        let came = scene.judge(&broker, round);
        println!("round {round}: {ending:?} after {done} requests, back in {down:?}, {came} messages came");
        assert!(done > 0, "round {round}: there was no load");
    }
    broker.assert_sound();
}

/// Starts a publisher with a connection of its own, which works until the broker goes away; it returns how much it has done.
fn work(broker: &Broker, job: impl FnOnce(&mut Aws, &mut u64) -> io::Result<()> + Send + 'static) -> JoinHandle<u64> {
    let address = broker.address_of("aws").to_owned();
    std::thread::spawn(move || {
        let mut done = 0;
        if let Err(error) = Aws::open(&address).and_then(|mut aws| job(&mut aws, &mut done)) {
            // The broker goes away, and may say so when it is stopped; it has no other reason to refuse anything.
            let text = error.to_string();
            assert!(!text.contains("Refused") || text.contains("ServiceUnavailable"), "{text}");
        }
        done
    })
}

fn body_of(number: u64) -> String {
    // Some are large enough to be read back from the disk by themselves.
    let length = if number.is_multiple_of(50) { 9000 } else { (number % 7) as usize * 40 };
    format!("{number}:{}", "x".repeat(length))
}

/// The number of a message whose body is as it was published.
fn number_in(body: &str) -> u64 {
    let number = body.split(':').next().and_then(|number| number.parse().ok()).expect("a body of ours");
    assert!(body == body_of(number), "the body of {number} has changed");
    number
}

impl Scene {
    fn create(broker: &Broker) -> io::Result<Self> {
        let mut aws = Aws::open(broker.address_of("aws"))?;
        let topic = aws.sns("CreateTopic", &[("Name", &unique("crash"))], "TopicArn")?;
        let fifo = [("Attributes.entry.1.key", "FifoTopic"), ("Attributes.entry.1.value", "true")];
        let name = unique("crash") + ".fifo";
        let ordered_topic = aws.sns("CreateTopic", &[&[("Name", name.as_str())][..], &fifo].concat(), "TopicArn")?;
        let mut subscribed = |topic: &str, attributes: &Value, filter: Option<&str>| {
            let name = unique("crash") + if attributes["FifoQueue"] == "true" { ".fifo" } else { "" };
            let url = aws.create_queue(&name, attributes)?;
            let endpoint = format!("arn:aws:sqs:us-east-1:000000000000:{name}");
            let mut values = vec![("TopicArn", topic), ("Protocol", "sqs"), ("Endpoint", &endpoint)];
            values.extend([("Attributes.entry.1.key", "RawMessageDelivery"), ("Attributes.entry.1.value", "true")]);
            if let Some(policy) = filter {
                values.extend([("Attributes.entry.2.key", "FilterPolicy"), ("Attributes.entry.2.value", policy)]);
            }
            aws.sns("Subscribe", &values, "SubscriptionArn")?;
            Ok::<_, io::Error>(url)
        };
        let all = subscribed(&topic, &json!({}), None)?;
        let even = subscribed(&topic, &json!({}), Some("{\"even\":[\"yes\"]}"))?;
        let ordered = subscribed(&ordered_topic, &json!({ "FifoQueue": "true" }), None)?;
        let hook = Webhook::start();
        // It tries again at once after a restart, however long it took.
        let policy = json!({ "healthyRetryPolicy": { "numRetries": 100, "minDelayTarget": 1, "maxDelayTarget": 1 } });
        let policy = policy.to_string();
        let values = [
            ("TopicArn", topic.as_str()),
            ("Protocol", "http"),
            ("Endpoint", &hook.url("")),
            ("Attributes.entry.1.key", "RawMessageDelivery"),
            ("Attributes.entry.1.value", "true"),
            ("Attributes.entry.2.key", "DeliveryPolicy"),
            ("Attributes.entry.2.value", &policy),
        ];
        aws.sns("Subscribe", &values, "SubscriptionArn")?;
        wait_until("the confirmation", || !hook.posted().is_empty());
        let document: Value = serde_json::from_str(&hook.take()[0].body)?;
        let token = document["Token"].as_str().unwrap_or_default();
        aws.sns("ConfirmSubscription", &[("TopicArn", &topic), ("Token", token)], "SubscriptionArn")?;
        Ok(Self {
            topic,
            all,
            even,
            hook,
            ordered_topic,
            ordered,
            known: Arc::default(),
            ordered_known: Arc::default(),
            next: Arc::new(AtomicU64::new(1)),
            sequence: Arc::default(),
        })
    }

    fn start_load(&self, broker: &Broker) -> Vec<JoinHandle<u64>> {
        let mut workers = Vec::new();
        for publisher in 0..PUBLISHERS {
            let (topic, known, next) = (self.topic.clone(), Arc::clone(&self.known), Arc::clone(&self.next));
            let batch = if publisher == 0 { 10 } else { 1 };
            workers.push(work(broker, move |aws, done| publish(aws, done, &topic, &known, &next, batch)));
        }
        for group in 0..GROUPS {
            let (topic, known, next) =
                (self.ordered_topic.clone(), Arc::clone(&self.ordered_known), Arc::clone(&self.next));
            let sequence = Arc::clone(&self.sequence);
            workers
                .push(work(broker, move |aws, done| publish_group(aws, done, &topic, &known, &next, group, &sequence)));
        }
        workers
    }

    /// Takes out everything that has come, compares it with what was answered, and begins anew.
    fn judge(&self, broker: &Broker, round: u64) -> usize {
        let address = broker.address_of("aws");
        let (sent, answered) = (Known::take(&self.known.sent), Known::take(&self.known.answered));
        let even = |numbers: &BTreeSet<u64>| numbers.iter().copied().filter(|number| number % 2 == 0).collect();
        let mut broken = Vec::new();
        let all = take_all(address, &self.all, &answered);
        broken.extend(compare("all", &all, &sent, &answered));
        let evens = take_all(address, &self.even, &even(&answered));
        broken.extend(compare("even", &evens, &even(&sent), &even(&answered)));
        // What no answer came for is with all of them, or with none.
        let seen = |messages: &[Value]| messages.iter().map(number_of).collect::<BTreeSet<u64>>();
        if even(&seen(&all)) != seen(&evens) {
            broken.push(format!("not with both: {:?}", even(&seen(&all)).symmetric_difference(&seen(&evens))));
        }
        let came = seen(&all);
        let told = || self.hook.posted().iter().map(|posted| number_in(&posted.body)).collect::<BTreeSet<u64>>();
        let started = Instant::now();
        while !came.is_subset(&told()) && started.elapsed() < LOST_AFTER {
            std::thread::sleep(Duration::from_millis(20));
        }
        let told: BTreeSet<u64> = self.hook.take().iter().map(|posted| number_in(&posted.body)).collect();
        for number in came.difference(&told) {
            broken.push(format!("webhook: {number} was never told"));
        }
        let (sent, answered) = (Known::take(&self.ordered_known.sent), Known::take(&self.ordered_known.answered));
        let ordered = take_all(address, &self.ordered, &answered);
        broken.extend(compare("ordered", &ordered, &sent, &answered));
        broken.extend(out_of_order(&ordered));
        assert!(broken.is_empty(), "round {round}:\n{}", broken.join("\n"));
        all.len() + evens.len() + ordered.len() + told.len()
    }
}

/// Publishes numbered messages, in batches where they are more than one.
fn publish(aws: &mut Aws, done: &mut u64, topic: &str, known: &Known, next: &AtomicU64, batch: u64) -> io::Result<()> {
    for _ in 0..ROUND_MESSAGES_MAX / batch / PUBLISHERS {
        let first = next.fetch_add(batch, Ordering::Relaxed);
        let numbers: Vec<u64> = (first..first + batch).collect();
        Known::note(&known.sent, &numbers);
        let mut values = vec![("TopicArn".to_owned(), topic.to_owned())];
        for (at, number) in (1..).zip(&numbers) {
            let prefix = if batch == 1 { String::new() } else { format!("PublishBatchRequestEntries.member.{at}.") };
            if batch > 1 {
                values.push((format!("{prefix}Id"), number.to_string()));
            }
            values.push((format!("{prefix}Message"), body_of(*number)));
            let attribute = format!("{prefix}MessageAttributes.entry.1.");
            values.push((format!("{attribute}Name"), "even".to_owned()));
            values.push((format!("{attribute}Value.DataType"), "String".to_owned()));
            let even = if number % 2 == 0 { "yes" } else { "no" };
            values.push((format!("{attribute}Value.StringValue"), even.to_owned()));
        }
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let action = if batch == 1 { "Publish" } else { "PublishBatch" };
        aws.sns(action, &values, "MessageId")?;
        Known::note(&known.answered, &numbers);
        *done += 1;
    }
    Ok(())
}

/// Publishes one group in order; now and then a message twice: its duplicate is the message that it repeats.
fn publish_group(
    aws: &mut Aws,
    done: &mut u64,
    topic: &str,
    known: &Known,
    next: &AtomicU64,
    group: u64,
    sequence: &Mutex<BTreeMap<u64, u128>>,
) -> io::Result<()> {
    for _ in 0..ROUND_MESSAGES_MAX / GROUPS {
        let number = next.fetch_add(1, Ordering::Relaxed);
        Known::note(&known.sent, &[number]);
        let (body, key) = (body_of(number), number.to_string());
        let name = format!("g{group}");
        let values =
            [("TopicArn", topic), ("Message", &body), ("MessageGroupId", &name), ("MessageDeduplicationId", &key)];
        let mut ask = || aws.try_sns("Publish", &values)?.map_err(|refused| io::Error::other(format!("{refused:?}")));
        let told = ask()?;
        let at: u128 =
            element(&told, "SequenceNumber").and_then(|number| number.parse().ok()).expect("a sequence number");
        let mut last = sequence.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = last.insert(group, at) {
            assert!(before < at, "the numbers of group {group}: {before}, and then {at}");
        }
        drop(last);
        Known::note(&known.answered, &[number]);
        *done += 1;
        if done.is_multiple_of(5) {
            let again = ask()?;
            for tag in ["MessageId", "SequenceNumber"] {
                assert_eq!(element(&again, tag), element(&told, tag), "{tag} of a duplicate");
            }
        }
    }
    Ok(())
}

fn number_of(message: &Value) -> u64 {
    number_in(message["Body"].as_str().unwrap_or_default())
}

/// Receives and deletes until these have come and nothing more does.
fn take_all(address: &str, queue: &str, owed: &BTreeSet<u64>) -> Vec<Value> {
    let mut aws = Aws::open(address).expect("connected after the restart");
    let mut all = Vec::new();
    let mut missing = owed.clone();
    let started = Instant::now();
    loop {
        let messages = aws.receive(queue, JUDGE_LEASE_S, 0).expect("received");
        if messages.is_empty() && (missing.is_empty() || started.elapsed() > LOST_AFTER) {
            return all;
        }
        aws.delete(queue, &messages).expect("deleted");
        for message in &messages {
            missing.remove(&number_of(message));
        }
        all.extend(messages);
    }
}

/// What came beside what was sent and answered: each broken promise in words.
fn compare(name: &str, came: &[Value], sent: &BTreeSet<u64>, answered: &BTreeSet<u64>) -> Vec<String> {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for message in came {
        *counts.entry(number_of(message)).or_default() += 1;
    }
    let twice =
        counts.iter().filter(|(_, count)| **count > 1).map(|(n, count)| format!("{name}: {n} came {count} times"));
    let strange = counts.keys().filter(|number| !sent.contains(number)).map(|n| format!("{name}: {n} was not sent"));
    let lost = answered.iter().filter(|number| !counts.contains_key(number)).map(|n| format!("{name}: {n} is lost"));
    twice.chain(strange).chain(lost).collect()
}

/// Messages that come behind later ones of their group, in words.
fn out_of_order(messages: &[Value]) -> Vec<String> {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    let mut broken = Vec::new();
    for message in messages {
        let group = message["Attributes"]["MessageGroupId"].as_str().unwrap_or_default();
        let number = number_of(message);
        if let Some(before) = last.insert(group, number)
            && before >= number
        {
            broken.push(format!("ordered: {before} comes before {number} in group {group}"));
        }
    }
    broken
}
