//! What the actions about move tasks share: queues by their ARNs, and handles of tasks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::fault;
use super::place::{Intent, Place};
use crate::call::Call;
use crate::error::{Error, faults};

/// The queue of an ARN that stands in a parameter.
///
/// # Errors
/// It is no ARN, there is no such queue, or the caller may not.
pub(crate) fn queue(call: &Call, arn: &str, parameter: &str, intent: Intent) -> Result<Place, Error> {
    if arn.is_empty() {
        return Err(fault::missing_parameter(parameter));
    }
    let Some(found) = Place::of_arn(call, arn, intent) else {
        return Err(fault::invalid_parameter(format!(
            "You must use this format to specify the {parameter}: \
             arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
        )));
    };
    found.map_err(|error| if *error.fault == faults::QUEUE_DOES_NOT_EXIST { not_there(parameter) } else { error })
}

/// What is said where there is no such queue.
pub(crate) fn not_there(parameter: &str) -> Error {
    fault::resource_not_found(format!("The resource that you specified for the {parameter} parameter doesn't exist."))
}

/// What a handle of a task says, as AWS's do.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Handle {
    pub(crate) task_id: String,
    pub(crate) source_arn: String,
}

/// The handle of a task.
pub(crate) fn handle(id: u64, source_arn: &str) -> String {
    let handle = Handle { task_id: id.to_string(), source_arn: source_arn.to_owned() };
    // Two texts can always be written.
    STANDARD.encode(serde_json::to_vec(&handle).unwrap_or_default())
}

/// Reads the handle of a task; none where it is none.
pub(crate) fn read_handle(text: &str) -> Option<Handle> {
    serde_json::from_slice(&STANDARD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_names_a_task_and_its_source() {
        let text = handle(7, "arn:aws:sqs:us-east-1:000000000000:q");
        let expected =
            Handle { task_id: "7".to_owned(), source_arn: "arn:aws:sqs:us-east-1:000000000000:q".to_owned() };
        assert_eq!(read_handle(&text), Some(expected));
        for text in ["", "x", "AAAA", "e30="] {
            assert_eq!(read_handle(text), None);
        }
    }
}
