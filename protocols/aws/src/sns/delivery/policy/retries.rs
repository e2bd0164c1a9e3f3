//! When what failed is tried again: four phases, each as long as it is said to be.

/// How delays grow from the shortest to the longest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Backoff {
    /// By the same time each.
    #[default]
    Linear,
    /// By a little more each time.
    Arithmetic,
    /// By the same factor each.
    Geometric,
    /// Each is twice the one before, and the last is the longest.
    Exponential,
}

/// When what failed is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retries {
    /// Seconds before each retry of the second phase, and before the first of the third.
    pub(crate) delay_min_s: u32,
    /// Seconds before each retry of the last phase, and before the last of the third.
    pub(crate) delay_max_s: u32,
    /// How often in all.
    pub(crate) count: u32,
    /// How often at once: the first phase.
    pub(crate) no_delay_count: u32,
    /// How often after the shortest delay: the second phase.
    pub(crate) delay_min_count: u32,
    /// How often after the longest delay: the last phase. The third one has what is left.
    pub(crate) delay_max_count: u32,
    /// How delays grow in the third phase.
    pub(crate) backoff: Backoff,
}

impl Retries {
    /// Of webhooks for which nothing is set.
    pub(crate) const WEBHOOK: Self = Self {
        delay_min_s: 20,
        delay_max_s: 20,
        count: 3,
        no_delay_count: 0,
        delay_min_count: 0,
        delay_max_count: 0,
        backoff: Backoff::Linear,
    };

    /// Of endpoints that are services: some 23 days.
    pub(crate) const MANAGED: Self = Self {
        delay_min_s: 1,
        delay_max_s: 20,
        count: 100_015,
        no_delay_count: 3,
        delay_min_count: 2,
        delay_max_count: 100_000,
        backoff: Backoff::Exponential,
    };

    /// Of mail, short messages and devices: some 6 hours.
    pub(crate) const FOR_PEOPLE: Self = Self {
        delay_min_s: 10,
        delay_max_s: 600,
        count: 50,
        no_delay_count: 0,
        delay_min_count: 2,
        delay_max_count: 38,
        backoff: Backoff::Exponential,
    };

    /// The delay before a retry, in milliseconds; the first retry is number 1. None where there is none of that number.
    pub(crate) fn delay_ms(&self, retry: u32) -> Option<u64> {
        let index = retry.checked_sub(1).filter(|index| *index < self.count)?;
        let (min_ms, max_ms) = (u64::from(self.delay_min_s) * 1000, u64::from(self.delay_max_s) * 1000);
        let Some(index) = index.checked_sub(self.no_delay_count) else { return Some(0) };
        let Some(index) = index.checked_sub(self.delay_min_count) else { return Some(min_ms) };
        let before = self.no_delay_count.saturating_add(self.delay_min_count).saturating_add(self.delay_max_count);
        let growing = self.count.saturating_sub(before);
        if index >= growing {
            return Some(max_ms);
        }
        Some(self.backoff.delay_ms(index, growing, min_ms, max_ms.max(min_ms)))
    }

    /// The same, shorter by up to a tenth: what failed together is not tried again together. `any` is a number as good as random.
    pub(crate) fn jittered_ms(&self, retry: u32, any: u64) -> Option<u64> {
        let delay_ms = self.delay_ms(retry)?;
        Some(delay_ms - any % (delay_ms / 10 + 1))
    }

    /// All delays together, in seconds.
    pub(crate) fn total_s(&self) -> u64 {
        // Those of the last phase need not be counted one by one.
        let counted = self.count.saturating_sub(self.delay_max_count.min(self.count));
        let counted: u64 = (1..=counted).filter_map(|retry| self.delay_ms(retry)).sum();
        counted / 1000 + u64::from(self.delay_max_count.min(self.count)) * u64::from(self.delay_max_s)
    }
}

impl Backoff {
    /// The delay before the retry of this index, of so many.
    fn delay_ms(self, index: u32, count: u32, min_ms: u64, max_ms: u64) -> u64 {
        let last = count.saturating_sub(1);
        if last == 0 || min_ms == max_ms {
            return min_ms;
        }
        let (index, last) = (u64::from(index), u64::from(last));
        let span_ms = max_ms - min_ms;
        match self {
            Self::Linear => min_ms + span_ms * index / last,
            Self::Arithmetic => min_ms + span_ms * (index * (index + 1)) / (last * (last + 1)),
            Self::Geometric => {
                let factor = max_ms as f64 / min_ms.max(1) as f64;
                let delay_ms = min_ms.max(1) as f64 * factor.powf(index as f64 / last as f64);
                (delay_ms as u64).clamp(min_ms, max_ms)
            }
            Self::Exponential => max_ms.checked_shr((last - index) as u32).unwrap_or(0).max(min_ms),
        }
    }
}
