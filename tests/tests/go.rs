//! Go: amqp091-go.

use gantry_tests::broker::Broker;
use gantry_tests::client;

#[test]
fn amqp091_go() {
    client::run(client::go(), &mut Broker::settings().keeps_port().start());
}
