use gantry_broker::protocol::Credentials;

use super::*;

const PATHS: &str = "/ws";

fn answer_of(head: &str, origins: &str, needs_subprotocol: bool) -> Result<Upgrade, Refusal> {
    let paths = [PATHS.to_owned(), "/mqtt".to_owned()];
    let origins = Origins::parse(origins).unwrap();
    let rules = Rules {
        paths: &paths,
        origins: &origins,
        subprotocols: &["mqtt", "mqttv3.1"],
        needs_subprotocol,
        compression: Compression::PermessageDeflate,
    };
    judge(&rules, &Request::parse(head.as_bytes())?)
}

/// A request that is granted, with lines changed: a line of the same name is replaced, one that ends with a colon left out.
fn request(first: &str, changes: &[&str]) -> String {
    let mut lines = vec![
        "Host: broker:15675",
        "Upgrade: websocket",
        "Connection: keep-alive, Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: mqtt",
    ];
    for change in changes {
        let name = change.split(':').next().unwrap();
        lines.retain(|line| line.split(':').next() != Some(name));
        if !change.ends_with(':') {
            lines.push(change);
        }
    }
    format!("{first}\r\n{}\r\n\r\n", lines.join("\r\n"))
}

fn get(changes: &[&str]) -> Result<Upgrade, Refusal> {
    answer_of(&request("GET /ws HTTP/1.1", changes), "same-host", false)
}

fn status(answer: Result<Upgrade, Refusal>) -> u16 {
    let line = answer.map_or_else(|refusal| refusal.answer(), |upgrade| upgrade.answer);
    line.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap()
}

#[test]
fn the_answer_is_that_of_the_specification() {
    let upgrade = get(&[]).unwrap();
    assert_eq!(upgrade.subprotocol, Some(0));
    assert!(!upgrade.relayed);
    // The key and its answer are those of RFC 6455, section 1.3.
    assert_eq!(
        upgrade.answer,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
}

#[test]
fn the_first_subprotocol_that_is_known_is_named_as_the_client_writes_it() {
    for (named, place, answered) in [
        ("mqttv3.1", 1, "mqttv3.1"),
        ("foo, mqttv3.1,mqtt", 1, "mqttv3.1"),
        ("foo,mqtt", 0, "mqtt"),
        ("MQTT", 0, "MQTT"),
    ] {
        let upgrade = get(&[&format!("Sec-WebSocket-Protocol: {named}")]).unwrap();
        assert_eq!(upgrade.subprotocol, Some(place));
        assert!(upgrade.answer.contains(&format!("Sec-WebSocket-Protocol: {answered}\r\n")), "{}", upgrade.answer);
    }
    let none = get(&["Sec-WebSocket-Protocol:"]).unwrap();
    assert_eq!(none.subprotocol, None);
    assert!(!none.answer.contains("Protocol:"), "{}", none.answer);
    assert_eq!(status(answer_of(&request("GET /ws HTTP/1.1", &["Sec-WebSocket-Protocol:"]), "", true)), 400);
    let unknown = get(&["Sec-WebSocket-Protocol: v12.stomp"]).unwrap_err();
    assert!(unknown.answer().starts_with("HTTP/1.1 400 ") && unknown.text.contains("mqtt, mqttv3.1"), "{unknown:?}");
}

#[test]
fn what_is_wrong_with_a_request_has_its_status() {
    for (change, expected) in [
        ("Upgrade:", 400),
        ("Upgrade: h2c", 400),
        ("Connection:", 400),
        ("Connection: close", 400),
        ("Sec-WebSocket-Version:", 426),
        ("Sec-WebSocket-Version: 8", 426),
        ("Sec-WebSocket-Key:", 400),
        ("Sec-WebSocket-Key: abc", 400),
        ("Sec-WebSocket-Key: ????????????????????????", 400),
        ("Host:", 400),
        ("Authorization: Basic ????", 400),
        ("Origin: http://evil.example", 403),
        ("Origin: null", 403),
        ("Origin: http://broker:8080", 101),
        ("Authorization: Bearer x", 101),
        ("Sec-WebSocket-Extensions: permessage-deflate", 101),
    ] {
        assert_eq!(status(get(&[change])), expected, "{change}");
    }
    for (first, expected) in [
        ("GET /ws?token=1 HTTP/1.1", 101),
        ("GET /ws/ HTTP/1.1", 101),
        ("GET /mqtt HTTP/1.1", 101),
        ("GET / HTTP/1.1", 404),
        ("GET /wss HTTP/1.1", 404),
        ("GET /ws/x HTTP/1.1", 404),
        ("GET /ws HTTP/1.0", 400),
        ("POST /ws HTTP/1.1", 426),
    ] {
        assert_eq!(status(answer_of(&request(first, &[]), "same-host", false)), expected, "{first}");
    }
    for head in ["\x16\x03\x01\x02\r\n\r\n", "GET\r\n\r\n", "GET /ws HTTP/1.1\r\nno colon\r\n\r\n", "\r\n\r\n"] {
        assert_eq!(status(answer_of(head, "", false)), 400, "{head:?}");
    }
}

#[test]
fn what_is_agreed_on_of_compression_is_answered_and_nothing_else() {
    let upgrade = get(&["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"]).unwrap();
    let line =
        "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\r\n";
    assert!(upgrade.answer.ends_with(line), "{}", upgrade.answer);
    assert!(upgrade.deflate.is_some());
    for offers in ["Sec-WebSocket-Extensions:", "Sec-WebSocket-Extensions: x-webkit-deflate-frame"] {
        let upgrade = get(&[offers]).unwrap();
        assert!(upgrade.deflate.is_none() && !upgrade.answer.contains("Extensions"), "{}", upgrade.answer);
    }
}

#[test]
fn a_version_that_is_not_known_is_told_the_one_that_is() {
    let answer = get(&["Sec-WebSocket-Version: 8"]).unwrap_err().answer();
    assert!(answer.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{answer}");
}

#[test]
fn a_plain_request_is_told_what_is_here() {
    let refusal = answer_of("GET /ws HTTP/1.1\r\nHost: broker\r\n\r\n", "", false).unwrap_err();
    let answer = refusal.answer();
    assert!(
        answer.starts_with("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n")
    );
    assert!(answer.ends_with("(ws://, path /ws or /mqtt, subprotocol mqtt or mqttv3.1).\n"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{answer}");
}

#[test]
fn what_a_proxy_and_what_we_read_cannot_be_two_things() {
    for name in ["Host", "Origin", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Authorization"] {
        let value = if name == "Authorization" { "Basic YTpi" } else { "x" };
        let twice = format!("GET /ws HTTP/1.1\r\n{name}: {value}\r\n{name}: {value}\r\n\r\n");
        assert_eq!(status(answer_of(&twice, "", false)), 400, "{name}");
    }
}

#[test]
fn a_flood_of_headers_is_refused() {
    let flood = "x: y\r\n".repeat(1000);
    assert_eq!(status(answer_of(&format!("GET /ws HTTP/1.1\r\n{flood}\r\n"), "", false)), 431);
}

#[test]
fn a_basic_login_is_read() {
    let login = |value: &str| {
        let head = request("GET /ws HTTP/1.1", &[&format!("Authorization: {value}")]);
        Request::parse(head.as_bytes()).unwrap().credentials
    };
    let shop = |password: &str| Some(Credentials { user: "shop".into(), password: password.into() });
    assert_eq!(login("Basic c2hvcDpzZWNyZXQ="), shop("secret"));
    assert_eq!(login("basic c2hvcDphOmI="), shop("a:b"));
    assert_eq!(login("Basic c2hvcDo="), shop(""));
    assert_eq!(login("Bearer c2hvcDo="), None);
}

#[test]
fn who_may_be_somebody_else_is_relayed() {
    for (changes, expected) in [
        (&["Host: localhost:15675", "Origin: http://localhost:3000"][..], false),
        (&["Host: 127.0.0.1:15675", "Origin: http://127.0.0.1"], false),
        // A page whose name leads to this machine.
        (&["Host: evil.example:15675", "Origin: http://evil.example:15675"], true),
        (&["X-Forwarded-For: 10.0.0.1"], true),
        (&["Forwarded: for=10.0.0.1"], true),
        (&["Via: 1.1 proxy"], true),
        (&["X-Real-IP: 10.0.0.1"], true),
        (&["User-Agent: x"], false),
    ] {
        assert_eq!(get(changes).unwrap().relayed, expected, "{changes:?}");
    }
}
