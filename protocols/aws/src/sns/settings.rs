//! How SNS is spoken.

use super::sms;
use crate::outbound;

/// What the configuration sets of SNS.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Most subscriptions of a topic.
    pub subscriptions_max: usize,
    /// Most filter policies of a topic's subscriptions. On AWS, 200 unless asked for more.
    pub filter_policies_max: usize,
    /// Requests to endpoints of subscriptions.
    pub outbound: outbound::Settings,
    /// Functions and delivery streams.
    pub services: Services,
    /// Mails.
    pub mail: Mail,
    /// Short messages.
    pub sms: sms::Settings,
    /// Mobile devices.
    pub push: Push,
}

/// Where functions and delivery streams are, and who asks them. `{region}` in a URL is the region of the endpoint's ARN.
#[derive(Clone, Default)]
pub struct Services {
    /// What speaks as Lambda does, such as `https://lambda.{region}.amazonaws.com`; empty for none.
    pub lambda_url: Box<str>,
    /// What speaks as Firehose does; empty for none.
    pub firehose_url: Box<str>,
    /// The access key that requests are signed with; empty for unsigned ones.
    pub access_key_id: Box<str>,
    /// Its secret.
    pub secret_access_key: Box<str>,
    /// What goes with a key that is good for a while only; empty for none.
    pub session_token: Box<str>,
}

/// Who takes mails.
#[derive(Clone)]
pub struct Mail {
    /// `smtp://user:password@host:port`, with `?tls=required` or `?tls=opportunistic` for STARTTLS; `smtps://...` for TLS from the
    /// beginning. Empty for none.
    pub url: Box<str>,
    /// Whom they come from: an address, or `Name <address>`.
    pub from: Box<str>,
}

/// Where the services for mobile devices are.
#[derive(Clone, Debug)]
pub struct Push {
    /// Apple's.
    pub apple_url: Box<str>,
    /// Apple's, for apps in development.
    pub apple_sandbox_url: Box<str>,
    /// Google's.
    pub google_url: Box<str>,
    /// Where Google gives tokens to service accounts.
    pub google_token_url: Box<str>,
}

impl Default for Mail {
    fn default() -> Self {
        Self { url: "".into(), from: "no-reply@localhost".into() }
    }
}

impl Default for Push {
    fn default() -> Self {
        Self {
            apple_url: "https://api.push.apple.com".into(),
            apple_sandbox_url: "https://api.sandbox.push.apple.com".into(),
            google_url: "https://fcm.googleapis.com".into(),
            google_token_url: "https://oauth2.googleapis.com/token".into(),
        }
    }
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { lambda_url, firehose_url, access_key_id, .. } = self;
        f.debug_struct("Services")
            .field("lambda_url", lambda_url)
            .field("firehose_url", firehose_url)
            .field("access_key_id", access_key_id)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Mail {
    // The URL has a password in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            subscriptions_max: 100_000,
            filter_policies_max: 10_000,
            outbound: outbound::Settings::default(),
            services: Services::default(),
            mail: Mail::default(),
            sms: sms::Settings::default(),
            push: Push::default(),
        }
    }
}
