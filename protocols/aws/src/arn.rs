//! Names that are the same everywhere: `arn:aws:sqs:us-east-1:000000000000:orders`.

use std::fmt;

/// The parts of an ARN. None of them is checked but for the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arn<'a> {
    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub partition: &'a str,
    /// Such as `sqs`.
    pub service: &'a str,
    /// Empty for services that have none.
    pub region: &'a str,
    /// 12 digits, or empty.
    pub account: &'a str,
    /// The rest, which may contain colons.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Takes one apart; none where it is not one.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        if parts.next()? != "arn" {
            return None;
        }
        let mut part = || parts.next();
        let (partition, service, region, account, resource) = (part()?, part()?, part()?, part()?, part()?);
        Some(Self { partition, service, region, account, resource })
    }

    /// The ARN of a topic.
    pub fn topic(region: &'a str, account: &'a str, name: &'a str) -> Self {
        Self { partition: "aws", service: "sns", region, account, resource: name }
    }

    /// The ARN of a queue.
    pub fn queue(region: &'a str, account: &'a str, name: &'a str) -> Self {
        Self { partition: "aws", service: "sqs", region, account, resource: name }
    }
}

impl fmt::Display for Arn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, service, region, account, resource } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_taken_apart_and_put_together() {
        let text = "arn:aws:sqs:eu-west-1:111122223333:orders.fifo";
        let arn = Arn::parse(text).unwrap();
        assert_eq!(arn, Arn::queue("eu-west-1", "111122223333", "orders.fifo"));
        assert_eq!(arn.to_string(), text);
        assert_eq!(Arn::parse("arn:aws:sns:r:a:topic:subscription").unwrap().resource, "topic:subscription");
        for bad in ["", "arn", "arn:aws:sqs:r:a", "urn:aws:sqs:r:a:q", "orders"] {
            assert_eq!(Arn::parse(bad), None, "{bad}");
        }
    }
}
