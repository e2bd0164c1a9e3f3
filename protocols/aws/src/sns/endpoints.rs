//! Endpoints of subscriptions, as their protocols want them.

use super::fault;
use super::subscriptions::Protocol;
use crate::arn::Arn;
use crate::error::Error;
use crate::sqs::FIFO_SUFFIX;

/// Most bytes of an endpoint.
const ENDPOINT_BYTES_MAX: usize = 2_048;

/// Checks an endpoint.
///
/// # Errors
/// It is none of the protocol, or the topic cannot have it.
pub(crate) fn check(protocol: Protocol, endpoint: &str, is_fifo_topic: bool) -> Result<(), Error> {
    let invalid = |what: &str| Err(fault::invalid_parameter(what));
    if endpoint.len() > ENDPOINT_BYTES_MAX {
        return invalid("Endpoint");
    }
    let is_arn_of =
        |service: &str| Arn::parse(endpoint).is_some_and(|arn| arn.service == service && !arn.resource.is_empty());
    let is_valid = match protocol {
        Protocol::Http => is_url(endpoint, "http://"),
        Protocol::Https => is_url(endpoint, "https://"),
        Protocol::Email | Protocol::EmailJson if is_mail_address(endpoint) => true,
        Protocol::Email | Protocol::EmailJson => return invalid("Email address"),
        Protocol::Sms if is_phone_number(endpoint) => true,
        Protocol::Sms => return Err(fault::invalid(format!("Invalid SMS endpoint: {}", fault::shown(endpoint)))),
        Protocol::Sqs if is_arn_of("sqs") => true,
        Protocol::Sqs => return invalid("SQS endpoint ARN"),
        Protocol::Application if is_arn_of("sns") => true,
        Protocol::Application => return invalid("ApplicationEndpoint ARN"),
        Protocol::Lambda if is_arn_of("lambda") => true,
        Protocol::Lambda => return invalid("Lambda endpoint ARN"),
        Protocol::Firehose if is_arn_of("firehose") => true,
        Protocol::Firehose => return invalid("Firehose endpoint ARN"),
    };
    if !is_valid {
        return invalid("Endpoint must match the specified protocol");
    }
    if protocol == Protocol::Sqs && endpoint.ends_with(FIFO_SUFFIX) && !is_fifo_topic {
        return invalid(
            "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics",
        );
    }
    if is_fifo_topic && protocol != Protocol::Sqs {
        return invalid(
            "Invalid parameter: Endpoint Reason: Please use an SQS queue: FIFO topics deliver to no other protocol",
        );
    }
    Ok(())
}

/// Whether it is a URL: what stands behind the scheme is looked at when it is asked for.
fn is_url(endpoint: &str, scheme: &str) -> bool {
    let behind = endpoint.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme));
    let host = endpoint.get(scheme.len()..).and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    behind.is_some()
        && !host.is_empty()
        && port.is_none_or(|port| port.is_empty() || port.parse::<u16>().is_ok())
        && !endpoint.bytes().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control())
}

fn is_mail_address(endpoint: &str) -> bool {
    let is_plain = |text: &str| {
        !text.is_empty()
            && !text.bytes().any(|byte| byte.is_ascii_control() || matches!(byte, b' ' | b'@' | b'<' | b'>' | b','))
    };
    endpoint.len() <= 320
        && endpoint
            .rsplit_once('@')
            .is_some_and(|(local, domain)| is_plain(local) && is_plain(domain) && !domain.starts_with('.'))
}

/// Whether it is a number as E.164 has them, with or without the plus.
pub(crate) fn is_phone_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (2..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_what_their_protocols_want() {
        for (protocol, endpoint) in [
            (Protocol::Http, "http://h/p?q"),
            (Protocol::Https, "HTTPS://h"),
            (Protocol::Email, "a.b+c@example.com"),
            (Protocol::EmailJson, "a@b"),
            (Protocol::Sms, "+15550001111"),
            (Protocol::Sqs, "arn:aws:sqs:us-east-1:000000000000:q"),
            (Protocol::Application, "arn:aws:sns:us-east-1:000000000000:endpoint/GCM/app/id"),
            (Protocol::Lambda, "arn:aws:lambda:us-east-1:000000000000:function:f"),
            (Protocol::Firehose, "arn:aws:firehose:us-east-1:000000000000:deliverystream/d"),
        ] {
            assert_eq!(check(protocol, endpoint, false), Ok(()), "{endpoint}");
        }
        for (protocol, endpoint, words) in [
            (Protocol::Http, "https://h", "Invalid parameter: Endpoint must match the specified protocol"),
            (Protocol::Https, "https://", "Invalid parameter: Endpoint must match the specified protocol"),
            (Protocol::Http, "http://u:p@h:99999/", "Invalid parameter: Endpoint must match the specified protocol"),
            (Protocol::Http, "http://a b", "Invalid parameter: Endpoint must match the specified protocol"),
            (Protocol::Email, "nobody", "Invalid parameter: Email address"),
            (Protocol::Email, "a@b\r\nc", "Invalid parameter: Email address"),
            (Protocol::Sms, "+0", "Invalid SMS endpoint: +0"),
            (Protocol::Sqs, "http://q", "Invalid parameter: SQS endpoint ARN"),
            (Protocol::Sqs, "arn:aws:lambda:r:a:q", "Invalid parameter: SQS endpoint ARN"),
            (Protocol::Application, "x", "Invalid parameter: ApplicationEndpoint ARN"),
            (
                Protocol::Sqs,
                "arn:aws:sqs:us-east-1:000000000000:q.fifo",
                "Invalid parameter: Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics",
            ),
        ] {
            assert_eq!(check(protocol, endpoint, false).unwrap_err().message, words);
        }
        assert!(
            check(Protocol::Sqs, "arn:aws:sqs:r:a:q", true).is_ok() && check(Protocol::Http, "http://h", true).is_err()
        );
    }
}
