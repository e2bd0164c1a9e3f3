//! WebSocket as stock clients speak it. What rides on it is tested by its own clients, too.

use gantry_tests::broker::Broker;
use gantry_tests::client;

/// Gantry's own settings and listeners: not for another broker.
fn is_external() -> bool {
    std::env::var_os("GANTRY_E2E_URL").is_some()
}

#[test]
fn amqp_client_js() {
    if is_external() {
        return;
    }
    for config in ["", "[websocket]\ncompression = \"permessage-deflate\"\n"] {
        let mut broker = Broker::settings().config(config).keeps_port().listener("ws").start();
        let url = format!("ws://{}/ws", broker.address_of("ws"));
        client::run_at(client::node("amqp_websocket.js"), &url, &mut broker);
    }
}

#[test]
fn stompjs() {
    let mut broker = Broker::settings().keeps_port().listener("web_stomp").start();
    let url = match broker.is_external() {
        true => broker.url(),
        false => format!("ws://{}/ws", broker.address_of("web_stomp")),
    };
    client::run_at(client::node("stompjs.js"), &url, &mut broker);
}

#[test]
fn python_websockets() {
    if is_external() {
        return;
    }
    let config = "[websocket]\ncompression = \"permessage-deflate\"\npaths = \"/ws, /mqtt\"\n\
                  origins = \"same-host, https://app.example.com\"\n\
                  [limits]\nmessage_bytes_max = \"1MiB\"\nhandshake_timeout_s = 2\n";
    let mut broker = Broker::settings().config(config).keeps_port().listener("web_mqtt").listener("ws").start();
    let mut command = client::python("web_socket.py");
    command.env("WS_URL", format!("ws://{}/ws", broker.address_of("ws")));
    let url = format!("ws://{}/ws", broker.address_of("web_mqtt"));
    client::run_at(command, &url, &mut broker);
}
