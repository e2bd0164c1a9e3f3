//! AMQP and MQTT over TLS, with certificates made for the test: who is let in, and as whom.

use gantry_tests::broker::{Broker, Settings};
use gantry_tests::certificates::Certificates;
use gantry_tests::client;

/// A broker with this listener, that lets clients in by the names in their certificates.
fn with_certificates(listener: &'static str) -> (Broker, Certificates) {
    let certificates = Certificates::make();
    let config = format!(
        "[tls]\ncertificate = {:?}\nkey = {:?}\nclient_ca = {:?}\nlogin_from = \"common_name\"\n",
        certificates.path("server.pem"),
        certificates.path("server.key"),
        certificates.path("ca.pem"),
    );
    (Broker::settings().config(&config).listener(listener).start(), certificates)
}

fn port_of<'a>(broker: &'a Broker, listener: &str) -> &'a str {
    broker.address_of(listener).rsplit_once(':').expect("a port").1
}

#[test]
fn pika_over_tls() {
    if std::env::var_os("GANTRY_E2E_URL").is_some() {
        return; // gantry's own settings
    }
    let (mut broker, certificates) = with_certificates("amqp_tls");
    let mut command = client::python("pika_tls.py");
    let port = port_of(&broker, "amqp_tls");
    command.arg(format!("amqps://guest:guest@localhost:{port}/%2F")).env("CERTIFICATES", certificates.folder());
    client::run_plain(command);
    broker.assert_sound();
}

#[test]
fn paho_over_tls() {
    if std::env::var_os("GANTRY_E2E_URL").is_some() {
        return; // gantry's own settings
    }
    let (mut broker, certificates) = with_certificates("mqtt_tls");
    let mut command = client::python("mqtt_tls.py");
    let port = port_of(&broker, "mqtt_tls");
    command.arg(format!("mqtts://guest:guest@localhost:{port}")).env("CERTIFICATES", certificates.folder());
    client::run_plain(command);
    broker.assert_sound();
}

/// Settings for a broker with a certificate, and this in its configuration.
fn with_server_certificate(config: &str) -> (Settings, Certificates) {
    let certificates = Certificates::make();
    let tls = format!(
        "[tls]\ncertificate = {:?}\nkey = {:?}\n",
        certificates.path("server.pem"),
        certificates.path("server.key")
    );
    (Broker::settings().config(&tls).config(config).keeps_port(), certificates)
}

#[test]
fn amqp_client_js_over_websocket_and_tls() {
    if std::env::var_os("GANTRY_E2E_URL").is_some() {
        return; // gantry's own settings
    }
    let (settings, certificates) = with_server_certificate("");
    let mut broker = settings.listener("ws_tls").start();
    let mut command = client::node("amqp_websocket.js");
    command.env("CERTIFICATES", certificates.folder());
    let url = format!("wss://localhost:{}/ws", port_of(&broker, "ws_tls"));
    client::run_at(command, &url, &mut broker);
}

#[test]
fn stompjs_over_websocket_and_tls() {
    if std::env::var_os("GANTRY_E2E_URL").is_some() {
        return; // gantry's own settings
    }
    let (settings, certificates) = with_server_certificate("[websocket]\ncompression = \"permessage-deflate\"\n");
    let mut broker = settings.listener("web_stomp").listener("web_stomp_tls").start();
    let mut command = client::node("stompjs.js");
    command
        .env("CERTIFICATES", certificates.folder())
        .env("STOMP_WSS_URL", format!("wss://localhost:{}/ws", port_of(&broker, "web_stomp_tls")));
    let url = format!("ws://{}/ws", broker.address_of("web_stomp"));
    client::run_at(command, &url, &mut broker);
}

#[test]
fn mqtt_js_by_every_transport() {
    if std::env::var_os("GANTRY_E2E_URL").is_some() {
        return; // it asks for four listeners
    }
    let (settings, certificates) = with_server_certificate("[websocket]\ncompression = \"permessage-deflate\"\n");
    let listeners = settings.listener("mqtt").listener("mqtt_tls").listener("web_mqtt").listener("web_mqtt_tls");
    let mut broker = listeners.start();
    let mut command = client::node("mqtt.js");
    command
        .env("CERTIFICATES", certificates.folder())
        .env("MQTT_TLS_URL", format!("mqtts://guest:guest@localhost:{}", port_of(&broker, "mqtt_tls")))
        .env("MQTT_WS_URL", format!("ws://guest:guest@{}/ws", broker.address_of("web_mqtt")))
        .env("MQTT_WSS_URL", format!("wss://guest:guest@localhost:{}/ws", port_of(&broker, "web_mqtt_tls")));
    let url = broker.mqtt_url();
    client::run_at(command, &url, &mut broker);
}
