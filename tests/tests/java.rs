//! Java: com.rabbitmq:amqp-client.

use gantry_tests::broker::Broker;
use gantry_tests::client;

#[test]
fn amqp_client() {
    client::run(client::java("AmqpClient"), &mut Broker::settings().keeps_port().start());
}
