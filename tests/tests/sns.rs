//! SNS as stock clients of five languages speak it.

use std::process::Command;

use gantry_tests::broker::{Broker, Settings, reserved_port};
use gantry_tests::certificates::Certificates;
use gantry_tests::client;

fn run(command: Command) {
    let mut broker = Broker::settings().keeps_port().listener("aws").start();
    let url = broker.aws_url();
    client::run_at(command, &url, &mut broker);
}

/// Whether `GANTRY_E2E_URL` names a broker, which has one listener to ask and settings of its own.
fn is_external() -> bool {
    std::env::var_os("GANTRY_E2E_URL").is_some()
}

/// Settings for a broker with a certificate, which trusts others of the same authority.
fn with_certificates() -> (Settings, Certificates) {
    let certificates = Certificates::make();
    let config = format!(
        "[tls]\ncertificate = {:?}\nkey = {:?}\n[sns]\nca_file = {:?}\n",
        certificates.path("server.pem"),
        certificates.path("server.key"),
        certificates.path("ca.pem"),
    );
    (Broker::settings().config(&config).keeps_port(), certificates)
}

#[test]
fn boto3() {
    if is_external() {
        return run(client::python("sns_boto3.py"));
    }
    let port = reserved_port();
    let config = format!("[sns]\nsms_url = \"http://127.0.0.1:{port}/messages\"\n");
    let mut broker = Broker::settings().config(&config).keeps_port().listener("aws").start();
    let mut command = client::python("sns_boto3.py");
    command.env("SMS_GATEWAY", port.to_string());
    let url = broker.aws_url();
    client::run_at(command, &url, &mut broker);
}

#[test]
fn aws_command() {
    run(client::python("sns_cli.py"));
}

#[test]
fn java_sdk() {
    run(client::spring("SnsClient"));
}

/// The Go program has the cases of SNS behind those of SQS: see `sqs.rs`.
#[test]
fn javascript_sdk_and_sns_validator() {
    if is_external() {
        return run(client::node("sns.js"));
    }
    let (settings, certificates) = with_certificates();
    let mut broker = settings.listener("aws_tls").start();
    let mut command = client::node("sns.js");
    command.env("NODE_EXTRA_CA_CERTS", certificates.path("ca.pem"));
    let port = broker.address_of("aws_tls").rsplit_once(':').expect("a port").1.to_owned();
    client::run_at(command, &format!("https://localhost:{port}"), &mut broker);
}

#[test]
fn boto3_beside_pika_stomp_and_paho() {
    if is_external() {
        return; // somebody else's SNS has no other protocols
    }
    let (settings, certificates) = with_certificates();
    let settings = settings.listener("aws").listener("stomp").listener("mqtt").listener("web_stomp");
    let mut broker = settings.start();
    let mut command = client::python("sns_amqp.py");
    command
        .env("AMQP_URL", broker.url())
        .env("STOMP_URL", broker.stomp_url())
        .env("MQTT_URL", broker.mqtt_url())
        .env("WEB_STOMP_ADDRESS", broker.address_of("web_stomp"))
        .env("CERTIFICATES", certificates.folder());
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
    let mut command = client::python("sns_rights.py");
    command.env("MANAGEMENT_URL", format!("http://{}", broker.address_of("management")));
    let url = broker.aws_url();
    client::run_at(command, &url, &mut broker);
}

#[test]
fn the_example_of_a_payment() {
    if is_external() {
        return; // it has a broker by another protocol, too
    }
    let mut broker = Broker::settings().keeps_port().listener("aws").start();
    let mut command = client::python("example_fanout.py");
    command.env("AMQP_URL", broker.url());
    let url = broker.aws_url();
    client::run_at(command, &url, &mut broker);
}
