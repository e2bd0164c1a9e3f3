//! Message move tasks: what is in one queue goes to another one, or each message back to where it came from.
//!
//! * [`task`]: a task as it is told and kept; [`list`]: all tasks of a virtual host, and their rows.
//! * [`mover`]: the work. A message is taken by a lease, as a consumer would, and then one record of the journal takes it out of
//!   the one queue and puts it into the other, so that after a crash it is in one of them. The lease does not count as an
//!   attempt, and ends with the process: a task that was running goes on after a restart with what is left.

mod list;
mod mover;
mod task;

pub(crate) use self::list::Moves;
pub(crate) use self::mover::resume;
pub use self::task::{MoveFailure, MoveStatus, MoveTask, NotMoved};
