//! Many subscriptions, each with a filter policy that no other one has a value in common with: one matches.

use serde_json::json;

use super::{Asked, TAKEN, ask, subscribe_queue};
use crate::error::Fallible;
use crate::load::mqtt::Times;
use crate::load::sqs::check_held;
use crate::load::{BODY_BYTES, Bench};
use crate::sns;
use crate::table::{Better, Figure, Target};

pub(crate) const ABOUT: &str =
    "SNS, Publish of 1 KiB with 10,000 filtered subscriptions of which one matches, and with one that is not filtered";

/// Where each subscription takes a while to be made.
const SUBSCRIPTIONS_FEW: usize = 200;
const SUBSCRIPTIONS: usize = 10_000;

/// What the filters may cost a Publish, in microseconds of the server's processors.
const MORE_MAX_MICROS: f64 = 20.0;

pub(crate) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let body = "x".repeat(BODY_BYTES);
    let subscriptions = if bench.broker.receivers_max() == usize::MAX { SUBSCRIPTIONS } else { SUBSCRIPTIONS_FEW };
    if subscriptions < SUBSCRIPTIONS {
        bench.note(format!("{subscriptions} subscriptions only: it looks at each of them"));
    }
    let plain = sns::create(running.address, "bench-plain")?;
    let url = subscribe_queue(&running, &plain, "bench-plain", None)?;
    let publish = |topic: &str, event: &str| {
        let attribute = [
            ("MessageAttributes.entry.1.Name", "event"),
            ("MessageAttributes.entry.1.Value.DataType", "String"),
            ("MessageAttributes.entry.1.Value.StringValue", event),
        ];
        let mut parameters = vec![("TopicArn", topic), ("Message", body.as_str())];
        parameters.extend(attribute);
        sns::request(running.address, "Publish", &parameters)
    };
    let times = Times::of(bench);
    let Asked { seen: alone, answered, .. } = ask(&running, times, &[publish(&plain, "event-0")], TAKEN)?;
    check_held(&running, &url, answered)?;

    let topic = sns::create(running.address, "bench-filtered")?;
    let mut urls = Vec::new();
    for number in 0..subscriptions {
        let filter = json!({ "event": [format!("event-{number}")] });
        urls.push(subscribe_queue(&running, &topic, &format!("bench-filtered-{number}"), Some(&filter))?);
    }
    // In an order that no cache of the processor likes better than another.
    let requests: Vec<Vec<u8>> =
        (0..subscriptions).map(|turn| publish(&topic, &format!("event-{}", turn * 7919 % subscriptions))).collect();
    let Asked { seen, answered, .. } = ask(&running, times, &requests, TAKEN)?;
    // The first ones have got one more where the turns did not come out even.
    let rounds = answered / subscriptions as u64;
    let first = rounds + u64::from(answered % subscriptions as u64 > 0);
    check_held(&running, &urls[0], first)?;
    let last = (subscriptions - 1) * 7919 % subscriptions;
    check_held(&running, &urls[last], rounds)?;
    let more = seen.server_micros - alone.server_micros;
    Ok(vec![
        Figure::new("Publish, one subscription", "1/s", alone.rate, Better::Higher),
        Figure::new("Publish, filtered", "1/s", seen.rate, Better::Higher).target(Target::Ratio(5.0)),
        Figure::new("server CPU of the filters", "µs", more, Better::Lower).target(Target::AtMost(MORE_MAX_MICROS)),
        Figure::new("server CPU per Publish, filtered", "µs", seen.server_micros, Better::Lower),
    ])
}
