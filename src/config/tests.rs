use super::*;

/// A configuration of this text alone.
pub(crate) fn config(text: &str) -> Config {
    Config::from_text(text, "test.toml", &[]).unwrap()
}

fn errors(text: &str, environment: &[(&str, &str)]) -> String {
    Config::from_text(text, "test.toml", &pairs(environment)).unwrap_err().to_string()
}

fn pairs(environment: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    environment.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn with_environment(text: &str, environment: &[(&str, &str)]) -> Config {
    Config::from_text(text, "test.toml", &pairs(environment)).unwrap()
}

fn address(config: &Config, name: &str) -> Option<String> {
    let listener = config.listeners.iter().find(|listener| listener.name == name).unwrap();
    listener.address.map(|address| address.to_string())
}

#[test]
fn an_empty_file_gives_the_ports_of_rabbitmq_activemq_and_localstack() {
    let config = config("");
    let on: Vec<_> = config.listeners.iter().filter_map(|l| Some((l.name, l.address?.port()))).collect();
    assert_eq!(
        on,
        [
            ("amqp", 5672),
            ("mqtt", 1883),
            ("stomp", 61613),
            ("openwire", 61616),
            ("web_stomp", 15674),
            ("web_mqtt", 15675),
            ("aws", 4566),
            ("management", 15672),
            ("metrics", 15692),
        ]
    );
    assert_eq!(config.data_dir, Path::new("./data"));
    assert_eq!(config.storage.segment_bytes, 67_108_864);
    assert_eq!(config.storage.disk_free_min_bytes, 268_435_456);
    assert_eq!(config.limits.channel_max, 2047);
    assert_eq!(config.limits.frame_max, 131_072);
    assert_eq!(config.limits.heartbeat_s, 60);
    assert_eq!(config.limits.message_bytes_max, 128 << 20);
    assert_eq!(config.log.format, LogFormat::Text);
}

#[test]
fn a_certificate_turns_the_tls_twins_on() {
    let config = config("tls = { certificate = 'c.pem', key = 'k.pem' }");
    let on: Vec<_> = config
        .listeners
        .iter()
        .filter(|l| l.tls)
        .filter_map(|l| Some((l.name, l.plain_name, l.address?.port())))
        .collect();
    assert_eq!(
        on,
        [
            ("amqp_tls", "amqp", 5671),
            ("mqtt_tls", "mqtt", 8883),
            ("stomp_tls", "stomp", 61614),
            ("openwire_tls", "openwire", 61617),
            ("web_stomp_tls", "web_stomp", 15673),
            ("web_mqtt_tls", "web_mqtt", 15676),
            ("ws_tls", "ws", 61619),
            ("aws_tls", "aws", 4567),
            ("management_tls", "management", 15671),
        ]
    );
}

#[test]
fn a_listener_can_be_off_or_take_any_free_port() {
    let config = config("[listeners]\namqp = '127.0.0.1:0'\nmqtt = 'off'\nstomp = '[::1]:0'\nopenwire = '127.0.0.1:0'");
    assert_eq!(address(&config, "amqp").as_deref(), Some("127.0.0.1:0"));
    assert_eq!(address(&config, "mqtt"), None);
    assert_eq!(address(&config, "stomp").as_deref(), Some("[::1]:0"));
}

#[test]
fn every_key_can_come_from_the_environment_and_goes_before_the_file() {
    let text = "[listeners]\namqp = '127.0.0.1:1'\n[limits]\nframe_max = 8192";
    let config = with_environment(
        text,
        &[
            ("GANTRY_LISTENERS__AMQP", "127.0.0.1:2"),
            ("GANTRY_LIMITS__FRAME_MAX", "64KiB"),
            ("GANTRY_DATA_DIR", "/srv/gantry"),
            ("GANTRY_TLS__CERTIFICATE", ""),
            ("GANTRY_TLS__LOGIN_FROM", "common_name"),
            ("GANTRY_LOG__FORMAT", "json"),
        ],
    );
    assert_eq!(address(&config, "amqp").as_deref(), Some("127.0.0.1:2"));
    assert_eq!(config.limits.frame_max, 65_536);
    assert_eq!(config.data_dir, Path::new("/srv/gantry"));
    assert_eq!(config.tls.certificate, None);
    assert_eq!(config.tls.login_from, LoginFrom::CommonName);
    assert_eq!(config.log.format, LogFormat::Json);

    // Each one is read: a value that no key takes is an error that names it.
    for key in keys()
        .iter()
        .filter(|key| !matches!(key.kind, keys::Kind::Text(_) | keys::Kind::Path(_) | keys::Kind::Names(_)))
    {
        let variable = format!("GANTRY_{}", key.name.replace('.', "__").to_uppercase());
        let told = errors("", &[(&variable, "?")]);
        assert!(told.starts_with(&format!("{variable}: {} is ", key.name)), "{told}");
    }
}

#[test]
fn variables_that_are_not_ours_are_left_alone() {
    let foreign =
        [("GANTRY_SERVICE_HOST", "10.0.0.1"), ("GANTRY_PORT", "tcp://10.0.0.1:5672"), ("GANTRY_LOG", "debug")];
    assert_eq!(with_environment("", &foreign), config(""));
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_nearest() {
    for (text, unknown, nearest) in [
        ("[listeners]\nampq = 'off'", "listeners.ampq", "listeners.amqp"),
        ("[listener]\namqp = 'off'", "listener.amqp", "listeners.amqp"),
        ("[limits]\nframe_max_bytes = 1", "limits.frame_max_bytes", "limits.frame_max"),
        ("[limits]\nmax_connections = 1", "limits.max_connections", "limits.connections_max"),
        ("datadir = 'x'", "datadir", "data_dir"),
        ("[tls]\ncert = 'x'", "tls.cert", "tls.certificate"),
        ("[storage]\nsegment_size = 1", "storage.segment_size", "storage.segment_bytes"),
    ] {
        let errors = errors(text, &[]);
        assert_eq!(errors, format!("test.toml: unknown key {unknown}; the nearest one is {nearest}"));
    }
    assert!(errors("[lgo]", &[]).starts_with("test.toml: unknown key lgo; the nearest one is "));
    let errors = errors("", &[("GANTRY_LISTENERS__AMPQ", "off")]);
    assert_eq!(errors, "GANTRY_LISTENERS__AMPQ: unknown key listeners.ampq; the nearest one is listeners.amqp");
}

#[test]
fn a_bad_value_is_told_with_what_would_be_right() {
    for (text, expected) in [
        ("[limits]\nchannel_max = 0", "limits.channel_max is a number from 1 to 65535, not 0"),
        ("[limits]\nchannel_max = '5'", "limits.channel_max is a number from 1 to 65535, not \"5\""),
        ("[limits]\nchannel_max = -1", "limits.channel_max is a number from 1 to 65535, not -1"),
        (
            "[limits]\nframe_max = '1 KB'",
            "limits.frame_max is a size from 4 KiB to 16 MiB, such as 1048576 or \"1MiB\", not \"1 KB\"",
        ),
        (
            "[limits]\nframe_max = 100",
            "limits.frame_max is a size from 4 KiB to 16 MiB, such as 1048576 or \"1MiB\", not 100",
        ),
        (
            "[listeners]\namqp = 'localhost:5672'",
            "listeners.amqp is an IP address and a port, such as \"127.0.0.1:5672\" or \"[::]:5672\", or \"off\", not \
             \"localhost:5672\"",
        ),
        ("[tls]\nclient_required = 1", "tls.client_required is true or false, not 1"),
        ("[log]\nformat = 'xml'", "log.format is one of \"text\", \"json\", not \"xml\""),
        ("data_dir = 5", "data_dir is a path in quotes, not 5"),
        ("data_dir = { x = 1 }", "data_dir is a path in quotes, not { x = 1 }"),
        ("limits = 5", "limits is a section: write [limits] and its keys below it"),
    ] {
        assert_eq!(errors(text, &[]), format!("test.toml: {expected}"));
    }
    let all = errors("[limits]\nchannel_max = 0\n[log]\nformat = 'xml'", &[("GANTRY_LIMITS__HEARTBEAT_S", "x")]);
    assert_eq!(all.lines().count(), 3, "{all}");
    assert!(errors("[limits\n", &[]).contains("line 1"));
}

#[test]
fn sizes_are_numbers_or_have_a_unit() {
    for (written, bytes) in [
        ("1048576", 1 << 20),
        ("'1048576'", 1 << 20),
        ("'1MiB'", 1 << 20),
        ("'2 MiB'", 2 << 20),
        ("'1024KiB'", 1 << 20),
        ("'1MB'", 1_000_000),
        ("'2000kB'", 2_000_000),
        ("'1048576B'", 1 << 20),
        ("'0B'", 0),
        ("'1TiB'", 1 << 40),
    ] {
        let config = config(&format!("[storage]\ndisk_free_min_bytes = {written}"));
        assert_eq!(config.storage.disk_free_min_bytes, bytes, "{written}");
    }
    for written in ["'MiB'", "'1.5MiB'", "'-1MiB'", "'99999999999999TiB'", "'1 mib'", "true", "1.0", "''"] {
        assert!(errors(&format!("[storage]\ndisk_free_min_bytes = {written}"), &[]).contains("is a size"), "{written}");
    }
}

#[test]
fn what_belongs_together_is_asked_for_together() {
    for (text, expected) in [
        ("[tls]\ncertificate = 'c'", "tls.certificate needs tls.key"),
        ("[tls]\nkey = 'k'", "tls.key needs tls.certificate"),
        ("[tls]\nclient_ca = 'a'", "tls.client_ca needs tls.certificate"),
        ("[tls]\ncertificate = 'c'\nkey = 'k'\nclient_required = true", "tls.client_required needs tls.client_ca"),
        ("[listeners]\namqp_tls = '127.0.0.1:0'", "listeners.amqp_tls is set, and needs tls.certificate and tls.key"),
        (
            "[listeners]\namqp = '127.0.0.1:7'\nmqtt = '127.0.0.1:7'",
            "listeners.amqp and listeners.mqtt are both at 127.0.0.1:7",
        ),
    ] {
        assert_eq!(errors(text, &[]), expected);
    }
    assert_eq!(address(&config("[listeners]\namqp_tls = 'off'"), "amqp_tls"), None);
}

#[test]
fn the_file_that_is_named_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gantry.toml");
    assert!(Config::load(Some(&path), &[]).unwrap_err().to_string().contains("gantry.toml"));
    std::fs::write(&path, "[limits]\nheartbeat_s = 7\n").unwrap();
    assert_eq!(Config::load(Some(&path), &[]).unwrap().limits.heartbeat_s, 7);
}

/// The example, as the list of keys has it.
fn example() -> String {
    let mut text = String::from(
        "# Every key with its default. Each can also come from the environment: GANTRY_LISTENERS__AMQP=...\n",
    );
    let mut section = "";
    for key in keys() {
        if key.section() != section {
            section = key.section();
            text += &format!("\n[{section}]\n");
        }
        let leaf = key.name.rsplit('.').next().unwrap();
        let bare = key.default.parse::<u64>().is_ok() || key.default.parse::<bool>().is_ok();
        let default = if bare { key.default.to_string() } else { format!("{:?}", key.default) };
        text += &format!("# {}\n", key.about);
        // A TLS listener that is written down asks for a certificate.
        let comment = if matches!(key.kind, keys::Kind::Listener(_, _, true)) { "# " } else { "" };
        text += &format!("{comment}{leaf} = {default}\n");
    }
    text
}

#[test]
fn the_example_file_has_every_key_with_its_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/gantry.example.toml");
    if std::env::var_os("GANTRY_WRITE_EXAMPLE").is_some() {
        std::fs::write(path, example()).unwrap();
    }
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(text, example(), "run with GANTRY_WRITE_EXAMPLE=1 to write it anew");
    assert_eq!(config(&text), config(""));
}

#[test]
fn listeners_behind_a_proxy_are_named_in_a_list_or_with_commas() {
    let proxied = |config: &Config| {
        let names = config.listeners.iter().filter(|listener| listener.proxy_protocol).map(|listener| listener.name);
        names.collect::<Vec<_>>()
    };
    assert_eq!(proxied(&config("")), [""; 0]);
    assert_eq!(proxied(&config("listeners = { proxy_protocol = ['mqtt', 'amqp_tls'] }")), ["mqtt", "amqp_tls"]);
    let environment = [("GANTRY_LISTENERS__PROXY_PROTOCOL", "mqtt, management")];
    assert_eq!(proxied(&with_environment("", &environment)), ["mqtt", "management"]);
    let wrong = errors("listeners = { proxy_protocol = 'mqtts' }", &[]);
    assert_eq!(wrong, "listeners.proxy_protocol has no listener \"mqtts\"");
    assert!(errors("listeners = { proxy_protocol = [7] }", &[]).contains("is a list of names, or text with commas"));
}

#[test]
fn tokens_need_a_key_and_algorithms_of_it() {
    let read = |text: &str| Config::from_text(&format!("[jwt]\n{text}"), "test.toml", &[]);
    let wrong = |text: &str| read(text).unwrap_err().to_string();
    let given = read("key_file = 'k.pem'\nalgorithms = 'ES256, EdDSA'\nissuer = 'i'\n").unwrap().jwt;
    assert_eq!(given.algorithms, [TokenAlgorithm::Es256, TokenAlgorithm::EdDsa]);
    assert_eq!((given.issuer.as_str(), given.audience.as_str(), given.user_claim.as_str()), ("i", "", "sub"));
    assert_eq!(wrong("algorithms = 'ES256'"), "jwt.algorithms needs jwt.key_file or jwt.secret_file");
    assert_eq!(wrong("key_file = 'k'"), "jwt.key_file needs jwt.algorithms, with one such as RS256 or ES256");
    let no_secret = "jwt.algorithms has some that need jwt.secret_file";
    assert_eq!(wrong("key_file = 'k'\nalgorithms = ['RS256', 'HS256']"), no_secret);
    assert!(wrong("key_file = 'k'\nalgorithms = 'none'").contains("such as \"ES256\", not \"none\""));
    assert!(wrong("key_file = 'k'\nalgorithms = 'ES256'\nuser_claim = ''").contains("jwt.user_claim is the name"));
}

#[test]
fn the_page_on_configuration_tells_every_key_and_its_default() {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md"));
    for key in keys().iter().filter(|key| !key.name.ends_with("_tls")) {
        let (section, leaf) = key.name.split_once('.').unwrap_or(("", key.name));
        // Sections may have keys of the same name.
        let heading = format!("## `[{section}]`");
        let part = page.split_once(heading.as_str()).map_or(page, |(_, part)| part);
        let default = if key.default.is_empty() { String::from("none") } else { format!("`{}`", key.default) };
        let row = part.lines().find(|line| line.starts_with(&format!("| `{leaf}` |")));
        assert!(row.is_some_and(|row| row.contains(&default)), "{}: {default}", key.name);
    }
}
