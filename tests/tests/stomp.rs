//! STOMP as stock clients of four languages speak it.

use std::process::Command;

use gantry_tests::broker::{Broker, Settings};
use gantry_tests::client;

fn settings() -> Settings {
    Broker::settings().keeps_port().listener("stomp")
}

fn run_with(settings: Settings, command: Command) {
    let mut broker = settings.start();
    let url = broker.stomp_url();
    client::run_at(command, &url, &mut broker);
}

fn run(command: Command) {
    run_with(settings(), command);
}

/// In ActiveMQ's dialect; somebody else's broker (ActiveMQ) is asked for by its own variable, as it is not RabbitMQ.
fn run_in_activemq_dialect(command: Command) {
    run_with(settings().config("[stomp]\ndialect = \"activemq\"\n"), command);
}

/// Whether `GANTRY_E2E_URL` names a broker, which has one listener to ask and one dialect to speak.
fn is_external() -> bool {
    std::env::var_os("GANTRY_E2E_URL").is_some()
}

#[test]
fn stomp_py_basics() {
    run(client::python("stomp_basics.py"));
}

#[test]
fn stomp_py_destinations() {
    with_other_protocols("stomp_destinations.py");
}

#[test]
fn stomp_py_beside_pika_and_paho() {
    with_other_protocols("stomp_amqp.py");
}

/// Runs a program that speaks AMQP and MQTT, too.
fn with_other_protocols(program: &str) {
    let mut command = client::python(program);
    if is_external() {
        // Somebody else's broker has its other listeners where the environment says.
        if std::env::var_os("AMQP_URL").is_some() && std::env::var_os("MQTT_URL").is_some() {
            run(command);
        }
        return;
    }
    let mut broker = settings().listener("mqtt").start();
    command.env("AMQP_URL", broker.url());
    command.env("MQTT_URL", broker.mqtt_url());
    let url = broker.stomp_url();
    client::run_at(command, &url, &mut broker);
}

#[test]
fn stomp_py_commands() {
    run(client::python("stomp_commands.py"));
}

#[test]
fn stompit() {
    run(client::node("stompit.js"));
}

#[test]
fn go_stomp() {
    run(client::go());
}

#[test]
fn spring_relay() {
    run(client::spring("relay.Relay"));
}

#[test]
fn stomp_py_in_activemq_dialect() {
    if !is_external() || std::env::var_os("GANTRY_E2E_ACTIVEMQ").is_some() {
        run_in_activemq_dialect(client::python("stomp_activemq.py"));
    }
}

#[test]
fn activemqs_own_client() {
    if !is_external() || std::env::var_os("GANTRY_E2E_ACTIVEMQ").is_some() {
        run_in_activemq_dialect(client::java("ActiveMqStomp"));
    }
}
