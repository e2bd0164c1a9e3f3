//! How many deliveries a second there are.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The times of the deliveries of one errand.
#[derive(Debug, Default)]
pub(super) struct Pace {
    next: Option<Instant>,
}

impl Pace {
    /// Waits until the next one may begin.
    pub(super) async fn wait(&self) {
        if let Some(next) = self.next {
            sleep_until(next).await;
        }
    }

    /// One begins. `per_second_max` is how many may, if that is bounded; they are spread evenly.
    pub(super) fn begin(&mut self, per_second_max: Option<u32>) {
        self.next = per_second_max.map(|max| {
            let now = Instant::now();
            let next = self.next.unwrap_or(now) + Duration::from_secs(1) / max.max(1);
            // Time that nobody used is over.
            next.max(now)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn deliveries_are_spread_over_each_second() {
        let (mut pace, begin) = (Pace::default(), Instant::now());
        for _ in 0..21 {
            pace.wait().await;
            pace.begin(Some(10));
        }
        assert_eq!(begin.elapsed().as_millis() / 100, 20);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let begin = Instant::now();
        for _ in 0..5 {
            pace.wait().await;
            pace.begin(Some(10));
        }
        assert!(begin.elapsed() >= Duration::from_millis(300), "what nobody used is not made up for");
        pace.begin(None);
        let begin = Instant::now();
        pace.wait().await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
