//! Node: amqplib.

use gantry_tests::broker::Broker;
use gantry_tests::client;

#[test]
fn amqplib() {
    client::run(client::node("amqplib.js"), &mut Broker::settings().keeps_port().start());
}
