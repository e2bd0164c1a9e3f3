//! Python: pika in both manners, kombu, and Celery with a worker of its own.

use gantry_tests::broker::Broker;
use gantry_tests::client;

#[test]
fn pika_blocking() {
    client::run(client::python("pika_blocking.py"), &mut Broker::settings().keeps_port().start());
}

#[test]
fn pika_asyncio() {
    client::run(client::python("pika_asyncio.py"), &mut Broker::settings().keeps_port().start());
}

#[test]
fn kombu() {
    client::run(client::python("kombu_suite.py"), &mut Broker::settings().keeps_port().start());
}

#[test]
fn celery() {
    client::run(client::python("celery_suite.py"), &mut Broker::start());
}

#[test]
fn pika_blocked() {
    if std::env::var_os("GANTRY_E2E_URL").is_some() {
        return; // gantry's own settings
    }
    // No disk has so much room.
    let mut broker = Broker::settings().config("[storage]\ndisk_free_min_bytes = \"1TiB\"\n").start();
    let mut command = client::python("pika_blocked.py");
    command.arg(broker.url());
    client::run_plain(command);
    broker.assert_sound();
}

/// Runs a program that asks the management API, too.
fn with_management(program: &str) {
    let mut broker = Broker::settings().keeps_port().listener("management").start();
    let mut command = client::python(program);
    if broker.is_external() {
        // Somebody else's broker has its API where the environment says.
        if std::env::var_os("MANAGEMENT_URL").is_none() {
            return;
        }
    } else {
        command.env("MANAGEMENT_URL", format!("http://{}", broker.address_of("management")));
    }
    client::run(command, &mut broker);
}

#[test]
fn management_policies() {
    with_management("management_policies.py");
}

#[test]
fn management_rights() {
    with_management("management_rights.py");
}

#[test]
fn rules_policies() {
    with_management("rules_policies.py");
}
