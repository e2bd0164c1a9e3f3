use std::fs;

use gantry_broker::protocol::{PeerCertificate, ShutdownTrigger};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as ClientStream;

use super::*;
use crate::config::{self, ListenerConfig};
use crate::connections::Connections;
use crate::echo::{Echo, parts};
use crate::listener::{Bound, Service};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, both PEM.
fn issue(authority: &Authority, usage: ExtendedKeyUsagePurpose) -> (String, String) {
    let mut params = CertificateParams::new(vec![String::from("localhost")]).unwrap();
    params.extended_key_usages = vec![usage];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Example");
    params.distinguished_name.push(DnType::CommonName, "alice");
    params.subject_alt_names.push(SanType::Rfc822Name("alice@example.com".try_into().unwrap()));
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// A listener with TLS, and what a client needs to trust it.
struct Server {
    address: std::net::SocketAddr,
    authority: Authority,
    connections: Connections,
    _folder: tempfile::TempDir,
    _stop: (ShutdownTrigger, ShutdownTrigger),
}

fn serve(options: &str, client_ca: bool, handshake_timeout: Duration) -> Server {
    let authority = authority();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (certificate, key) = issue(&authority, ExtendedKeyUsagePurpose::ServerAuth);
    fs::write(path("server.pem"), certificate).unwrap();
    fs::write(path("server.key"), key).unwrap();
    fs::write(path("ca.pem"), authority.pem()).unwrap();
    let mut text =
        format!("[tls]\ncertificate = {:?}\nkey = {:?}\n{options}\n", path("server.pem"), path("server.key"));
    if client_ca {
        text += &format!("client_ca = {:?}\n", path("ca.pem"));
    }
    let config = config::config(&text);
    let tls = Tls::load(&config.tls, handshake_timeout).unwrap().unwrap();

    let (stop, shutdown) = ShutdownTrigger::new();
    let (cut_trigger, cut) = ShutdownTrigger::new();
    let connections = Connections::new(10);
    let address = "127.0.0.1:0".parse().unwrap();
    let listener = ListenerConfig {
        name: "echo_tls",
        plain_name: "echo",
        tls: true,
        proxy_protocol: false,
        address: Some(address),
    };
    let listener = Bound::new(&listener, address).unwrap().listen().unwrap();
    let address = listener.address();
    let protocol = Echo::make(&parts(config.limits));
    let service =
        Service { protocol, tls: Some(tls), proxy_timeout: None, connections: connections.clone(), shutdown, cut };
    tokio::spawn(listener.serve(service));
    Server { address, authority, connections, _folder: folder, _stop: (stop, cut_trigger) }
}

/// Connects, with a certificate of this authority where one is given.
async fn connect(server: &Server, client: Option<&Authority>) -> io::Result<ClientStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(server.authority.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let (certificate, key) = issue(authority, ExtendedKeyUsagePurpose::ClientAuth);
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    let stream = TcpStream::connect(server.address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// What the server found out about the client; an error where it refused it (TLS 1.3 tells so after the client's handshake).
async fn who(server: &Server, client: Option<&Authority>) -> io::Result<String> {
    let mut stream = connect(server, client).await?;
    stream.write_all(b"who\n").await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n") {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(String::from_utf8(answer).unwrap())
}

const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn without_authorities_for_clients_there_is_tls_and_no_certificate() {
    let server = serve("", false, LONG);
    let info = TlsInfo { protocol: "tlsv1.3", cipher: "TLS_AES_256_GCM_SHA384".into(), certificate: None };
    assert_eq!(who(&server, None).await.unwrap(), format!("{:?}\n", Some(info)));
}

#[tokio::test]
async fn a_verified_client_certificate_is_told() {
    for (login_from, login) in [
        ("distinguished_name", Some("CN=alice,O=Example")),
        ("common_name", Some("alice")),
        ("san_dns", Some("localhost")),
        ("san_email", Some("alice@example.com")),
        ("san_uri", None),
    ] {
        let server = serve(&format!("login_from = {login_from:?}"), true, LONG);
        let certificate = PeerCertificate {
            subject: "CN=alice,O=Example".into(),
            common_name: Some("alice".into()),
            alternative_name: Some("localhost".into()),
            login: login.map(str::to_owned),
        };
        let told = who(&server, Some(&server.authority)).await.unwrap();
        assert!(told.contains(&format!("{certificate:?}")), "{told}");
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_may_come_unless_one_is_required() {
    let server = serve("", true, LONG);
    assert!(who(&server, None).await.unwrap().contains("certificate: None"));
    let server = serve("client_required = true", true, LONG);
    who(&server, None).await.unwrap_err();
    server.connections.none_left().await;
    who(&server, Some(&server.authority)).await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_a_stranger_is_refused() {
    let server = serve("", true, LONG);
    let stranger = authority();
    who(&server, Some(&stranger)).await.unwrap_err();
    server.connections.none_left().await;
    who(&server, Some(&server.authority)).await.unwrap();
}

#[tokio::test]
async fn a_handshake_that_is_slow_or_is_none_ends_the_connection() {
    let server = serve("", false, Duration::from_millis(50));
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut end = Vec::new();
    silent.read_to_end(&mut end).await.unwrap();
    assert_eq!(end, b"");

    let server = serve("", false, LONG);
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain.write_all(b"AMQP\x00\x00\x09\x01").await.unwrap();
    let mut end = Vec::new();
    // An alert, then the end; the rest of what was sent may turn that into a reset.
    let _ = plain.read_to_end(&mut end).await;
    assert!(end.len() < 16, "{end:?}");
    server.connections.none_left().await;
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let authority = authority();
    let (certificate, key) = issue(&authority, ExtendedKeyUsagePurpose::ServerAuth);
    let (_, other_key) = issue(&authority, ExtendedKeyUsagePurpose::ServerAuth);
    fs::write(path("certificate.pem"), certificate).unwrap();
    fs::write(path("key.pem"), key).unwrap();
    fs::write(path("other.key"), other_key).unwrap();
    fs::write(path("empty.pem"), "").unwrap();
    for (certificate, key, client_ca, named) in [
        ("missing.pem", "key.pem", None, "missing.pem"),
        ("empty.pem", "key.pem", None, "empty.pem: holds no certificate"),
        ("certificate.pem", "empty.pem", None, "empty.pem"),
        ("certificate.pem", "other.key", None, "certificate.pem"),
        ("certificate.pem", "key.pem", Some("empty.pem"), "empty.pem: holds no certificate"),
    ] {
        let config = TlsConfig {
            certificate: Some(path(certificate)),
            key: Some(path(key)),
            client_ca: client_ca.map(path),
            ..TlsConfig::default()
        };
        let error = Tls::load(&config, LONG).err().unwrap().to_string();
        assert!(error.contains(named), "{error}");
    }
}

/// Certificates that openssl made, and what RabbitMQ 3.10 makes of them: `rabbit_cert_info:subject/1`, and
/// `rabbit_ssl:peer_cert_auth_name/1` for common names and alternative names. RabbitMQ gives an IP address as bytes, which
/// cannot be a user's name; here it is text.
#[test]
fn names_are_printed_as_rabbitmq_prints_them() {
    let read = |pem: &str, from| {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        certificate::read(&der, from).unwrap()
    };
    for (pem, subject, common_name, alternative_name) in [
        (
            include_str!("testdata/a.pem"),
            r"CN=client,OU=A+OU=B,O=Example\, Inc.,L=M\C3\BCnchen,ST=Bayern,C=DE",
            "client",
            Some("one.example"),
        ),
        (
            include_str!("testdata/b.pem"),
            r#"EMAILADDRESS=me@example.com,CN=\ lead \"quoted\" \\back\;\<x\>#= trail\ "#,
            r#" lead "quoted" \back;<x>#= trail "#,
            Some("me@example.com"),
        ),
        (include_str!("testdata/c.pem"), r"CN=\#hash,UID=u1,DC=example,DC=org", "#hash", Some("127.0.0.1")),
        (
            include_str!("testdata/d.pem"),
            "CN=y,CN=x,2.5.4.17=12345,2.5.4.9=st,2.5.4.41=nm,PSEUDONYM=p,GENERATIONQUALIFIER=III,INITIALS=AL,2.5.4.46=q,\
             SERIALNUMBER=12,SN=Love,GIVENNAME=Ada,TITLE=Dr",
            "x,y",
            Some("urn:x"),
        ),
        (include_str!("testdata/e.pem"), "CN=e", "e", Some("::1")),
        (include_str!("testdata/f.pem"), "CN=f,2.5.4.15=bc", "f", None),
        (include_str!("testdata/g.pem"), r"CN=Frank \C3\96stli \E4\B8\AD", "Frank Östli 中", None),
        (include_str!("testdata/h.pem"), r"OU=\ ,O=\  two \ ,CN=a\7Eb\09c}{=z", "a~b\tc}{=z", None),
    ] {
        let by_subject = read(pem, LoginFrom::DistinguishedName);
        assert_eq!(by_subject.subject, subject);
        assert_eq!(by_subject.login.as_deref(), Some(subject));
        assert_eq!(read(pem, LoginFrom::CommonName).login.as_deref(), Some(common_name));
        assert_eq!(by_subject.alternative_name.as_deref(), alternative_name);
    }
    assert_eq!(read(include_str!("testdata/a.pem"), LoginFrom::SanDns).login.as_deref(), Some("one.example"));
    assert_eq!(read(include_str!("testdata/a.pem"), LoginFrom::SanIp).login, None);
}
