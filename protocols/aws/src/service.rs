//! The services of this endpoint, and which of them a request is for. On AWS each has a host of its own.

use crate::action::Entry;
use crate::wire::shapes::{self, Operation};
use crate::{sns, sqs};

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Amazon SQS.
    Sqs,
    /// Amazon SNS.
    Sns,
}

impl Service {
    /// All of them. Where a request may be for several, it is for the first.
    pub const ALL: [Self; 2] = [Self::Sqs, Self::Sns];

    /// What it is called in scopes of signatures and in ARNs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqs => "sqs",
            Self::Sns => "sns",
        }
    }

    /// The version of its model, which is the parameter `Version` of Query.
    pub const fn version(self) -> &'static str {
        match self {
            Self::Sqs => "2012-11-05",
            Self::Sns => "2010-03-31",
        }
    }

    /// The namespace of its replies in XML.
    pub(crate) const fn namespace(self) -> &'static str {
        match self {
            Self::Sqs => "http://queue.amazonaws.com/doc/2012-11-05/",
            Self::Sns => "http://sns.amazonaws.com/doc/2010-03-31/",
        }
    }

    /// The shapes of its actions, in the order of the alphabet.
    pub const fn operations(self) -> &'static [Operation] {
        match self {
            Self::Sqs => shapes::sqs::OPERATIONS,
            Self::Sns => shapes::sns::OPERATIONS,
        }
    }

    /// The shapes of an action.
    pub fn operation(self, name: &str) -> Option<&'static Operation> {
        let operations = self.operations();
        operations.binary_search_by(|operation| operation.name.cmp(name)).ok().map(|at| &operations[at])
    }

    /// An action.
    pub(crate) fn action(self, name: &str) -> Option<&'static Entry> {
        #[cfg(test)]
        if let Some(entry) = crate::tests::ACTIONS.iter().find(|entry| entry.name == name) {
            return Some(entry);
        }
        let actions = match self {
            Self::Sqs => sqs::ACTIONS,
            Self::Sns => sns::ACTIONS,
        };
        actions.binary_search_by(|entry| entry.name.cmp(name)).ok().map(|at| &actions[at])
    }

    /// The service and the name of the action in a header `x-amz-target`.
    pub(crate) fn of_target(target: &str) -> Option<(Self, &str)> {
        let (prefix, name) = target.split_once('.')?;
        match prefix {
            "AmazonSQS" => Some((Self::Sqs, name)),
            // The model of SNS has no name for it yet: the one of its kind, and what its documentation calls it.
            "AmazonSNS" | "AmazonSimpleNotificationService" => Some((Self::Sns, name)),
            _ => None,
        }
    }

    /// The service that a signature is for.
    pub(crate) fn of_scope(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }

    /// The service of a form that nobody has signed for one: by its version, else by its action.
    pub(crate) fn of_form(version: Option<&str>, action: &str) -> Self {
        let by_version = Self::ALL.into_iter().find(|service| version == Some(service.version()));
        let by_action = || Self::ALL.into_iter().find(|service| service.operation(action).is_some());
        by_version.or_else(by_action).unwrap_or(Self::Sqs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_in_one_of_several_ways_which_service_it_is_for() {
        assert_eq!(Service::of_target("AmazonSQS.SendMessage"), Some((Service::Sqs, "SendMessage")));
        assert_eq!(Service::of_target("AmazonSNS.Publish"), Some((Service::Sns, "Publish")));
        assert_eq!((Service::of_target("Publish"), Service::of_target("DynamoDB_20120810.Query")), (None, None));
        assert_eq!((Service::of_scope("sns"), Service::of_scope("s3")), (Some(Service::Sns), None));
        assert_eq!(Service::of_form(Some("2010-03-31"), "AddPermission"), Service::Sns);
        assert_eq!(Service::of_form(Some("2012-11-05"), "Publish"), Service::Sqs);
        assert_eq!(Service::of_form(None, "Publish"), Service::Sns);
        assert_eq!(Service::of_form(None, "AddPermission"), Service::Sqs);
        assert_eq!(Service::of_form(Some("1999-01-01"), "Dance"), Service::Sqs);
    }

    #[test]
    fn every_action_has_shapes_and_all_shapes_have_an_action() {
        for service in Service::ALL {
            assert!(service.operations().is_sorted_by_key(|operation| operation.name));
            for operation in service.operations() {
                assert!(service.action(operation.name).is_some_and(|entry| entry.name == operation.name));
            }
        }
        assert_eq!((sqs::ACTIONS.len(), sns::ACTIONS.len()), (23, 42));
    }
}
