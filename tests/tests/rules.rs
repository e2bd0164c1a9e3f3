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
fn filters() {
    python("rules_filters.py");
}

#[test]
fn policies() {
    let mut broker = Broker::settings().listener("management").start();
    // Beside another broker its management listener has to be named.
    let url = if broker.is_external() {
        match std::env::var("GANTRY_E2E_MANAGEMENT_URL") {
            Ok(url) => url,
            Err(_) => return,
        }
    } else {
        format!("http://{}", broker.address_of("management"))
    };
    let mut command = client::python("rules_policies.py");
    command.env("MANAGEMENT_URL", url);
    client::run(command, &mut broker);
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
