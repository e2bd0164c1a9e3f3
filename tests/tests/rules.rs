//! What queues, streams and exchanges can be told to do, as stock clients see it: one program for each subject.

use gantry_tests::broker::Broker;
use gantry_tests::client;

fn python(program: &str) {
    client::run(client::python(program), &mut Broker::settings().keeps_port().start());
}

#[test]
fn limits() {
    python("rules_limits.py");
}

#[test]
fn dead_letters() {
    python("rules_dead_letters.py");
}

#[test]
fn order() {
    python("rules_order.py");
}

#[test]
fn replies() {
    python("rules_replies.py");
}

#[test]
fn streams() {
    python("rules_streams.py");
}

#[test]
fn exchanges() {
    python("rules_exchanges.py");
}

#[test]
fn retry_ladders() {
    python("rules_retries.py");
}

#[test]
fn celery() {
    python("rules_celery.py");
}

#[test]
fn amqp_client() {
    client::run(client::java("Rules"), &mut Broker::start());
}

#[test]
fn spring_amqp() {
    client::run(client::java("SpringRetries"), &mut Broker::start());
}

#[test]
fn amqplib() {
    client::run(client::node("rules.js"), &mut Broker::start());
}
