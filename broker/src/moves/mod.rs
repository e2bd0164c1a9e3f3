//! Message move tasks: everything that is in one queue goes to another one, or each message back to where it came from.

mod task;

pub use self::task::{MoveStatus, MoveTask, NotMoved};

use crate::error::Error;
use crate::vhost::{Pending, VirtualHost};

/// The tasks of a virtual host.
#[derive(Debug, Default)]
pub(crate) struct Moves {}

impl Moves {
    pub(crate) fn start(
        &self,
        _vhost: &VirtualHost,
        _source: &str,
        _destination: Option<&str>,
        _rate_per_s: Option<u32>,
    ) -> Result<(MoveTask, Pending), NotMoved> {
        Err(NotMoved::Broker(Error::Storage("moving is not built yet".to_owned())))
    }

    pub(crate) fn of(&self, _source: &str) -> Vec<MoveTask> {
        Vec::new()
    }

    pub(crate) fn cancel(&self, _id: u64) -> Result<MoveTask, NotMoved> {
        Err(NotMoved::NoTask)
    }
}
