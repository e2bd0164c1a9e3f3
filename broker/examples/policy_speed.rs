//! How long it takes until 10,000 queues follow a change of one of 100 policies.

use std::sync::Arc;
use std::time::Instant;

use gantry_broker::rights::Pattern;
use gantry_broker::value::{Table, Value};
use gantry_broker::{ApplyTo, Broker, BrokerOptions, Found, Policy, PolicyKind, QueueName, QueueOptions};
use gantry_storage::{Faults, MemoryJournal, MemoryTable};

const QUEUES: usize = 10_000;
const POLICIES: i64 = 100;

fn policy(index: i64, pattern: String) -> Policy {
    let definition: Table = [("max-length", Value::I64(index))].into_iter().collect();
    let (name, pattern) = (format!("p{index}"), Pattern::new(pattern).expect("a pattern"));
    Policy { name, pattern, apply_to: ApplyTo::Queues, priority: index, definition }
}

#[tokio::main]
async fn main() {
    let journal = Arc::new(MemoryJournal::new(Faults::default()));
    let broker = Broker::open(BrokerOptions::default(), journal, Arc::new(MemoryTable::new()), Found::default());
    let broker = broker.expect("opens");
    let user = broker.authenticate("guest", b"guest", true).expect("is known");
    let session = broker.open_session(user, "/").expect("may enter");
    let vhost = session.vhost();
    let started = Instant::now();
    for index in 0..QUEUES {
        let name = format!("application.{}.queue.{index}", index % 97);
        vhost.declare_queue(QueueName::Given(&name), QueueOptions::default(), 1).await.expect("is new");
    }
    println!("{QUEUES} queues declared in {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    // All but the last match nothing, so that each queue asks every one of them.
    for index in 0..POLICIES - 1 {
        let policy = policy(index, format!("^application\\.[0-9]+\\.(nobody|nothing){index}$"));
        vhost.set_policy(PolicyKind::User, policy).await.expect("is fine");
    }
    for (what, pattern) in [("of all queues", ".*queue.*"), ("of no queue", "^nowhere$")] {
        let started = Instant::now();
        vhost.set_policy(PolicyKind::User, policy(POLICIES, pattern.to_owned())).await.expect("is fine");
        println!("one policy {what} set in {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    }
    let started = Instant::now();
    vhost.delete_policy(PolicyKind::User, &format!("p{POLICIES}")).await.expect("is there");
    println!("deleted in {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
}
