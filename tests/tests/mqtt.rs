//! MQTT as stock clients of five languages speak it.

use std::process::Command;

use gantry_tests::broker::{Broker, Settings};
use gantry_tests::client;

fn settings() -> Settings {
    Broker::settings().keeps_port().listener("mqtt")
}

fn run(command: Command) {
    let mut broker = settings().start();
    let url = broker.mqtt_url();
    client::run_at(command, &url, &mut broker);
}

fn python(program: &str) {
    run(client::python(program));
}

#[test]
fn paho_python_basics() {
    python("mqtt_basics.py");
}

#[test]
fn paho_python_sessions() {
    python("mqtt_sessions.py");
}

#[test]
fn paho_python_retained() {
    python("mqtt_retained.py");
}

#[test]
fn paho_python_flow() {
    python("mqtt_flow.py");
}

#[test]
fn paho_python_sparkplug() {
    python("mqtt_sparkplug.py");
}

#[test]
fn aiomqtt() {
    python("mqtt_aiomqtt.py");
}

#[test]
fn mosquitto_commands() {
    python("mqtt_commands.py");
}

#[test]
fn paho_python_and_pika() {
    if std::env::var_os("GANTRY_E2E_URL").is_some() {
        return; // it asks for three listeners
    }
    let mut broker = settings().listener("management").start();
    let mut command = client::python("mqtt_amqp.py");
    command.env("AMQP_URL", broker.url());
    command.env("MANAGEMENT_URL", format!("http://{}", broker.address_of("management")));
    let url = broker.mqtt_url();
    client::run_at(command, &url, &mut broker);
}

#[test]
fn paho_python_and_rights() {
    if std::env::var_os("GANTRY_E2E_URL").is_some() {
        return; // it asks for tokens
    }
    let secret = "a secret that is only for this test";
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("secret");
    std::fs::write(&file, secret).expect("written");
    let config = format!("[jwt]\nsecret_file = {file:?}\nalgorithms = \"HS256\"\n");
    let mut broker = settings().listener("management").config(&config).start();
    let mut command = client::python("mqtt_rights.py");
    command.env("MANAGEMENT_URL", format!("http://{}", broker.address_of("management")));
    command.env("JWT_SECRET", secret);
    let url = broker.mqtt_url();
    client::run_at(command, &url, &mut broker);
}

#[test]
fn paho_java() {
    run(client::java("PahoMqtt"));
}

#[test]
fn hivemq_client() {
    run(client::java("HiveMqtt"));
}

#[test]
fn paho_go() {
    run(client::go());
}
