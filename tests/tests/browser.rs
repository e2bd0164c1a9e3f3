//! A web page in a real browser. Left out, and said so, where there is no Chromium: `.ci/run` installs it.

use std::path::{Path, PathBuf};

use gantry_tests::broker::Broker;
use gantry_tests::client;

/// Where distributions put it; `CHROMIUM` of the environment says otherwise.
const PLACES: [&str; 3] = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    named.or_else(|| PLACES.iter().map(Path::new).find(|place| place.exists()).map(Path::to_path_buf))
}

#[test]
fn a_chat_in_chromium() {
    let Some(chromium) = chromium() else {
        println!("SKIPPED a_chat_in_chromium: no Chromium is installed (Debian: apt-get install chromium)");
        return;
    };
    let mut broker = Broker::settings().keeps_port().listener("web_stomp").start();
    let mut command = client::node("browser.js");
    command.env("CHROMIUM", chromium);
    let url = format!("ws://{}/ws", broker.address_of("web_stomp"));
    client::run_at(command, &url, &mut broker);
}
