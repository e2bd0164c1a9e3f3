//! How AWS is spoken.

use std::time::Duration;

use crate::sns;
use crate::sqs::Limits;

/// Whose requests need a signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Those from elsewhere. On this machine any key is the default user's.
    #[default]
    LoopbackOpen,
    /// All of them.
    Required,
}

/// What the configuration sets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose requests need a signature.
    pub auth: Auth,
    /// The region of what is not signed for another one.
    pub region: Box<str>,
    /// Accounts of 12 digits and their virtual hosts. The first one is the account of unsigned requests.
    pub accounts: Vec<(Box<str>, Box<str>)>,
    /// Who uses keys that nobody knows, on this machine.
    pub default_user: Box<str>,
    /// Largest body of a request, in bytes: a batch of 1 MiB, all of it escaped.
    pub body_bytes_max: usize,
    /// Time that a client has for the head of a request, and again for its body, until it is known who it is.
    pub handshake_timeout: Duration,
    /// How long a connection is kept without a request.
    pub idle_timeout: Duration,
    /// What URLs of queues begin with, without a slash at the end. None for what the client itself has used.
    pub queue_url: Option<Box<str>>,
    /// A queue takes messages of topics of its own account only where its policy says so, as on AWS, and not unless it says the
    /// opposite.
    pub strict_policies: bool,
    /// The limits of SQS.
    pub sqs: Limits,
    /// How SNS is spoken.
    pub sns: sns::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auth: Auth::default(),
            region: "us-east-1".into(),
            accounts: vec![("000000000000".into(), "/".into())],
            default_user: "guest".into(),
            body_bytes_max: 4 << 20,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(300),
            queue_url: None,
            strict_policies: false,
            sqs: Limits::default(),
            sns: sns::Settings::default(),
        }
    }
}
