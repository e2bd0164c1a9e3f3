//! SQS as stock clients of five languages speak it.

use std::process::Command;

use gantry_tests::broker::{Broker, Settings};
use gantry_tests::client;

fn run_with(settings: Settings, command: Command) {
    let mut broker = settings.keeps_port().listener("aws").start();
    let url = broker.aws_url();
    client::run_at(command, &url, &mut broker);
}

fn run(command: Command) {
    run_with(Broker::settings(), command);
}

/// Whether `GANTRY_E2E_URL` names a broker, which has one listener to ask and settings of its own.
fn is_external() -> bool {
    std::env::var_os("GANTRY_E2E_URL").is_some()
}

#[test]
fn boto3() {
    run(client::python("sqs_boto3.py"));
}

#[test]
fn boto3_of_the_query_protocol() {
    run(client::python_query("sqs_boto3.py"));
}

#[test]
fn aws_command() {
    run(client::python("sqs_cli.py"));
}

#[test]
fn celery_and_kombu() {
    run(client::python("sqs_celery.py"));
}

#[test]
fn a_hundred_workers() {
    run(client::python("sqs_workers.py"));
}

#[test]
fn javascript_sdk_and_sqs_consumer() {
    run(client::node("sqs.js"));
}

#[test]
fn go_sdk() {
    run(client::go());
}

#[test]
fn java_sdk() {
    run(client::spring("SqsClient"));
}

#[test]
fn java_messaging_library() {
    run(client::spring("SqsJms"));
}

#[test]
fn spring_cloud_aws() {
    run(client::spring("SqsListeners"));
}

#[test]
fn boto3_beside_pika_stomp_and_paho() {
    if is_external() {
        return; // somebody else's SQS has no other protocols
    }
    let mut broker = Broker::settings().keeps_port().listener("aws").listener("stomp").listener("mqtt").start();
    let mut command = client::python("sqs_amqp.py");
    command.env("AMQP_URL", broker.url()).env("STOMP_URL", broker.stomp_url()).env("MQTT_URL", broker.mqtt_url());
    let url = broker.aws_url();
    client::run_at(command, &url, &mut broker);
}

#[test]
fn keys_rights_and_policies() {
    if is_external() {
        return; // gantry's own settings
    }
    let settings = Broker::settings().keeps_port().listener("aws").listener("management");
    let mut broker = settings.config("[aws]\nauth = \"required\"\n").start();
    let mut command = client::python("sqs_rights.py");
    command.env("MANAGEMENT_URL", format!("http://{}", broker.address_of("management")));
    let url = broker.aws_url();
    client::run_at(command, &url, &mut broker);
}
