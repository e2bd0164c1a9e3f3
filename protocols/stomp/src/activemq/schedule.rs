//! When a message is due: `AMQ_SCHEDULED_DELAY` and `AMQ_SCHEDULED_PERIOD` in milliseconds, `AMQ_SCHEDULED_REPEAT` in further times
//! (-1 for ever), `AMQ_SCHEDULED_CRON` with five fields in UTC.

use gantry_broker::Schedule;

use crate::codec::Headers;
use crate::error::Failure;
use crate::frames::number;

/// What the headers of a SEND ask for; none where it is to be delivered now.
pub(crate) fn schedule(headers: Headers<'_>) -> Result<Option<Schedule>, Failure> {
    let ms = |name| number::<u64>(headers, name).map(Option::unwrap_or_default);
    let (delay_ms, period_ms) = (ms("AMQ_SCHEDULED_DELAY")?, ms("AMQ_SCHEDULED_PERIOD")?);
    let repeat: Option<i64> = number(headers, "AMQ_SCHEDULED_REPEAT")?;
    let cron = headers.get("AMQ_SCHEDULED_CRON");
    Schedule::new(delay_ms, period_ms, repeat.unwrap_or(0), cron.as_deref())
        .map_err(|error| Failure::soft("Invalid header", format!("{error}\n")))
}
