//! Requests that begin here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::address::Target;
use super::ask::{Answer, Ask, Refusal};
use super::dial::Dialler;
use super::guard::{Guard, Reach};
use super::line::{Line, Request, Sent};
use super::pool::{Place, Pool};

/// What the configuration sets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which hosts and addresses may be reached.
    pub guard: Guard,
    /// Certificates that are trusted beside those of the operating system, as PEM. Read at the first use.
    pub ca_file: Option<PathBuf>,
    /// How long a connection waits for its next request.
    pub idle_timeout: Duration,
    /// Connections that may wait, all of them together.
    pub idle_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { guard: Guard::default(), ca_file: None, idle_timeout: Duration::from_secs(20), idle_max: 1_000 }
    }
}

/// Makes requests, over connections that are used again. Clones are the same client.
#[derive(Clone, Debug)]
pub struct Client {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    guard: Guard,
    dialler: Dialler,
    pool: Pool,
}

impl Client {
    /// A client; it does nothing before the first request.
    pub fn new(settings: Settings) -> Self {
        let Settings { guard, ca_file, idle_timeout, idle_max } = settings;
        let parts = Parts { guard, dialler: Dialler::new(ca_file), pool: Pool::new(idle_timeout, idle_max) };
        Self { parts: Arc::new(parts) }
    }

    /// Whether a URL is one that may be asked, as far as that can be told without resolving its host.
    ///
    /// # Errors
    /// It is none, or the configuration forbids its host or its address.
    pub fn check(&self, url: &str, reach: Reach) -> Result<(), Refusal> {
        let Target { address, .. } = Target::of(url)?;
        self.parts.guard.check_host(&address.host, reach)?;
        match address.ip {
            Some(ip) => self.parts.guard.check_address(&address.host, ip, reach),
            None => Ok(()),
        }
    }

    /// Makes a request and waits for the answer, whatever it says.
    ///
    /// # Errors
    /// There is none.
    pub async fn request(&self, ask: Ask) -> Result<Answer, Refusal> {
        let target = Target::of(&ask.url)?;
        self.parts.guard.check_host(&target.address.host, ask.reach)?;
        let limit = ask.timeout;
        match tokio::time::timeout(limit, self.exchange(&ask, target)).await {
            Ok(result) => result,
            Err(_) => Err(Refusal::Timeout(limit)),
        }
    }

    async fn exchange(&self, ask: &Ask, target: Target) -> Result<Answer, Refusal> {
        let request = target.request(ask)?;
        let place = Place { address: target.address, reach: ask.reach, speech: ask.speech };
        // What had been waiting may be closed by the other side at this very moment: then another one takes its place, and the
        // last is a new one.
        while let Some(line) = self.parts.pool.take(&place) {
            match self.send(&place, line, request.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(sent) if sent.may_be_sent_again() => {}
                Err(sent) => return Err(sent.into()),
            }
        }
        let line = self.parts.dialler.dial(&self.parts.guard, &place).await?;
        Ok(self.send(&place, line, request).await?)
    }

    async fn send(&self, place: &Place, line: Line, request: Request) -> Result<Answer, Sent> {
        let (answer, line) = line.send(request).await?;
        if let Some(line) = line {
            self.parts.pool.put(place, line);
        }
        Ok(answer)
    }
}
