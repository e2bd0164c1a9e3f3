//! DISCONNECT from the client (3.14).

use crate::client::{Client, Next};
use crate::codec::packet::Disconnect;
use crate::codec::reason::Reason;
use crate::error::Failure;

impl Client {
    pub(crate) fn disconnect(&mut self, disconnect: &Disconnect<'_>) -> Result<Next, Failure> {
        if let Some(expiry_s) = disconnect.session_expiry_s
            && let Some(held) = &mut self.held
        {
            // 3.14.2.2.2
            if held.expiry_s() == 0 && expiry_s > 0 {
                return Err(Failure::protocol("a session without expiry is not given one at its end"));
            }
            held.set_expiry(expiry_s);
        }
        if disconnect.reason == Reason::NORMAL_DISCONNECTION {
            return Ok(Next::Close);
        }
        tracing::debug!(
            client = &*self.client_id,
            reason = disconnect.reason.0,
            "the client takes leave with a reason"
        );
        // 3.14.4-3: only 0x00 takes the will away.
        Ok(Next::CloseWithWill)
    }
}
