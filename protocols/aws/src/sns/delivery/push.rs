//! Deliveries to devices, through Apple's and Google's services.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use tokio::task::spawn_blocking;

use super::parcel::{Failure, Outcome, Parcel};
use super::service;
use crate::date;
use crate::message::Value;
use crate::outbound::{Answer, Ask, Speech};
use crate::sns::convert::{self, Notice};
use crate::sns::platform::application::{Application, platform_of};
use crate::sns::platform::credentials::Credentials;
use crate::sns::platform::endpoint::{Endpoint, application_of};
use crate::sns::platform::kind::Platform;
use crate::sns::platform::tokens::{Grant, Place};
use crate::sns::platform::verdict::Verdict;
use crate::sns::platform::{apple, google};

/// Delivers a message.
pub(super) async fn deliver(parcel: &Parcel) -> Outcome {
    // What goes to no topic says itself to whom.
    let addressed = match service::addressed(parcel) {
        Ok(addressed) => addressed,
        Err(outcome) => return outcome,
    };
    let arn = &*addressed;
    let platforms = &parcel.edge.sns.platforms;
    let (Some(platform), Some(application_arn)) = (platform_of(arn), application_of(arn)) else {
        return service::rejected("InvalidEndpoint", "it is no ARN of an endpoint");
    };
    let (Ok(endpoint), Ok(application)) = (platforms.endpoint(arn), platforms.application(&application_arn)) else {
        return service::rejected("NotFound", "the endpoint is gone");
    };
    if !endpoint.is_enabled {
        return service::rejected("EndpointDisabled", "the endpoint is disabled");
    }
    if !application.is_enabled() {
        return service::rejected("PlatformApplicationDisabled", "the platform application is disabled");
    }
    let variant = match platform {
        Platform::Google(_) => "GCM",
        Platform::Apple { name, .. } | Platform::Other(name) => name,
    };
    let whole = match service::notice(parcel, &[variant]) {
        Ok(notice) => notice,
        Err(outcome) => return outcome,
    };
    let is_variant = convert::variant(&parcel.message, &[variant]).is_some();
    let device = Device { parcel, platform, application: &application, endpoint: &endpoint };
    let sent = match platform {
        Platform::Apple { is_sandbox, .. } => device.apple(&whole, is_variant, is_sandbox).await,
        Platform::Google(_) => device.google(&whole, is_variant).await,
        Platform::Other(name) => {
            return service::rejected("NotSupported", format!("nothing is delivered through {name}"));
        }
    };
    let (verdict, answer) = match sent {
        Ok(sent) => sent,
        Err(Stopped::Outcome(outcome)) => return outcome,
        Err(Stopped::Verdict(verdict)) => (verdict, None),
    };
    let failure = |code: &str| match &answer {
        Some(answer) => service::failure(answer, platform.name(), code.to_owned().into()),
        None => Failure { status: None, code: code.to_owned().into(), reason: format!("{}: {code}", platform.name()) },
    };
    match verdict {
        Verdict::Taken => {
            answer.as_ref().map_or(Outcome::Delivered(super::parcel::Told::default()), service::delivered)
        }
        Verdict::Later(reason) | Verdict::TokenRefused(reason) => Outcome::Retry(failure(&reason)),
        Verdict::Never(reason) => Outcome::Rejected(failure(&reason)),
        Verdict::DeviceGone(reason) => {
            let token = endpoint.token.clone();
            // Unless it has another token by now.
            let disable = |there: &Endpoint| {
                Ok(Endpoint { is_enabled: there.is_enabled && there.token != token, ..there.clone() })
            };
            if let Ok(pending) = platforms.change_endpoint(&parcel.edge.broker, arn, disable) {
                // If that is lost, the service says it once more.
                drop(pending);
            }
            tracing::info!(endpoint = arn, %reason, "the endpoint is disabled");
            Outcome::Rejected(failure(&reason))
        }
        Verdict::CredentialsRefused(reason) => {
            let (broker, attributes) = (&parcel.edge.broker, &application.attributes);
            // Unless it has other credentials by now.
            let disable = |there: &Application| {
                Ok(if there.attributes == *attributes { there.disabled() } else { there.clone() })
            };
            if let Ok(pending) = platforms.change_application(broker, &application_arn, disable) {
                drop(pending);
            }
            tracing::warn!(application = application_arn, %reason, "the platform application is disabled");
            Outcome::Rejected(failure(&reason))
        }
    }
}

/// Why a message did not get as far as an answer.
enum Stopped {
    Outcome(Outcome),
    Verdict(Verdict),
}

impl From<Outcome> for Stopped {
    fn from(outcome: Outcome) -> Self {
        Self::Outcome(outcome)
    }
}

impl From<Verdict> for Stopped {
    fn from(verdict: Verdict) -> Self {
        Self::Verdict(verdict)
    }
}

/// What a service said, and what that means.
type Sent = Result<(Verdict, Option<Answer>), Stopped>;

/// A message on its way to a device.
struct Device<'a> {
    parcel: &'a Parcel,
    platform: Platform,
    application: &'a Arc<Application>,
    endpoint: &'a Endpoint,
}

impl Device<'_> {
    async fn apple(&self, notice: &Notice<'_>, is_variant: bool, is_sandbox: bool) -> Sent {
        let push = &self.parcel.edge.settings.sns.push;
        let (place, now_s) = self.place();
        let made = place.get_or_try_init(|| async {
            let Credentials::Apple { key, key_id, team_id, bundle_id } = self.credentials()? else {
                return Err(unsupported());
            };
            let token = apple::token(&key, &key_id, &team_id, now_s).map_err(|error| later(&error))?;
            Ok(Grant { token: token.into(), of: bundle_id, until_s: now_s + apple::TOKEN_S })
        });
        let grant = made.await?;
        let payload = apple::payload(&notice.message, is_variant);
        let base = if is_sandbox { &push.apple_sandbox_url } else { &push.apple_url };
        let url = format!("{}/3/device/{}", base.trim_end_matches('/'), self.endpoint.token);
        let mut ask = self.ask(&url, grant)?;
        ask.speech = Speech::Http2;
        let kind = apple::push_type(&payload);
        let ttl_s = self.ttl_s(notice).unwrap_or(apple::TTL_S);
        // Zero is now or never.
        let expiration = if ttl_s == 0 { 0 } else { (notice.published_ms / 1_000) as i64 + ttl_s };
        for (name, value) in [
            ("apns-topic", &*grant.of),
            ("apns-push-type", kind),
            ("apns-priority", if kind == "background" { "5" } else { "10" }),
            ("apns-expiration", &*expiration.to_string()),
            ("apns-id", &*notice.id),
        ] {
            ask.headers.insert(HeaderName::from_static(name), header(value)?);
        }
        for (name, header_name) in apple::HEADERS {
            if let Some(said) = self.said(notice, name) {
                ask.headers.insert(HeaderName::from_static(header_name), header(&said)?);
            }
        }
        ask.body = Bytes::from(payload);
        let answer = service::asked(self.parcel, ask).await?;
        Ok(self.judged(apple::verdict(answer.status.as_u16(), &answer.body), answer, &place))
    }

    async fn google(&self, notice: &Notice<'_>, is_variant: bool) -> Sent {
        let push = &self.parcel.edge.settings.sns.push;
        let (place, now_s) = self.place();
        let made = place.get_or_try_init(|| async {
            let audience = push.google_token_url.clone();
            let application = Arc::clone(self.application);
            let platform = self.platform;
            // An RSA key takes a millisecond or two to be read and to sign.
            let assertion = spawn_blocking(move || {
                let Credentials::Google { key, key_id, email, project } = credentials(&application, platform)? else {
                    return Err(unsupported());
                };
                let body = google::token_request(&key, key_id.as_deref(), &email, &audience, now_s);
                Ok((body.map_err(|error| later(&error))?, project))
            });
            let (body, project) = assertion.await.map_err(|error| later(&error))??;
            let mut ask = Ask::post(&push.google_token_url, Bytes::from(body));
            ask.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
            let answer = service::asked(self.parcel, ask).await?;
            let (token, until_s) = google::access_token(answer.status.as_u16(), &answer.body, now_s)?;
            Ok::<_, Stopped>(Grant { token: token.into(), of: project, until_s })
        });
        let grant = made.await?;
        let payload = google::payload(&notice.message, is_variant, &self.endpoint.token, self.ttl_s(notice))?;
        let base = push.google_url.trim_end_matches('/');
        let mut ask = self.ask(&format!("{base}/v1/projects/{}/messages:send", grant.of), grant)?;
        ask.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        ask.body = Bytes::from(payload);
        let answer = service::asked(self.parcel, ask).await?;
        Ok(self.judged(google::verdict(answer.status.as_u16(), &answer.body), answer, &place))
    }

    /// Where the application's token is, and the time.
    fn place(&self) -> (Place, i64) {
        let now_s = date::now_s();
        (self.parcel.edge.sns.platforms.tokens.place(&self.application.id, now_s), now_s)
    }

    fn judged(&self, verdict: Verdict, answer: Answer, place: &Place) -> (Verdict, Option<Answer>) {
        if matches!(verdict, Verdict::TokenRefused(_)) {
            self.parcel.edge.sns.platforms.tokens.refused(&self.application.id, place);
        }
        (verdict, Some(answer))
    }

    fn credentials(&self) -> Result<Credentials, Stopped> {
        credentials(self.application, self.platform)
    }

    fn ask(&self, url: &str, grant: &Grant) -> Result<Ask, Stopped> {
        let mut ask = Ask::post(url, Bytes::new());
        ask.timeout = self.parcel.errand.means.attempt();
        let mut bearer = header(&format!("Bearer {}", grant.token))?;
        bearer.set_sensitive(true);
        ask.headers.insert(AUTHORIZATION, bearer);
        Ok(ask)
    }

    /// What a message attribute about this service says.
    fn said(&self, notice: &Notice<'_>, name: &str) -> Option<String> {
        let name = self.platform.attribute(name);
        notice.attributes().find(|attribute| attribute.name == name).and_then(|attribute| match attribute.value {
            Value::Text(text) => Some(text.to_owned()),
            Value::Binary(_) => None,
        })
    }

    /// How long the message is worth delivering, in seconds, where it says so.
    fn ttl_s(&self, notice: &Notice<'_>) -> Option<i64> {
        let ttl_s = self.said(notice, "TTL")?.parse::<i64>().ok()?;
        Some(ttl_s.clamp(0, apple::TTL_S))
    }
}

fn credentials(application: &Application, platform: Platform) -> Result<Credentials, Stopped> {
    application.credentials(platform).map_err(|error| Verdict::Never(error.message).into())
}

/// They are kept, and no token can be made with them.
fn unsupported() -> Stopped {
    service::rejected("NotSupported", "nothing is delivered with a certificate or an API key; tokens are needed").into()
}

fn later(error: &dyn std::fmt::Display) -> Stopped {
    Verdict::Later(error.to_string().into()).into()
}

fn header(text: &str) -> Result<HeaderValue, Stopped> {
    let unlikely = |_| service::rejected("InvalidHeader", "an attribute of the message cannot stand in a header");
    HeaderValue::from_str(text).map_err(|error| unlikely(error).into())
}
